"""The pure parts of benchmarks.fanout: what is sent, and how a profile is read."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fanout import Load, Round, Shape, hottest, summarise
from benchmarks.fanout_rig import END, FLOOR, POST, SEQ, STAMP, START, TEXT, Missing, compile_c, template
from inkwire_chassis.clock import new_id
from inkwire_contracts.events import ChunkProduced, encode_event, parse_event
from inkwire_gateway.dialects.native import event_payload
from inkwire_gateway.ring import Batch

STAMPED = TEXT.replace("@stamp@", "0" * 15 + "7")


def filled(raw: bytes, post: str) -> bytes:
    """As the load client fills a template in: the second chunk of a section."""
    figures = {SEQ: 5, START: len(STAMPED), END: 2 * len(STAMPED)}
    for code, figure in figures.items():
        raw = raw.replace(code, str(figure).encode())
    return raw.replace(STAMP, b"0" * 15 + b"7").replace(POST, post.encode())


def test_a_filled_template_is_the_event_that_the_log_has() -> None:
    """What the load client publishes is, byte for byte, what the log's own encoder makes of the same chunk."""
    post, made = new_id(), template()
    event = parse_event(filled(made.event, post))
    assert isinstance(event, ChunkProduced)
    assert (event.post, event.seq, event.data.text) == (post, 5, STAMPED)
    assert event.data.end - event.data.start == len(event.data.text) == made.chunk_chars
    assert encode_event(event) == filled(made.event, post)


def test_other_servers_are_given_the_bytes_that_the_gateway_sends() -> None:
    """The peers' payload is the native dialect's frame around the same event, byte for byte."""
    post, made = new_id(), template()
    raw = filled(made.event, post)
    assert filled(made.envelope, post) == event_payload(f"post:{post}", Batch(5, "chunk.produced", raw))


def test_a_shape_is_posts_times_readers() -> None:
    """``1000x5`` is a thousand posts with five readers each: five thousand connections."""
    shape = Shape.parse("1000x5")
    assert (shape.posts, shape.readers, shape.connections) == (1000, 5, 5000)


def test_each_overload_has_a_table_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Medians of the rounds, headed by how many times the half load it was; only who had a turn there is in it."""

    def loads(*offered: float) -> tuple[Load, ...]:
        return tuple(Load(each, 400, 0, 200, 2.0, 1.0, 9.0, 0.0, 0, 0.5, 0.2, 0.3, 0.1, 0.0) for each in offered)

    def row(*offered: float) -> dict[str, Round]:
        half, *overs = loads(100, *offered)
        return {"inkwire": Round("inkwire", 10.0, half, tuple(overs)), FLOOR: Round(FLOOR, 10.0, half, loads(300))}

    summarise(Shape(1, 1000), [row(300, 2000), row(300, 2000)])
    tables = capsys.readouterr().out.split("times that load")
    assert [table.splitlines()[-1].strip("| ") for table in tables[:2]] == ["3", "20"]
    ours, floor = "| inkwire | 2,000 | 200 | 800 | 0.50 | 1 | 9 |", "| C send() |"
    assert floor in tables[1] and floor not in tables[2]
    assert ours in tables[2]


def test_a_profile_tells_own_time_and_time_with_callees() -> None:
    """A place counts once for each stack that it is in, and on its own only where it is the last one."""
    alone, within = hottest("main;loop;write 6\nmain;loop;loop 2\nmain;idle 2\n", 10)
    assert alone == [("write", 0.6), ("loop", 0.2), ("idle", 0.2)]
    assert dict(within) == {"main": 1.0, "loop": 0.8, "write": 0.6, "idle": 0.2}


def test_without_a_compiler_the_benchmark_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no C compiler is on the path, the reason is told in words and nothing is started."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="a C compiler"):
        compile_c("fanout_client.c", tmp_path)


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler")
@pytest.mark.parametrize("source", ["fanout_client.c", "fanout_floor.c"])
def test_the_c_programs_compile_without_a_warning(source: str, tmp_path: Path) -> None:
    """Both programs are free of what the compiler warns of."""
    program = Path(__file__).parents[3] / "benchmarks" / source
    argv = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(tmp_path / "program"), str(program)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
