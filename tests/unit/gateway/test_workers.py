"""The group of workers: who is started when, and when it gives up."""

import subprocess
import sys

import pytest

from inkwire_gateway.workers import (
    BACKOFF_FAILED_MAX_S,
    BACKOFF_FIRST_S,
    BACKOFF_FORGIVEN_S,
    BACKOFF_MAX_S,
    MAX_FAILED_STARTS,
    GiveUp,
    Group,
    Start,
    State,
)

WRONG_SETTINGS = 78
UNAVAILABLE = 69
KILLED = -9


def group(count: int = 2) -> Group:
    """A group that has begun."""
    made = Group(count, hopeless_codes={WRONG_SETTINGS})
    for start in made.begin():
        made.born(start.worker, 0.0)
    return made


def serving(count: int = 2) -> Group:
    """A group whose workers are all ready."""
    made = group(count)
    for worker in range(1, count + 1):
        made.ready(worker)
    return made


def test_all_begin_at_once() -> None:
    """Nobody waits for another: who came first would be given all readers."""
    assert Group(3, hopeless_codes=()).begin() == [Start(1), Start(2), Start(3)]


def test_it_is_complete_when_all_are_ready() -> None:
    """Ready is what the worker says; born is not ready."""
    made = group()
    assert made.state(1) is State.STARTING and not made.complete
    made.ready(1)
    assert not made.complete
    made.ready(2)
    assert made.complete


def test_a_dead_worker_is_started_again() -> None:
    """Whatever it died of; the others are not touched."""
    for code in (0, 1, UNAVAILABLE, KILLED):
        made = serving()
        assert made.ended(1, code, 1.0) == Start(1, BACKOFF_FIRST_S)
        assert made.state(1) is State.WAITING and made.state(2) is State.READY


def test_the_pauses_double_up_to_a_bound() -> None:
    """One that dies again and again is started ever less often, never less than every few seconds."""
    made = serving()
    pauses = []
    for n in range(8):
        step = made.ended(1, KILLED, float(n))
        assert isinstance(step, Start)
        pauses.append(step.after_s)
        made.born(1, float(n))
    assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
    assert pauses[-1] == pauses[-2] == BACKOFF_MAX_S


def test_a_long_life_resets_the_pause() -> None:
    """What lived long enough starts with the first pause again."""
    made = serving()
    for now_s in (1.0, 2.0):
        made.ended(1, KILLED, now_s)
        made.born(1, now_s)
    assert made.ended(1, KILLED, 2.0 + BACKOFF_FORGIVEN_S + 0.1) == Start(1, BACKOFF_FIRST_S)


@pytest.mark.parametrize("code", [1, UNAVAILABLE, WRONG_SETTINGS])
def test_an_error_before_all_were_ready_ends_the_group(code: int) -> None:
    """As it would end a single gateway, with the same exit code."""
    made = group()
    made.ready(1)
    step = made.ended(2, code, 1.0)
    assert isinstance(step, GiveUp) and step.code == code and "worker 2" in step.reason


def test_being_killed_at_the_start_is_no_reason_to_give_up() -> None:
    """Nor is a request to end that was sent to one worker."""
    made = group()
    for code in (KILLED, 0) * MAX_FAILED_STARTS:
        assert isinstance(made.ended(1, code, 1.0), Start)
        made.born(1, 1.0)


@pytest.mark.parametrize("code", [1, UNAVAILABLE, WRONG_SETTINGS])
def test_readers_of_one_do_not_pay_for_another_that_cannot_start(code: int) -> None:
    """While one serves, the other is tried for ever, ever less often up to a bound, and each try is told as one."""
    made = serving()
    assert made.ended(1, KILLED, 0.0) == Start(1, BACKOFF_FIRST_S, failed=False)
    pauses = []
    for n in range(3 * MAX_FAILED_STARTS):
        made.born(1, float(n))
        step = made.ended(1, code, float(n))
        assert isinstance(step, Start) and step.failed
        pauses.append(step.after_s)
    assert pauses[:4] == [0.4, 0.8, 1.6, 3.2]
    assert pauses[-1] == pauses[-2] == BACKOFF_FAILED_MAX_S
    assert made.state(2) is State.READY


def test_after_a_row_of_failed_starts_a_dead_worker_is_in_a_hurry_again() -> None:
    """The long pause is for those who cannot start."""
    made = serving()
    for n in range(3 * MAX_FAILED_STARTS):
        made.ended(1, UNAVAILABLE, float(n))
        made.born(1, float(n))
    made.ready(1)
    step = made.ended(1, KILLED, 20.0)
    assert isinstance(step, Start) and step.after_s == BACKOFF_MAX_S


def test_wrong_settings_end_a_group_that_serves_nobody() -> None:
    """What does not mend itself is the end where no reader is left to suffer by it."""
    made = serving()
    assert isinstance(made.ended(1, KILLED, 100.0), Start)
    step = made.ended(2, WRONG_SETTINGS, 100.0)
    assert isinstance(step, GiveUp) and step.code == WRONG_SETTINGS


def test_a_worker_that_cannot_start_any_more_ends_a_group_that_serves_nobody() -> None:
    """So many failed starts in a row are the last; what failed while another one served is not in the row."""
    made = serving()
    for _ in range(MAX_FAILED_STARTS):
        made.ended(1, UNAVAILABLE, 0.0)
        made.born(1, 0.0)
    made.ended(2, KILLED, 1.0)
    for _ in range(MAX_FAILED_STARTS - 1):
        assert isinstance(made.ended(1, UNAVAILABLE, 1.0), Start)
        made.born(1, 1.0)
    step = made.ended(1, UNAVAILABLE, 2.0)
    assert isinstance(step, GiveUp) and step.code == UNAVAILABLE


def test_one_that_was_ready_in_between_begins_a_new_row() -> None:
    """Its failed starts before do not count any more."""
    made = serving()
    made.ended(2, KILLED, 0.0)
    for round_s in (1.0, 2.0):
        for _ in range(MAX_FAILED_STARTS - 1):
            made.born(1, round_s)
            assert isinstance(made.ended(1, UNAVAILABLE, round_s), Start)
        made.born(1, round_s)
        made.ready(1)
        assert isinstance(made.ended(1, UNAVAILABLE, round_s), Start)


def test_nobody_is_started_once_the_group_stops() -> None:
    """Whatever a worker ends with then, it is the end of it."""
    made = serving()
    made.stop()
    assert [made.ended(1, code, 1.0) for code in (0, WRONG_SETTINGS, KILLED)] == [None, None, None]


def test_a_word_of_the_dead_means_nothing() -> None:
    """A word that was still in the pipe when its process had ended does not make its successor ready."""
    made = group()
    made.ended(1, KILLED, 1.0)
    made.ready(1)
    assert made.state(1) is State.WAITING


def test_the_parent_loads_nothing_of_what_its_workers_need() -> None:
    """It has memory of its own for as long as the gateway runs: no client of the broker, no fan-out, no listener."""
    code = "import sys, inkwire_gateway.main, inkwire_gateway.adapters.workers; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert "inkwire_gateway.workers" in loaded
    assert not loaded & {"nats", "aiohttp", "orjson", "uvloop", "inkwire_chassis.process", "inkwire_gateway.app"}
    assert not [name for name in loaded if name.startswith(("inkwire_gateway.channel", "inkwire_gateway.hub"))]
