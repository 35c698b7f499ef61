"""`inkwire chat` and `inkwire documents`, as a person meets them: real processes, one data folder."""

import contextlib
import hashlib
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from inkwire.exits import EX_DATA, EX_OK, EX_USAGE
from tests.support.stack import ROOT, Stack, running_stack
from tests.support.wait import scaled_s

COMMAND_S: Final = 120.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One Inkwire for the tests of this file."""
    with running_stack(tmp_path_factory.mktemp("up") / "data", "--tokens-per-s", "800") as started:
        yield started


def run(stack: Stack, *arguments: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run an `inkwire` command on the running Inkwire to its end."""
    argv = [sys.executable, "-m", "inkwire", *arguments, "--data", str(stack.data)]
    return subprocess.run(
        argv, cwd=ROOT, input=typed or "", capture_output=True, text=True, timeout=scaled_s(COMMAND_S), check=False
    )


def conversation_of(ran: subprocess.CompletedProcess[str]) -> str:
    """The conversation that a talk can be gone on with."""
    found = re.search(r"chat --conversation ([a-z2-7]{26})", ran.stderr)
    assert found, ran.stderr
    return found.group(1)


async def test_a_talk_goes_on_where_it_was_left(stack: Stack) -> None:
    """One message, then two typed lines in the same conversation; what was printed is what is stored."""
    first = run(stack, "chat", "Explain event sourcing to a cook")
    assert first.returncode == EX_OK, first.stderr
    conversation = conversation_of(first)
    more = run(stack, "chat", "--conversation", conversation, typed="And to a sailor?\n\nShorter, please\n")
    assert more.returncode == EX_OK, more.stderr
    assert conversation_of(more) == conversation

    page = await stack.request("GET", f"/conversations/{conversation}/messages")
    answers = [message["reply"] for message in reversed(page["items"]) if message["role"] == "assistant"]
    assert [answer["status"] for answer in answers] == ["published"] * 3
    assert all(hashlib.sha256(answer["text"].encode()).hexdigest() == answer["sha256"] for answer in answers)
    assert first.stdout == answers[0]["text"] + "\n"
    assert more.stdout == "".join(answer["text"] + "\n" for answer in answers[1:])


def test_ctrl_c_at_the_prompt_ends_the_talk(stack: Stack) -> None:
    """At once, without another key, and with a word on how to go on."""
    terminal, inside = os.openpty()
    try:
        argv = [sys.executable, "-m", "inkwire", "chat", "--data", str(stack.data)]
        talk = subprocess.Popen(argv, cwd=ROOT, stdin=inside, stdout=inside, stderr=inside)
        try:
            prompted = _read(terminal)
            code = _interrupted(talk)
            told = _read(terminal)
        finally:
            talk.kill()
    finally:
        os.close(inside)
        os.close(terminal)
    assert prompted == "> "
    assert code == EX_OK, told
    assert "chat --conversation " in told


def _interrupted(talk: subprocess.Popen[bytes]) -> int:
    """Its exit code after Ctrl-C; pressed again, as people do, where it came between the prompt and the reading."""
    for _ in range(10):
        talk.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return talk.wait(timeout=scaled_s(2.0))
    raise AssertionError("it does not end")


def _read(terminal: int) -> str:
    """What a terminal shows next, as far as it is there."""
    ready, _, _ = select.select([terminal], [], [], scaled_s(COMMAND_S))
    assert ready, "nothing is shown"
    return os.read(terminal, 10_000).decode()


def test_a_talk_of_another_kind(stack: Stack) -> None:
    """A session about a social post is a conversation whose answers are such posts."""
    ran = run(stack, "chat", "--recipe", "social", "--option", "platform=Twitter", "Botox safety")
    assert ran.returncode == EX_OK, ran.stderr
    assert ran.stdout.strip()


def test_a_strange_conversation_is_refused(stack: Stack) -> None:
    """What cannot be a conversation, or is none of ours, is told in one line."""
    assert run(stack, "chat", "--conversation", "x", "Hello").returncode == EX_USAGE
    stranger = run(stack, "chat", "--conversation", "a" * 26, "Hello")
    assert stranger.returncode != EX_OK
    assert stranger.stderr.startswith("inkwire: ")
    assert stranger.stderr.count("\n") == 1


def test_documents_are_added_listed_mentioned_and_removed(stack: Stack, tmp_path: Path) -> None:
    """A broken file does not stop the others; a number names a document in a title until it is removed."""
    policy, broken = tmp_path / "policy.md", tmp_path / "broken.pdf"
    policy.write_text("# Policy\n\n## Doors\n\nLock every door at night.\n")
    broken.write_bytes(b"%PDF-1.7 nothing")
    added = run(stack, "documents", "add", str(broken), str(policy))
    assert added.returncode == EX_DATA
    assert str(broken) in added.stderr
    assert "@1" in added.stdout

    listed = run(stack, "documents", "list", "--json")
    assert [json.loads(line)["name"] for line in listed.stdout.splitlines()] == ["policy.md"]
    written = run(stack, "write", "--recipe", "course", "Security training from @1")
    assert written.returncode == EX_OK, written.stderr
    assert "policy.md" in written.stdout.rpartition("Sources")[2]

    assert run(stack, "documents", "remove", "one", "--yes").returncode == EX_USAGE
    assert run(stack, "documents", "remove", "@1", "--yes").returncode == EX_OK
    refused = run(stack, "write", "Training from @1")
    assert refused.returncode == EX_USAGE
    assert "@1" in refused.stderr
    assert run(stack, "documents", "remove", "1", "--yes").returncode == EX_USAGE
