"""`inkwire up` and the commands beside it, as a person meets them: real processes, one data folder."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from inkwire_contracts.client_frames import Position
from inkwire_contracts.events import event_from_dict
from inkwire_contracts.fold import Outcome, Snapshot, document, fold
from tests.support.processes import ManagedProcess, process_exists
from tests.support.stack import ROOT, Stack, running_stack
from tests.support.wait import eventually_sync, scaled_s

COMMAND_S: Final = 120.0
SPEED: Final = ("--tokens-per-s", "800")
SLOW: Final = 40.0  # tokens a second: whatever is done when the text begins to flow is done before its end


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One Inkwire for the tests that only use it."""
    with running_stack(tmp_path_factory.mktemp("up") / "data", *SPEED) as started:
        yield started


def command(*arguments: str, data: Path) -> ManagedProcess:
    """An `inkwire` command on a data folder, not started yet."""
    argv = [sys.executable, "-m", "inkwire", *arguments, "--data", str(data)]
    return ManagedProcess(f"inkwire {arguments[0]}", argv, cwd=ROOT)


def run(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Run an `inkwire` command to its end."""
    argv = [sys.executable, "-m", "inkwire", *arguments, "--data", str(data)]
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=scaled_s(COMMAND_S))


def children(stack: Stack) -> dict[str, int]:
    """Process ids as the running one wrote them down at its start."""
    found: dict[str, int] = json.loads((stack.data / "running.json").read_text())["children"]
    return found


def fetch(stack: Stack, path: str) -> bytes:
    """One authorised GET through the public address."""
    token = run("token", data=stack.data).stdout.strip()
    request = urllib.request.Request(stack.url + path, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - the address is ours
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=scaled_s(10)) as answer:
        body: bytes = answer.read()
    return body


def lines_of(text: str) -> list[dict[str, Any]]:
    """The JSON lines of a command."""
    return [json.loads(line) for line in text.splitlines()]


def folded(lines: list[dict[str, Any]]) -> Snapshot:
    """What a script that reads the JSON lines would have in the end, by the contract's fold."""
    snapshot: Snapshot | None = None
    for line in lines:
        if line["type"] == "snapshot":
            snapshot = Snapshot.model_validate(line["snapshot"])
        elif line["type"] == "event":
            assert snapshot is not None
            assert fold(snapshot, event_from_dict(line["event"])) is Outcome.APPLIED
            assert Position.model_validate(line["position"]).seq == snapshot.seq
    assert snapshot is not None
    return snapshot


def assert_exact(stack: Stack, lines: list[dict[str, Any]]) -> None:
    """The run was published, and page, store and command line have the same bytes."""
    result = lines[-1]
    assert (result["type"], result["status"], result["verified"]) == ("result", "published", True), result
    stored = fetch(stack, f"/posts/{result['id']}/markdown")
    assert hashlib.sha256(stored).hexdigest() == result["sha256"]
    assert document(folded(lines)).encode() == stored


def all_gone(pids: list[int]) -> None:
    """Wait until none of the processes exists."""
    eventually_sync(lambda: not [pid for pid in pids if process_exists(pid)], what=f"{pids} are gone", timeout_s=20.0)


def test_says_who_writes_and_then_where_it_is(stack: Stack) -> None:
    """The last two lines of the start name the writer and the address."""
    told = [line for line in stack.process.lines if "|" not in line]
    at = told.index(f"Inkwire is ready: {stack.url}")
    assert "simulator writes the texts" in told[at - 1]


def test_write_is_published_verified_and_stored(stack: Stack) -> None:
    """`inkwire write --json` streams events that fold to the stored document, and verifies its digest."""
    done = run("write", "Top 10 Laravel tips", "--option", "length=short", "--json", data=stack.data)
    assert done.returncode == 0, done.stderr
    lines = lines_of(done.stdout)
    assert lines[0]["type"] == "accepted"
    assert sum(line["type"] == "event" for line in lines) > 50
    assert_exact(stack, lines)


def test_write_into_a_pipe_is_the_document(stack: Stack) -> None:
    """What `inkwire write > file` holds in the end is the published text, byte for byte."""
    done = run("write", "Ünïcode 🖋️ titles", "--option", "length=short", data=stack.data)
    assert done.returncode == 0, done.stderr
    post = done.stderr.split()[1].rstrip(":")
    assert done.stdout.encode() == fetch(stack, f"/posts/{post}/markdown")
    assert "verified" in done.stderr


def test_watch_prints_a_finished_post(stack: Stack) -> None:
    """`inkwire watch` of a published post prints its text and ends with 0."""
    written = lines_of(run("write", "Watch me", "--option", "length=short", "--json", data=stack.data).stdout)[-1]
    watched = run("watch", written["id"], data=stack.data)
    assert watched.returncode == 0, watched.stderr
    assert hashlib.sha256(watched.stdout.encode()).hexdigest() == written["sha256"]


def test_an_outline_is_reviewed_changed_and_written(stack: Stack) -> None:
    """`write --review` ends with 75 where nobody can be asked, `approve` takes Markdown, `export` what was written."""
    waiting = run("write", "Three tips for tea", "--review", "--option", "length=short", "--json", data=stack.data)
    result = lines_of(waiting.stdout)[-1]
    assert (waiting.returncode, result["status"]) == (75, "paused")
    post = result["id"]
    outline = json.loads(run("approve", post, "--show", data=stack.data).stdout)
    assert outline["sections"] and outline["closing"]
    edited = stack.data / "outline.md"
    edited.write_text("# Tea\n\n## Water (60 words)\n\n- soft\n\n## Leaves\n")
    approved = run("approve", post, "--outline", str(edited), data=stack.data)
    assert (approved.returncode, "goes on as run 2" in approved.stdout) == (0, True)
    text, closing = run("watch", post, data=stack.data).stdout, f"## {outline['closing']}"
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# Tea", "## Water", "## Leaves", closing]
    head, _, body = run("export", post, data=stack.data).stdout.removeprefix("---\n").partition("---\n\n")
    assert body == text and f"tags: {json.dumps(outline['tags'])}\n" in head


def test_killed_gateway_is_restarted_and_a_running_write_goes_on(stack: Stack) -> None:
    """A reader whose gateway is killed with SIGKILL misses nothing and sees nothing twice."""
    before = stack.pid_of("inkwire_gateway")
    stack.sim.set_speed(tokens_per_s=SLOW)
    writing = command("write", "The gateway dies", "--json", data=stack.data).start()
    try:
        writing.wait_line('"chunk.produced"', timeout_s=COMMAND_S)
        stack.kill9("inkwire_gateway")
        stack.sim.set_speed()
        eventually_sync(lambda: not writing.running, what="the write ends", timeout_s=COMMAND_S)
    finally:
        writing.kill9()
    assert writing.returncode == 0, writing.tail()
    lines = lines_of(writing.log)
    assert any(line["type"] == "connection" for line in lines), "it never noticed: the kill came too late"
    assert_exact(stack, lines)
    assert stack.pid_of("inkwire_gateway") != before


@pytest.mark.slow
def test_every_child_may_be_killed_while_a_post_is_written(tmp_path: Path) -> None:
    """SIGKILL of one child after the other: `up` starts each again, and who follows the post sees exactly its text."""
    with running_stack(tmp_path / "data", "--tokens-per-s", "100") as stack:
        writing = command("write", "Everything dies once", "--json", data=stack.data).start()
        try:
            writing.wait_line('"chunk.produced"', timeout_s=COMMAND_S)
            for name in ("generator", "nats", "gateway", "simulator", "caddy", "api", "persister"):
                os.kill(children(stack)[name], signal.SIGKILL)
                stack.process.wait_line(rf"{name} is ready again", timeout_s=COMMAND_S)
            eventually_sync(lambda: not writing.running, what="the write ends", timeout_s=COMMAND_S)
        finally:
            writing.kill9()
        assert writing.returncode == 0, writing.tail()
        assert_exact(stack, lines_of(writing.log))
        for name in children(stack):
            assert f"{name} ended (SIGKILL); starting it again" in stack.process.log


def test_child_that_cannot_come_back_ends_up_with_its_reason(tmp_path: Path) -> None:
    """A generator whose memory limit is too low for its start ends `up` with one line, its own words above."""
    environment = {"INKWIRE_GENERATOR_MEMORY_LIMIT_MIB": "32"}
    stack = Stack(tmp_path / "data", env=environment)
    stack.process.start()
    eventually_sync(lambda: not stack.process.running, what="up ends", timeout_s=COMMAND_S)
    stack.process.kill9()
    assert stack.process.returncode == 69
    assert "32 is too low" in stack.process.log
    assert stack.process.lines[-1].startswith("inkwire: generator ended (exit code 78)")
    assert "Traceback" not in stack.process.log


def test_interrupted_write_leaves_the_post_being_written(stack: Stack) -> None:
    """Ctrl-C ends the command with 130, and the article is written all the same."""
    stack.sim.set_speed(tokens_per_s=SLOW)
    writing = command("write", "Leave early", "--json", data=stack.data).start()
    try:
        writing.wait_line('"chunk.produced"', timeout_s=COMMAND_S)
        os.kill(writing.pid, signal.SIGINT)
        eventually_sync(lambda: not writing.running, what="the command ends")
    finally:
        writing.kill9()
        stack.sim.set_speed()
    assert writing.returncode == 130, writing.tail()
    result = lines_of(writing.log)[-1]
    assert result["status"] == "interrupted"
    assert run("watch", result["id"], data=stack.data).returncode == 0


def test_refused_request_is_one_line_and_changes_nothing(stack: Stack) -> None:
    """A wrong option ends with 64 and a line that names it; no post is made."""
    count = len(json.loads(fetch(stack, "/posts"))["items"])
    done = run("write", "No", "--option", "nonsense=1", data=stack.data)
    assert (done.returncode, done.stdout) == (64, "")
    assert "nonsense" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert len(json.loads(fetch(stack, "/posts"))["items"]) == count


def test_second_up_on_the_same_data_is_refused(stack: Stack) -> None:
    """A second Inkwire on the data folder ends at once and says where the first one is."""
    done = run("up", "--port", "0", data=stack.data)
    assert done.returncode == 69
    assert stack.url in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_doctor_and_provision_find_nothing_to_do(stack: Stack) -> None:
    """Beside a running Inkwire every check passes, and provisioning it again changes nothing."""
    doctor = run("doctor", data=stack.data)
    assert doctor.returncode == 0, doctor.stdout
    assert "provisioned" in doctor.stdout
    assert run("provision", "--check", data=stack.data).returncode == 0
    assert run("provision", data=stack.data).stdout == "nothing to change\n"


def test_sigterm_leaves_no_process(tmp_path: Path) -> None:
    """SIGTERM ends every child in order; the exit code is 0 and the folder is free again."""
    with running_stack(tmp_path / "data") as stack:
        pids = list(children(stack).values())
        assert len(pids) == 7
        assert all(process_exists(pid) for pid in pids)
        stack.process.assert_clean_exit()
        assert not [pid for pid in pids if process_exists(pid)]
        assert "killing it" not in stack.process.log
        assert not (stack.data / "running.json").exists()
        assert run("write", "Nobody is there", data=stack.data).returncode == 69


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a warden ends them (tests/integration/test_launcher.py)")
def test_kill9_leaves_no_process_and_loses_nothing(tmp_path: Path) -> None:
    """After SIGKILL of the launcher no child is left; what was written is there after the next start."""
    data = tmp_path / "data"
    with running_stack(data, *SPEED) as stack:
        written = lines_of(run("write", "Keep me", "--option", "length=short", "--json", data=data).stdout)[-1]
        pids = list(children(stack).values())
        stack.process.kill9()
        all_gone(pids)
    with running_stack(data) as again:
        assert hashlib.sha256(fetch(again, f"/posts/{written['id']}/markdown")).hexdigest() == written["sha256"]
