"""From what a provider says went wrong to our codes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from inkwire_contracts.errors import ERROR_CODES
from inkwire_generator.provider_errors import (
    HIDDEN,
    MAX_SAID_CHARS,
    cleaned,
    from_finish,
    from_status,
    from_stream,
    retry_after_s,
    tell_said,
)

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "body", "code", "retryable"),
    [
        (400, {"message": "bad", "type": "invalid_request_error"}, "provider_rejected", False),
        (401, None, "provider_auth", False),
        (403, "<html>", "provider_auth", False),
        (404, {"error": {"message": "no such model"}}, "provider_rejected", False),
        (408, None, "provider_unavailable", True),
        (409, None, "provider_unavailable", True),
        (422, None, "provider_rejected", False),
        (429, {"code": "rate_limit_exceeded"}, "provider_rate_limited", True),
        (429, {"code": "insufficient_quota"}, "provider_quota", False),
        (429, {"error": {"type": "insufficient_quota", "code": None}}, "provider_quota", False),
        (429, "slow down", "provider_rate_limited", True),
        (500, None, "provider_unavailable", True),
        (529, {"message": "overloaded"}, "provider_unavailable", True),
    ],
)
def test_statuses(status: int, body: Any, code: str, retryable: bool) -> None:
    """Each status has one code that may be shown, and one answer to whether asking again helps."""
    error = from_status(status, {}, body, NOW)
    assert (error.code, error.retryable) == (code, retryable)
    assert code in ERROR_CODES


@pytest.mark.parametrize(
    ("status", "advice", "body", "retryable"),
    [
        (429, "false", None, False),
        (500, "FALSE", None, False),
        (400, "true", None, True),
        (500, "perhaps", None, True),
        (401, "true", None, False),
        (429, "true", {"code": "insufficient_quota"}, False),
    ],
)
def test_the_provider_s_own_advice(status: int, advice: str, body: Any, retryable: bool) -> None:
    """x-should-retry decides, but no advice mends a key or a quota."""
    assert from_status(status, {"x-should-retry": advice}, body, NOW).retryable is retryable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds go before seconds, a date counts from now, nonsense counts as nothing."""
    assert retry_after_s(headers, NOW) == seconds
    assert from_status(429, headers, None, NOW).retry_after_s == seconds


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 401, "message": "key"}, "provider_auth"),
        ({"code": 400, "message": "bad"}, "provider_rejected"),
        ({"code": "rate_limit_exceeded"}, "provider_rate_limited"),
        ({"type": "insufficient_quota"}, "provider_quota"),
        ({"code": "content_filter"}, "provider_content_filter"),
        ({"error": {"message": "nested", "code": 429}}, "provider_rate_limited"),
        ("just words", "provider_unavailable"),
        (None, "provider_unavailable"),
        ([1], "provider_unavailable"),
    ],
)
def test_errors_in_the_stream(error: Any, code: str) -> None:
    """An error object of any shape becomes one of our codes."""
    assert from_stream(error).code == code


def test_finish_reasons() -> None:
    """Only the reasons that leave an answer incomplete are errors."""
    assert from_finish("stop") is None
    assert from_finish("tool_calls") is None
    assert from_finish("length") is None
    assert from_finish("content_filter") is not None


KEY = "live-0123456789abcdef"


def test_what_a_provider_says_is_told_to_nobody_as_it_is() -> None:
    """Until it is cleaned it stands neither in the detail nor in the exception's text, nor ever in a parameter."""
    for error in (from_status(500, {}, {"message": "secret"}, NOW), from_stream({"message": "secret"})):
        assert "secret" not in error.detail + str(error) and error.params == {}
        tell_said(error, "", "")
        assert error.detail.endswith("secret") and error.said == "" and error.params == {}


def test_details_are_bounded_and_name_code_type_and_parameter() -> None:
    """At most a line of the provider's words, after what it calls the failure."""
    body = {"code": "bad_value", "type": "invalid_request_error", "param": "top_p", "message": "too\nhigh " * 1_000}
    error = from_status(400, {}, {"error": body}, NOW)
    tell_said(error, KEY, "")
    assert error.detail.startswith("HTTP 400 bad_value invalid_request_error top_p: too high too high")
    assert len(error.detail) <= 2 * MAX_SAID_CHARS + 2 and "\n" not in error.detail


@pytest.mark.parametrize(
    "shown",
    [
        KEY,
        f"({KEY}).",
        KEY[:-6],
        "live-012********cdef",
        "sk-another0123",
        "Bearer another0123",
        "********cdef",
        "x" * 110 + KEY,
    ],
)
def test_keys_are_cut(shown: str) -> None:
    """The configured key, whole, cut short or masked, and what looks like somebody's."""
    error = from_status(401, {}, {"code": f"bad {shown}", "message": f"Incorrect key {shown} was given"}, NOW)
    tell_said(error, KEY, "")
    assert HIDDEN in error.detail
    assert not any(part in error.detail for part in ("live", "0123", "cdef"))


@pytest.mark.parametrize("key", ["", "x", "none"])
def test_short_keys_are_no_trouble(key: str) -> None:
    """A server of one's own with a key of a letter or none: the words stay readable."""
    assert cleaned("too many tokens", key, "") == "too many tokens"


def test_the_prompt_is_cut() -> None:
    """What is in the prompt too, a dozen characters or more, is nobody's business; the words around it stay."""
    prompt = "Write about:\nMy divorce from Alexander\nin five sections"
    said = "Policy: 'My divorce from Alexander' in section 1 is not allowed"
    assert cleaned(said, KEY, prompt) == "Policy: '[...]' in section 1 is not allowed"
    assert cleaned(prompt, KEY, prompt) == "[...]"
    assert cleaned("about: My", KEY, prompt) == "about: My"
