"""How fast one provider key may be asked, as a value that all workers share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwire_generator.budget import (
    BURST_S,
    FIRST_HOLD_S,
    MAX_AHEAD_S,
    MAX_HOLD_S,
    NO_LIMITS,
    Budget,
    RateLimits,
    budget_key,
    observe,
    refuse,
    reserve,
    settle,
    spacing_s,
    unlimited,
)
from inkwire_generator.rate_headers import Reading

ONE_A_SECOND = RateLimits(requests_per_minute=60)


def waits(budget: Budget, calls: int, limits: RateLimits, *, tokens: float = 0, now_s: float = 0.0) -> list[float]:
    """How long each of so many calls of one moment waits."""
    found = []
    for _ in range(calls):
        budget, place = reserve(budget, tokens, now_s, limits)
        found.append(place.start_s - now_s)
    return found


def test_nothing_known_nothing_held() -> None:
    """A key of which nothing is known may be used at once; as soon as anything is, places are given."""
    assert unlimited(Budget(), 1_000, 0.0, NO_LIMITS) is not None
    assert unlimited(Budget(), 1_000, 0.0, ONE_A_SECOND) is None
    assert unlimited(observe(Budget(), Reading(60, 59, 1.0), None, 0.0), 1, 0.0, NO_LIMITS) is None
    assert unlimited(refuse(Budget(), 1.0, 0.0, 0.0), 1, 0.0, NO_LIMITS) is None


def test_requests_are_spaced_at_the_configured_rate() -> None:
    """A few seconds' worth goes at once, then one a second, each knowing its own time."""
    burst = int(BURST_S)
    assert waits(Budget(), burst + 3, ONE_A_SECOND) == pytest.approx([0.0] * burst + [1.0, 2.0, 3.0])


def test_unused_time_gives_back_no_more_than_the_burst() -> None:
    """After an hour of silence there is one burst, not an hour's worth."""
    budget = Budget()
    for _ in range(20):
        budget, _ = reserve(budget, 0, 0.0, ONE_A_SECOND)
    assert sum(wait_s == 0 for wait_s in waits(budget, 20, ONE_A_SECOND, now_s=3_600.0)) == int(BURST_S)


def test_tokens_are_waited_for_by_the_size_of_the_call() -> None:
    """A small call goes where a large one must wait; one above the burst waits for a full bucket, not for ever."""
    limits = RateLimits(tokens_per_minute=6_000)
    budget, first = reserve(Budget(), 400, 0.0, limits)
    assert first.start_s == 0.0
    assert reserve(budget, 100, 0.0, limits)[1].start_s == 0.0
    assert reserve(budget, 400, 0.0, limits)[1].start_s == pytest.approx(3.0)
    assert reserve(budget, 5_000, 0.0, limits)[1].start_s == pytest.approx(4.0)


def test_the_slower_limit_decides() -> None:
    """Requests or tokens, configured or reported: whichever leaves less."""
    both = RateLimits(requests_per_minute=60, tokens_per_minute=6_000)
    assert waits(Budget(), 3, both, tokens=500) == pytest.approx([0.0, 5.0, 10.0])
    reported = observe(Budget(), Reading(6, 0, 60.0), None, 0.0)
    assert reserve(reported, 1, 0.0, ONE_A_SECOND)[1].start_s > 5.0
    small_bursts = observe(Budget(), Reading(2, 2, 0.0), None, 0.0)
    assert sum(wait_s == 0 for wait_s in waits(small_bursts, 5, ONE_A_SECOND)) == 1


def test_places_are_given_only_so_far_ahead() -> None:
    """Whoever dies with places takes at most a minute with it: one further on is told, and not counted."""
    budget = Budget()
    for _ in range(int(BURST_S + MAX_AHEAD_S)):
        budget, place = reserve(budget, 0, 0.0, ONE_A_SECOND)
        assert place.given
    after, place = reserve(budget, 0, 0.0, ONE_A_SECOND)
    assert not place.given and place.start_s > MAX_AHEAD_S
    assert after is budget


def test_what_is_not_used_is_given_back() -> None:
    """A call that cost less than was thought, or was not made, leaves room; one that cost more takes it."""
    limits = RateLimits(requests_per_minute=60, tokens_per_minute=600)
    budget, _ = reserve(Budget(), 50, 0.0, limits)
    dearer, cheaper = settle(budget, 0, 30, 0.0, limits), settle(budget, 0, -30, 0.0, limits)
    assert [reserve(b, 50, 0.0, limits)[1].start_s for b in (cheaper, budget, dearer)] == pytest.approx([2.0, 5.0, 8.0])
    assert waits(settle(budget, -1, -50, 0.0, limits), 2, limits, tokens=50) == pytest.approx([0.0, 5.0])
    assert settle(budget, 0, 0, 0.0, limits) is budget


def test_places_given_back_leave_no_hole_in_the_other_limit() -> None:
    """Calls that waited for requests and were never made hold nobody up for tokens that they did not use."""
    limits = RateLimits(requests_per_minute=60, tokens_per_minute=60_000)
    budget = Budget()
    for _ in range(25):
        budget, _ = reserve(budget, 500, 0.0, limits)
    budget = settle(budget, -25, -12_500, 0.0, limits)
    assert reserve(budget, 500, 0.0, limits)[1].start_s <= 0.5


def test_the_provider_s_figures_teach_rate_and_level() -> None:
    """Requests that fill within a minute are kept to, a little below the edge: answers overtake one another."""
    budget = observe(Budget(), Reading(60, 30, 30.0), None, 0.0)
    found = waits(budget, 30, NO_LIMITS)
    assert sum(wait_s == 0 for wait_s in found) == 24
    assert found[-1] == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("limit", "remaining", "reset_s", "period_s"),
    [
        (60, 10, 50.0, 60),
        (14_400, 14_370, 179.56, 86_400),
        (50, 20, 6.0, 10),
        (60, 0, 45.0, 60),
        (60, 57, 45.0, 60),
        (10, 9, 0.1, 1),
    ],
)
def test_over_which_time_a_limit_counts(limit: int, remaining: int, reset_s: float, period_s: float) -> None:
    """Minutes, days or seconds: how remaining and reset fit together tells it."""
    budget = observe(Budget(), Reading(limit, remaining, reset_s), None, 0.0)
    assert (budget.requests.limit, budget.requests.period_s) == (limit, period_s)


def test_a_window_that_is_used_up_holds_all_until_it_begins_anew() -> None:
    """Where figures are those of a fixed window, nothing is there before its end."""
    budget = observe(Budget(), Reading(60, 0, 20.0), None, 100.0)
    assert reserve(budget, 1, 100.0, NO_LIMITS)[1].start_s == pytest.approx(121.0)


def test_what_is_no_news_changes_nothing() -> None:
    """An answer that says what is known anyway costs no word to the others; somebody else's use of the key does."""
    budget = observe(Budget(), Reading(600, 590, 1.0), None, 0.0)
    assert observe(budget, Reading(600, 585, 1.5), None, 0.0) is budget
    assert observe(budget, None, None, 0.0) is budget
    used = observe(budget, Reading(600, 100, 50.0), None, 0.0)
    assert used is not budget and reserve(used, 1, 0.0, NO_LIMITS)[1].start_s == 0.0
    assert waits(used, 60, NO_LIMITS)[-1] > 0


def test_the_first_refusal_holds_everybody() -> None:
    """All wait as long as the provider asked one of them, up to a bound."""
    assert reserve(refuse(Budget(), 7.0, 0.0, 1.0), 1, 1.0, NO_LIMITS)[1].start_s == 8.0
    assert reserve(refuse(Budget(), 3_600.0, 0.0, 1.0), 1, 1.0, NO_LIMITS)[1].start_s == 1.0 + MAX_HOLD_S
    assert reserve(refuse(Budget(), None, 0.0, 1.0), 1, 1.0, NO_LIMITS)[1].start_s == 1.0 + FIRST_HOLD_S


def test_places_given_before_a_refusal_move_with_it() -> None:
    """Those who wait for their turn keep their order and their distance behind the hold, and wait for one hold once."""
    budget = Budget()
    places = []
    for _ in range(8):
        budget, place = reserve(budget, 1, 0.0, ONE_A_SECOND)
        places.append(place)
    held = refuse(budget, 10.0, 0.0, 0.0)
    assert [place.begins_s(held) for place in places[-3:]] == pytest.approx([11.0, 12.0, 13.0])
    again = refuse(held, 10.0, 0.0, 0.0)
    assert places[-1].begins_s(again) == pytest.approx(13.0)
    assert reserve(again, 1, 0.0, ONE_A_SECOND)[1].begins_s(again) >= 14.0


def test_refusals_space_calls_and_are_forgotten() -> None:
    """A refusal of a call begun later doubles the space; those of one moment count once; time brings it to nothing."""
    budget = refuse(refuse(Budget(), 0.0, 0.0, 1.0), 0.0, 0.5, 1.0)
    assert waits(budget, 3, NO_LIMITS, now_s=1.0) == pytest.approx([0.0, 0.05, 0.1])
    twice = refuse(budget, 0.0, 1.0, 1.0)
    assert waits(twice, 3, NO_LIMITS, now_s=1.0) == pytest.approx([0.0, 0.1, 0.2])
    assert spacing_s(twice, 3_600.0) == 0.0


def test_a_key_s_name_does_not_tell_the_key() -> None:
    """Address, key and model make the name; none of them can be read from it, and it fits a subject."""
    name = budget_key("https://api.openai.com/v1/", "sk-secret", "gpt-4o")
    assert name == budget_key("https://api.openai.com/v1", "sk-secret", "gpt-4o")
    assert len({name, budget_key("https://api.openai.com/v1", "sk-other", "gpt-4o")}) == 2
    assert name.isalnum() and "secret" not in name


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(1, 2_000)), max_size=60))
def test_no_minute_gets_more_than_its_limit_and_a_burst(calls: list[tuple[float, float]]) -> None:
    """Whenever and however large they ask, no span of time is given more requests or tokens than it may have."""
    limits = RateLimits(requests_per_minute=60, tokens_per_minute=12_000)
    budget, now_s, places = Budget(), 0.0, []
    for pause_s, tokens in calls:
        now_s += pause_s
        budget, place = reserve(budget, tokens, now_s, limits)
        if place.given:
            places.append(place)
    for first in places:
        span = sorted((place.start_s, place.tokens) for place in places if first.start_s <= place.start_s)
        largest = max(tokens for _, tokens in span)
        for number, (last_s, _) in enumerate(span, 1):
            room_s = BURST_S + last_s - first.start_s
            assert number <= room_s + 1e-6
            assert sum(tokens for _, tokens in span[:number]) <= 200 * room_s + largest + 1e-6


def test_it_survives_the_wire() -> None:
    """What a worker stores another one reads, fields of a newer version included."""
    budget = refuse(observe(Budget(), Reading(60, 30, 30.0), Reading(1_000, 10, 59.0), 5.0), 7.0, 5.0, 6.0)
    assert Budget.model_validate_json(budget.model_dump_json()) == budget
    assert Budget.model_validate({**budget.model_dump(), "newer": 1}) == budget
