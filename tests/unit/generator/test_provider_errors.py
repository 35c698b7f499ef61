"""From what a provider says went wrong to our codes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from inkwire_contracts.errors import ERROR_CODES
from inkwire_generator.provider_errors import from_finish, from_status, from_stream, retry_after_s

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


def test_details_are_bounded_and_stay_out_of_parameters() -> None:
    """What a provider says is for the log: at most a line, and never a parameter of the shown text."""
    error = from_status(500, {}, {"message": "secret sk-123 " * 1_000}, NOW)
    assert len(error.detail) <= 300
    assert error.params == {}
