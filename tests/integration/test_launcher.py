"""The launcher with real processes: readiness, restarts, ordered stop, and nobody left behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from inkwire import launcher as launcher_module
from inkwire.launcher import Launcher, Program, StartFailed
from tests.support.processes import base_environment, process_exists
from tests.support.terminal import Lines
from tests.support.wait import eventually, scaled_s

# Says "up" once its file is there, notes the moment it is asked to stop, and stops.
OBEDIENT = """
import pathlib, signal, sys, threading
ready, order, name = sys.argv[1:]
def stop(*_):
    with open(order, "a") as file:
        file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(ready).touch()
print("up", flush=True)
while True:
    signal.pause()
"""
STUBBORN = OBEDIENT.replace("sys.exit(0)", "return")


def file_ready(path: Path) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        return await asyncio.to_thread(path.exists)

    return ready


def program(name: str, folder: Path, *, tier: int = 0, code: str = OBEDIENT) -> Program:
    argv = [sys.executable, "-c", code, str(folder / name), str(folder / "order"), name]
    return Program(name, argv, file_ready(folder / name), tier, base_environment())


@pytest.fixture
def terminal() -> Lines:
    """What was said."""
    return Lines()


@pytest_asyncio.fixture
async def launcher(terminal: Lines) -> AsyncIterator[Launcher]:
    """A launcher whose children are gone after the test."""
    made = Launcher(terminal)
    yield made
    made.kill_all()
    await made.stop()


async def test_stops_tier_by_tier(launcher: Launcher, terminal: Lines, tmp_path: Path) -> None:
    """A lower tier has ended before the next one is asked to."""
    await launcher.start([program("broker", tmp_path, tier=2)])
    await launcher.start([program("service", tmp_path, tier=0), program("proxy", tmp_path, tier=1)])
    pids = list(launcher.pids().values())
    await launcher.stop()
    assert (tmp_path / "order").read_text().split() == ["service", "proxy", "broker"]
    assert not [pid for pid in pids if process_exists(pid)]
    assert ("service", "up") in terminal.lines


async def test_stubborn_program_is_killed_and_the_rest_still_stops_in_order(
    launcher: Launcher, terminal: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who ignores SIGTERM is killed, said so, and leaves the broker its time."""
    monkeypatch.setattr(launcher_module, "STOP_TIMEOUT_S", 3.0)
    await launcher.start([program("broker", tmp_path, tier=2), program("service", tmp_path, code=STUBBORN)])
    await launcher.stop()
    assert (tmp_path / "order").read_text().split() == ["service", "broker"]
    assert [note for note in terminal.notes if "killing it" in note] == ["service did not stop in time; killing it"]
    assert launcher.pids() == {}


async def test_crashed_program_is_started_again(launcher: Launcher, terminal: Lines, tmp_path: Path) -> None:
    """A child that dies is named with its signal, and another one takes its place, again and again."""
    await launcher.start([program("service", tmp_path)])
    for _ in range(2):
        before = launcher.pids()["service"]
        os.kill(before, signal.SIGKILL)
        await eventually(lambda gone=before: launcher.pids().get("service", gone) != gone, what="another process")
    assert sum("SIGKILL" in note for note in terminal.notes) == 2


# Ready at its first start; at each later one it ends at once with the given code.
RELAPSES = (
    """
import pathlib, sys
if pathlib.Path(sys.argv[1]).exists():
    pathlib.Path(sys.argv[1]).unlink()
if pathlib.Path(sys.argv[1] + ".once").exists():
    sys.exit(CODE)
pathlib.Path(sys.argv[1] + ".once").touch()
"""
    + OBEDIENT
)


@pytest.mark.parametrize(
    ("code", "told"),
    [(78, r"service cannot work with its settings \(exit code 78\)"), (3, r"service ended 3 times .* \(exit code 3\)")],
)
async def test_program_that_cannot_come_back_is_given_up(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, told: str
) -> None:
    """Wrong settings at once, other ends before readiness after some tries: the failure says which program and why."""
    monkeypatch.setattr(launcher_module, "MAX_FAILED_STARTS", 3)
    monkeypatch.setattr(launcher_module, "BACKOFF_FIRST_S", 0.01)
    await launcher.start([program("service", tmp_path, code=RELAPSES.replace("CODE", str(code)))])
    os.kill(launcher.pids()["service"], signal.SIGKILL)
    with pytest.raises(StartFailed, match=told):
        await asyncio.wait_for(launcher.failure(), scaled_s(60.0))


async def test_killed_program_is_never_given_up(
    launcher: Launcher, terminal: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is killed from outside, ready or not, says nothing about its next start."""
    monkeypatch.setattr(launcher_module, "MAX_FAILED_STARTS", 1)
    monkeypatch.setattr(launcher_module, "BACKOFF_FIRST_S", 0.01)
    failure = asyncio.ensure_future(launcher.failure())
    await launcher.start([program("service", tmp_path)])
    for _ in range(3):
        before = launcher.pids()["service"]
        (tmp_path / "service").unlink(missing_ok=True)
        os.kill(before, signal.SIGKILL)
        await eventually(lambda gone=before: launcher.pids().get("service", gone) != gone, what="another process")
    await eventually(lambda: "service is ready again" in terminal.notes, what="it is ready again")
    assert not failure.done()
    failure.cancel()


async def test_program_that_ends_at_once_is_told_with_its_words(
    launcher: Launcher, terminal: Lines, tmp_path: Path
) -> None:
    """A start that cannot succeed fails at once, after the program's own last words."""
    broken = Program("broken", [sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"],
                     file_ready(tmp_path / "never"), 0, base_environment())  # fmt: skip
    with pytest.raises(StartFailed, match=r"broken ended \(exit code 3\)"):
        await launcher.start([broken])
    assert ("broken", "no such thing") in terminal.lines


async def test_missing_program_is_told(launcher: Launcher, tmp_path: Path) -> None:
    """A program that is not there is a start that failed, with its path."""
    missing = Program("missing", [str(tmp_path / "no-such")], file_ready(tmp_path / "never"), 0, base_environment())
    with pytest.raises(StartFailed, match="missing"):
        await launcher.start([missing])


async def test_endless_line_does_not_block_the_program(launcher: Launcher, terminal: Lines, tmp_path: Path) -> None:
    """A line beyond the bound is left out, the next one is shown."""
    code = "import sys; sys.stdout.write('x' * 100_000 + '\\nafter\\n'); sys.stdout.flush()\n" + OBEDIENT
    await launcher.start([program("chatty", tmp_path, code=code)])
    await eventually(lambda: ("chatty", "after") in terminal.lines, what="the line after the endless one")
    assert not any("xxx" in text for _, text in terminal.lines)


async def test_hidden_lines_are_left_out(launcher: Launcher, terminal: Lines, tmp_path: Path) -> None:
    """Chatter is hidden, warnings are not."""
    code = "print('[INF] hello'); print('[WRN] careful')\n" + OBEDIENT
    plain = program("nats", tmp_path, code=code)
    await launcher.start([Program(plain.name, plain.argv, plain.ready, 0, plain.env, hidden=("[INF]",))])
    await eventually(lambda: ("nats", "[WRN] careful") in terminal.lines, what="the warning")
    assert ("nats", "[INF] hello") not in terminal.lines


async def test_child_sees_only_its_environment(
    launcher: Launcher, terminal: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret of the launcher's own environment does not reach a child that was not given it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    code = "import os; print(sorted(os.environ), flush=True)\n" + OBEDIENT
    await launcher.start([program("service", tmp_path, code=code)])
    await eventually(lambda: terminal.lines, what="its environment")
    assert "OPENAI_API_KEY" not in terminal.lines[0][1]
