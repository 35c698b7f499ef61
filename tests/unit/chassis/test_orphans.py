"""Children do not outlive the process that started them, by the kernel or by the warden."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from inkwire_chassis import orphans
from inkwire_chassis.orphans import KERNEL_GUARDS, Warden, guarded
from tests.support.processes import ManagedProcess, process_exists
from tests.support.wait import eventually_sync

WAITS = "import signal; signal.pause()"

BY_THE_KERNEL = """
import subprocess, sys
from inkwire_chassis.orphans import guarded
child = subprocess.Popen(guarded([sys.executable, "-c", "print('up', flush=True); import signal; signal.pause()"]),
                         stdout=subprocess.PIPE)
child.stdout.readline()
print("child", child.pid, flush=True)
import signal; signal.pause()
"""
BY_THE_WARDEN = """
import subprocess, sys
from inkwire_chassis.orphans import Warden
warden = Warden(needed=True)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
warden.born(child.pid)
print("child", child.pid, flush=True)
import signal; signal.pause()
"""
linux = pytest.mark.skipif(not KERNEL_GUARDS, reason="the kernel does it on Linux only")


@pytest.mark.parametrize("code", [pytest.param(BY_THE_KERNEL, marks=linux), BY_THE_WARDEN], ids=["kernel", "warden"])
def test_a_killed_process_takes_its_children_along(code: str) -> None:
    """After SIGKILL, of which it cannot tell anybody, its child is ended too."""
    owner = ManagedProcess("owner", [sys.executable, "-c", code]).start()
    try:
        child = int(owner.wait_line(r"^child (\d+)$").group(1))
        assert process_exists(child)
        owner.kill9()
        eventually_sync(lambda: not process_exists(child), what="the child is ended")
    finally:
        owner.kill9()


@linux
def test_a_guarded_program_is_the_program_itself() -> None:
    """It has the process number that was started, its own arguments and its own exit code."""
    code = "import os, sys; print(os.getpid(), *sys.argv[1:]); sys.exit(7)"
    with subprocess.Popen(
        guarded([sys.executable, "-c", code, "a", "b c"]), stdout=subprocess.PIPE, text=True
    ) as child:
        out, _ = child.communicate(timeout=30)
    assert (out, child.returncode) == (f"{child.pid} a b c\n", 7)


@linux
def test_a_program_that_is_not_there_is_told() -> None:
    """One line with its name, and no stack trace."""
    done = subprocess.run(guarded(["/no/such/program"]), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == "cannot start /no/such/program: No such file or directory\n"


@linux
def test_who_comes_after_the_end_of_its_starter_does_not_begin() -> None:
    """The kernel tells of a death only afterwards: whose parent is another one already ends by itself."""
    argv = guarded([sys.executable, "-c", "print('began')"])
    argv[argv.index(str(os.getpid()))] = "1"
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and not done.stdout and "gone" in done.stderr


def test_elsewhere_a_program_is_started_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel cannot do it nothing stands between."""
    monkeypatch.setattr(orphans, "KERNEL_GUARDS", False)
    assert guarded(("program", "argument")) == ["program", "argument"]


def test_a_warden_that_is_not_needed_is_no_process() -> None:
    """It takes every word and does nothing."""
    warden = Warden(needed=False)
    assert warden._process is None
    warden.born(1)
    warden.gone(1)
    warden.close()


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that nobody is to end."""
    with subprocess.Popen([sys.executable, "-c", WAITS]) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_warden_spares_who_is_gone_already(bystander: subprocess.Popen[bytes]) -> None:
    """A number that was given back is not killed, whoever has it by then."""
    warden = Warden(needed=True)
    process = warden._process
    assert process is not None and process.stdin is not None
    warden.born(bystander.pid)
    warden.gone(bystander.pid)
    process.stdin.close()
    process.wait(30)
    assert bystander.poll() is None


def test_a_warden_that_is_closed_ends_nobody(bystander: subprocess.Popen[bytes]) -> None:
    """Whoever started children and ended in order has seen to them itself."""
    warden = Warden(needed=True)
    process = warden._process
    assert process is not None
    warden.born(bystander.pid)
    warden.close()
    assert process.returncode == -signal.SIGKILL and bystander.poll() is None
