"""What a provider's rate-limit headers say."""

import pytest

from inkwire_generator.rate_headers import Reading, duration_s, read


def test_both_limits() -> None:
    """Requests and tokens are read from the six headers."""
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert read(headers) == (Reading(60, 59, 1.0), Reading(150_000, 149_984, 360.0))


@pytest.mark.parametrize(("header", "value"), [("limit", "0"), ("remaining", "many"), ("reset", "soon")])
def test_half_of_it_is_nothing(header: str, value: str) -> None:
    """A figure that is missing or no figure leaves that limit unknown."""
    headers = {
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "50",
        "x-ratelimit-reset-tokens": "30s",
    }
    assert read({**headers, f"x-ratelimit-{header}-tokens": value}) == (None, None)
    del headers[f"x-ratelimit-{header}-tokens"]
    assert read(headers) == (None, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3_723.5),
        ("20ms", 0.02),
        ("12", 12.0),
        ("soon", None),
        ("", None),
        (None, None),
        ("-1", None),
    ],
)
def test_durations(text: str | None, seconds: float | None) -> None:
    """The forms in which providers write how long, and nonsense."""
    assert duration_s(text) == seconds
