"""Periods as clients write them."""

import pytest

from inkwire_api.period import Period, parse_period
from inkwire_contracts.errors import InkwireError


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2026-11-21", "2026-11-21T00:00:00.000Z"),
        ("2026-11-21T09:30Z", "2026-11-21T09:30:00.000Z"),
        ("2026-11-21T09:30:15.250Z", "2026-11-21T09:30:15.250Z"),
        ("2026-11-21T01:30:00+02:00", "2026-11-20T23:30:00.000Z"),
    ],
)
def test_times_are_brought_into_our_form(given: str, meant: str) -> None:
    """Dates begin in UTC, zones are turned into it, and the period may be open at either side."""
    assert parse_period(given, None) == Period(meant, None)
    assert parse_period(None, given) == Period(None, meant)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "yesterday",
        "2026-13-01",
        "2026-11-21T09:00:00",
        "2026-W47",
        "20261121",
        "2026-11-21 09:00:00Z",
        "٢٠٢٦-11-21",
        "0001-01-01T00:00:00+14:00",
        "2026-11-21T25:00Z",
        "2026-11-21\n",
    ],
)
@pytest.mark.parametrize("parameter", ["from", "to"])
def test_what_is_no_time_is_refused(wrong: str, parameter: str) -> None:
    """The problem names the parameter and says how to write it."""
    with pytest.raises(InkwireError) as caught:
        parse_period(*((wrong, None) if parameter == "from" else (None, wrong)))
    assert caught.value.code == "invalid_request"
    assert caught.value.params["errors"][0]["parameter"] == parameter
    assert "2026-11-21" in caught.value.params["detail"]


@pytest.mark.parametrize("until", ["2026-11-21", "2026-11-20T23:59:59Z", "2026-11-21T01:00:00+02:00"])
def test_the_wrong_way_round(until: str) -> None:
    """An empty or a backward period is a mistake, not an answer of zeros."""
    with pytest.raises(InkwireError, match="to: must be later than from"):
        parse_period("2026-11-21", until)
