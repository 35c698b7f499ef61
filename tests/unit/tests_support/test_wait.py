"""Waiting in tests: what counts as not yet, what stops at once, and that a wait ends."""

import asyncio

import pytest

from tests.support.wait import eventually, eventually_sync, scaled_s, time_factor


async def test_returns_the_first_true_value() -> None:
    """A wait ends with the value that the probe found."""
    values = iter([0, None, "", "found"])
    assert await eventually(lambda: next(values), what="a value") == "found"


async def test_takes_an_async_probe() -> None:
    """A probe may be a coroutine function."""
    values = iter([False, True])

    async def probe() -> bool:
        await asyncio.sleep(0)
        return next(values)

    assert await eventually(probe, what="true")


async def test_an_assertion_means_not_yet() -> None:
    """A probe may assert; its failure is looked at again."""
    values = iter([1, 2, 3])

    def probe() -> bool:
        assert next(values) == 3
        return True

    assert await eventually(probe, what="three")


async def test_other_errors_stop_the_wait() -> None:
    """An error that nobody asked to ignore comes out at once."""
    calls = 0

    def probe() -> bool:
        nonlocal calls
        calls += 1
        raise KeyError("broken")

    with pytest.raises(KeyError):
        await eventually(probe, what="never")
    assert calls == 1


async def test_ignored_errors_mean_not_yet() -> None:
    """An error of an ignored type is looked at again."""
    values = iter([0, 0, 1])
    assert await eventually(lambda: 1 / next(values), what="no zero", ignoring=(ZeroDivisionError,)) == 1


async def test_a_wait_that_fails_names_what_it_waited_for() -> None:
    """The failure says what was missing and what was seen last."""
    with pytest.raises(AssertionError, match=r"the moon; last seen: 'cheese' but no"):
        await eventually(lambda: _falsy("'cheese' but no"), what="the moon", timeout_s=0)


async def test_a_hanging_probe_is_cut_off() -> None:
    """A probe that never returns ends with the time-out, even at its first call."""
    with pytest.raises(AssertionError, match="an answer"):
        await eventually(asyncio.Event().wait, what="an answer", timeout_s=0.01)


async def test_a_time_out_of_the_probe_itself_is_an_error() -> None:
    """TimeoutError from the code under test is not taken for the wait's own end."""

    def probe() -> bool:
        raise TimeoutError("of the code under test")

    with pytest.raises(TimeoutError, match="of the code under test"):
        await eventually(probe, what="never")


def test_the_sync_twin_behaves_alike() -> None:
    """Without an event loop the same rules hold."""
    values = iter([0, 7])
    assert eventually_sync(lambda: next(values), what="seven") == 7
    with pytest.raises(AssertionError, match="the moon"):
        eventually_sync(lambda: False, what="the moon", timeout_s=0)


def test_one_factor_scales_every_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """INKWIRE_TEST_TIME_FACTOR multiplies time-outs."""
    monkeypatch.setenv("INKWIRE_TEST_TIME_FACTOR", "2.5")
    assert scaled_s(4) == 10


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf"])
def test_a_senseless_factor_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The factor must be a positive number, and the error names the variable."""
    monkeypatch.setenv("INKWIRE_TEST_TIME_FACTOR", value)
    with pytest.raises(ValueError, match="INKWIRE_TEST_TIME_FACTOR"):
        time_factor()


class _falsy(str):
    """A text that is false, so that a test can look for it in the message."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return str(self)
