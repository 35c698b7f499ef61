"""From what a provider says went wrong to our codes. Pure; the wire's many shapes are in docs/architecture.md."""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypedDict

from inkwire_generator.errors import ProviderError

MAX_SAID_CHARS = 120
"""Of a provider's own words in our log."""
MAX_CODES_CHARS = 120
MAX_RAW_CHARS = 1_024
"""Of a provider's own words that are looked at."""
MIN_ECHO_CHARS = 12
"""So many characters in a row that are in the prompt, too, are taken from it."""
KEY_START_CHARS = 8
"""A key is known by its beginning, where the provider shows no more of it."""
HIDDEN = "***"
_KEYLIKE = re.compile(r"\bsk-[\w*.-]+|(?i:\bbearer )\S+")
_QUOTA = ("insufficient_quota", "billing_hard_limit_reached", "quota_exceeded")


class _About(TypedDict):
    """See :class:`ProviderError`."""

    detail: str
    said: str


def from_status(status: int, headers: Mapping[str, str], body: Any, now: datetime) -> ProviderError:
    """The error of an HTTP answer that is no stream. ``body`` is decoded JSON, text, or ``None``.

    Where the provider says itself whether asking again helps, it knows better, but for keys and quotas.
    """
    error = _of_status(status, headers, body, now)
    advice = headers.get("x-should-retry", "").lower()
    if advice in ("true", "false") and error.code not in ("provider_auth", "provider_quota"):
        error.retryable = advice == "true"
    return error


def _of_status(status: int, headers: Mapping[str, str], body: Any, now: datetime) -> ProviderError:
    about: _About = {"detail": f"HTTP {status} {_codes(body)}".rstrip(), "said": _message(body)}
    wait_s = retry_after_s(headers, now)
    if status == 429:
        return _limited(_code(body), about, wait_s)
    if status in (401, 403):
        return ProviderError("provider_auth", retryable=False, **about)
    if status in (408, 409, 425) or status >= 500:
        return ProviderError("provider_unavailable", retryable=True, retry_after_s=wait_s, **about)
    return ProviderError("provider_rejected", retryable=False, **about)


def from_stream(error: Any) -> ProviderError:
    """The error of an ``error`` object, or of an ``event: error``, in the middle of a stream."""
    about: _About = {"detail": _codes(error), "said": _message(error)}
    code = _code(error)
    status = _status(error)
    if status == 429 or _is_quota(code) or "rate_limit" in code:
        return _limited(code, about, None)
    if status in (401, 403):
        return ProviderError("provider_auth", retryable=False, **about)
    if status in (400, 404, 422):
        return ProviderError("provider_rejected", retryable=False, **about)
    if "content_filter" in code or "content_policy" in code:
        return ProviderError("provider_content_filter", retryable=False, **about)
    return ProviderError("provider_unavailable", retryable=True, **about)


def from_finish(reason: str) -> ProviderError | None:
    """The error behind a finish reason; ``None`` for one that ends good text, whole or cut by its length limit."""
    if reason == "content_filter":
        return ProviderError("provider_content_filter", retryable=False)
    if reason == "error":
        return ProviderError("provider_unavailable", retryable=True, detail="finish_reason error")
    return None


def tell_said(error: ProviderError, api_key: str, prompt: str) -> None:
    """Add what the provider wrote to the error's detail, without the key and without what it repeats of the prompt."""
    words = [cleaned(text, api_key, prompt) for text in (error.detail, error.said)]
    error.detail, error.said = ": ".join(filter(None, words)), ""


def cleaned(said: str, api_key: str, prompt: str) -> str:
    """A provider's words, as far as they may stand in a log: one line of at most ``MAX_SAID_CHARS`` characters."""
    text = _without_key(said[:MAX_RAW_CHARS], api_key)
    return " ".join(_without_echo(text, prompt).split())[:MAX_SAID_CHARS]


def _without_key(text: str, api_key: str) -> str:
    if api_key:
        text = text.replace(api_key, HIDDEN)
    if len(api_key) > KEY_START_CHARS:
        text = re.sub(re.escape(api_key[:KEY_START_CHARS]) + r"\S*", HIDDEN, text)
    words = _KEYLIKE.sub(HIDDEN, text).split(" ")
    return " ".join(HIDDEN if HIDDEN in word else word for word in words)  # a mask leaves some of a key's ends


def _without_echo(text: str, prompt: str) -> str:
    kept: list[str] = []
    at = 0
    while at < len(text):
        end = at + MIN_ECHO_CHARS
        if end > len(text) or text[at:end] not in prompt:
            kept.append(text[at])
            at += 1
            continue
        while end < len(text) and text[at : end + 1] in prompt:
            end += 1
        kept.append("[...]")
        at = end
    return "".join(kept)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait from ``retry-after-ms`` or ``Retry-After`` (seconds or a date); ``None`` if not given."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if text is None:
        return None
    if (seconds := _number(text)) is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return max(0.0, (moment - now).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None


def _limited(code: str, about: _About, wait_s: float | None) -> ProviderError:
    if _is_quota(code):
        return ProviderError("provider_quota", retryable=False, **about)
    return ProviderError("provider_rate_limited", retryable=True, retry_after_s=wait_s, **about)


def _is_quota(code: str) -> bool:
    return any(word in code for word in _QUOTA)


def _inner(body: Any) -> Any:
    return body["error"] if isinstance(body, Mapping) and body.get("error") else body


def _code(body: Any) -> str:
    inner = _inner(body)
    if not isinstance(inner, Mapping):
        return ""
    return " ".join(inner[key] for key in ("code", "type") if isinstance(inner.get(key), str))


def _codes(body: Any) -> str:
    """Code, type and parameter, in the provider's words."""
    inner = _inner(body)
    if not isinstance(inner, Mapping):
        return ""
    known = [str(inner[key]) for key in ("code", "type", "param") if isinstance(inner.get(key), str | int)]
    return " ".join(known)[:MAX_CODES_CHARS]


def _status(body: Any) -> int:
    inner = _inner(body)
    if not isinstance(inner, Mapping):
        return 0
    return next((int(v) for v in (inner.get("code"), inner.get("status")) if isinstance(v, int)), 0)


def _message(body: Any) -> str:
    inner = _inner(body)
    if isinstance(inner, Mapping):
        return str(inner.get("message", ""))
    return inner if isinstance(inner, str) else ""
