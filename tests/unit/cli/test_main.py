"""Every wrong use ends with one line that says what to do, and its own exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inkwire.main import run
from inkwire.programs import Options
from inkwire.terminal import PrefixedTerminal
from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import SystemClock
from inkwire_chassis.machine import usable_cores
from inkwire_gateway.settings import MAX_WORKERS

COMMANDS = tuple("up write watch cancel retry approve export chat delete usage doctor provision token".split())
GROUPS = {"dlq": ("list", "show", "replay", "discard"), "documents": ("add", "list", "remove")}
ALL_COMMANDS = (*COMMANDS, *(f"{group} {name}" for group, names in GROUPS.items() for name in names))
POST = "k3v5q7wz2m4n6bacbd2f4g6haj"


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["nonsense"], 64, "nonsense"),
        (["up", "--generators", "x"], 64, "--generators"),
        (["up", "--generators", "0"], 64, "--generators"),
        (["up", "--port", "99999"], 64, "--port"),
        (["up", "--gateway-workers", "many"], 64, "or auto"),
        (["up", "--gateway-workers", "257"], 64, "256"),
        (["write"], 64, "title"),
        (["write", "t", "--priority", "soon"], 64, "urgent"),
        (["write", "t", "--option", "tone"], 64, "key=value"),
        (["write", "t", "--url", "127.0.0.1:8080"], 64, "http://"),
        (["write", "t"], 69, "inkwire up"),
        (["watch", "short"], 64, "26 characters"),
        (["watch", "k3v5q7wz2m4n6bacbd2f4g6haj"], 69, "inkwire up"),
        (["cancel", "short"], 64, "26 characters"),
        (["cancel", "k3v5q7wz2m4n6bacbd2f4g6haj"], 69, "inkwire up"),
        (["retry", "short"], 64, "26 characters"),
        (["approve", "short"], 64, "26 characters"),
        (["approve", POST, "--show", "--outline", "x", "--url", "http://127.0.0.1:1"], 64, "not both"),
        (["approve", POST, "--outline", "nowhere", "--url", "http://127.0.0.1:1"], 64, "No such file"),
        (["export", "short"], 64, "26 characters"),
        (["export", POST, "--format", "pdf"], 64, "docx"),
        (["delete", "short"], 64, "26 characters"),
        (["delete", POST, "short", "--yes"], 64, "short"),
        (["delete", POST], 69, "inkwire up"),
        (["dlq", "nonsense"], 64, "nonsense"),
        (["dlq", "list"], 69, "inkwire up"),
        (["dlq", "list", "--kind", "post"], 64, "job or event"),
        (["dlq", "list", "--url", "http://127.0.0.1:1"], 77, "scope ops"),
        (["dlq", "show", "x"], 64, "number"),
        (["dlq", "replay"], 64, "--all"),
        (["dlq", "replay", "1", "--all"], 64, "--all"),
        (["dlq", "replay", "1", "--reason", "poison"], 64, "--all"),
        (["dlq", "discard"], 64, "letters"),
        (["dlq", "discard", "1", "--url", "http://127.0.0.1:1", "--token", "t"], 64, "--yes"),
        (["token", "--scope", "post:everything"], 64, "post:read"),
        (["token"], 78, "inkwire up"),
        (["token", "--lifetime-s", "0"], 64, "--lifetime-s"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], code: int, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """No stack trace, the right code, nothing on stdout, no folder made."""
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("inkwire: ")
    assert len(err.splitlines()) == 1
    assert word in err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "count"), [("auto", usable_cores()), ("0", usable_cores()), ("3", 3), (str(MAX_WORKERS), MAX_WORKERS)]
)
@pytest.mark.parametrize("by_environment", [True, False])
def test_up_takes_as_many_gateway_workers_as_the_gateway(
    text: str, count: int, by_environment: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number or `auto`, from the command line or from the environment that the gateway and compose read, too."""
    chosen: list[Options] = []

    async def run_up(options: Options, _terminal: PrefixedTerminal) -> int:
        chosen.append(options)
        return 0

    monkeypatch.setattr("inkwire.up.run_up", run_up)
    monkeypatch.setattr("inkwire.network.port_is_free", lambda host, port: True)
    if by_environment:
        monkeypatch.setenv("INKWIRE_GATEWAY_WORKERS", text)
    arguments = [] if by_environment else ["--gateway-workers", text]
    assert run(["up", "--data", str(tmp_path), *arguments]) == 0
    assert [options.gateway_workers for options in chosen] == [count]


def test_what_to_type_is_what_was_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who started `./run` is told `./run`, in hints and in examples, and paths stay what they are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INKWIRE_PROGRAM", "./run")
    assert run(["token"]) == 78
    assert "`./run up`" in capsys.readouterr().err
    assert run(["up", "--help"]) == 0
    out = capsys.readouterr().out
    assert "./run up --port 9000 --data /tmp/inkwire --generators 2" in out
    for name in ALL_COMMANDS:
        assert run([*name.split(), "--help"]) == 0
        assert "  inkwire " not in capsys.readouterr().out


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_help_teaches_by_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command shows how it is used."""
    assert run([*name.split(), "--help"]) == 0
    out = capsys.readouterr().out
    lines = [line.strip() for line in out.splitlines()]
    at = lines.index("Examples:")
    assert lines[at + 1].startswith(f"inkwire {name}")


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_every_command_takes_a_data_folder(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--data` is how commands find their Inkwire."""
    run([*name.split(), "--help"])
    assert "--data" in capsys.readouterr().out


def test_alone_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command all of them are listed."""
    assert run([]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize(("group", "names"), GROUPS.items())
def test_a_group_alone_explains_itself(
    group: str, names: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dlq` is no wrong use: it lists its commands, and says how to begin."""
    monkeypatch.setenv("INKWIRE_PROGRAM", "./run")
    assert run([group]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in names)
    assert "inkwire" not in out


def test_what_a_command_needs_is_loaded_when_it_runs() -> None:
    """`--help`, `token` and wrong uses wait for no HTTP client, no WebSocket client and no drawing on terminals."""
    code = "import sys, inkwire.main; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    )
    assert "inkwire.main" in loaded
    assert not loaded & {"aiohttp", "websockets", "inkwire.client", "inkwire.display"}


@pytest.mark.parametrize("arguments", [["--help"], ["token", "--data", "{data}"]])
def test_a_reader_who_leaves_ends_it_silently(arguments: list[str], tmp_path: Path) -> None:
    """As SIGPIPE would: its exit code, and not a word, whether the pipe breaks at a line or at the last flush."""
    keys = tmp_path / "secrets" / "jwt_keys"
    keys.parent.mkdir()
    keys.write_text("k1:" + "s" * 40)
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "inkwire", *(argument.format(data=tmp_path) for argument in arguments)],
            stdout=write_end,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (141, b"")


def test_token_prints_a_token_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole output is a token of the folder's keys, for the owner and scopes asked for."""
    keys = tmp_path / "secrets" / "jwt_keys"
    keys.parent.mkdir()
    keys.write_text("k1:" + "s" * 40)
    arguments = ["token", "--owner", "alice", "--scope", "post:read", "--data", str(tmp_path)]
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    principal = KeyRing.parse(keys.read_text(), "inkwire").verify(out.strip(), now=SystemClock().now())
    assert (principal.owner, principal.scopes) == ("alice", frozenset({"post:read"}))
    assert out == out.strip() + "\n"


def test_damaged_keys_are_told_without_showing_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line names the file, not what is in it."""
    keys = tmp_path / "secrets" / "jwt_keys"
    keys.parent.mkdir()
    keys.write_text("hush-hush")
    assert run(["token", "--data", str(tmp_path)]) == 78
    err = capsys.readouterr().err
    assert str(keys) in err
    assert "hush-hush" not in err
