"""How a run is shown: exact text where it is kept, honest notices where it is watched, an object a line for scripts."""

import io
import json

from rich.console import Console

from inkwire.display import Display, JsonDisplay, StreamDisplay, TerminalDisplay, choose
from inkwire.following import Update
from inkwire_contracts.client_frames import Position
from inkwire_contracts.events import event_from_dict
from inkwire_contracts.fold import Outcome, Snapshot, document, fold
from tests.support.post_logs import PostLog, text_of, whole_post

RESULT = {"id": "p", "status": "published", "words": 7, "sha256": "abc", "message": ""}


class Tty(io.StringIO):
    """An output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def play(display: Display, log: PostLog) -> None:
    """Show a whole log, event by event."""
    snapshot = Snapshot(post=log.post)
    with display:
        display.accepted(log.post, "http://127.0.0.1:1")
        for event in log.events:
            assert fold(snapshot, event) is Outcome.APPLIED
            position = Position(epoch="e", seq=snapshot.seq)
            display.update(Update("event", snapshot, position, event=event, name=event.name))
        display.result(RESULT)


def retried() -> PostLog:
    """A post whose section was written twice."""
    log = PostLog()
    log.request()
    log.start()
    log.plan([("a", "")])
    log.open_section("a", "wrong words")
    log.retry("a")
    log.write_section("a", "right words\n")
    log.publish("right words\n")
    return log


def test_pipe_gets_the_text_and_nothing_else() -> None:
    """stdout is the document; progress, address and result are on stderr."""
    out, err = io.StringIO(), io.StringIO()
    play(StreamDisplay(out, err), whole_post())
    assert out.getvalue() == text_of()
    assert "http://127.0.0.1:1/p/" in err.getvalue()
    assert "verified" in err.getvalue()


def test_what_is_said_of_a_published_post_stands_beside_its_digest() -> None:
    """A check that was not passed is told where the digest is, not instead of it."""
    err = io.StringIO()
    StreamDisplay(io.StringIO(), err).result({**RESULT, "message": "The check was not passed."})
    assert err.getvalue() == "Published: 7 words, sha256 abc verified. The check was not passed.\n"


def test_pipe_of_a_retried_post_has_no_notice_in_it() -> None:
    """What goes into a file is never taken back."""
    out = io.StringIO()
    play(StreamDisplay(out, io.StringIO()), retried())
    assert out.getvalue() == "right words\n"


def test_terminal_says_what_no_longer_holds() -> None:
    """A superseded text stays visible, is called so, and is followed by the new one."""
    screen = Tty()
    play(TerminalDisplay(Console(file=screen, force_terminal=False, width=100)), retried())
    shown = screen.getvalue()
    assert shown.index("wrong words") < shown.index("written again") < shown.index("right words")


def test_terminal_text_is_complete() -> None:
    """Every line of the document is printed, also a last one without an end."""
    screen = Tty()
    play(TerminalDisplay(Console(file=screen, force_terminal=False, width=1000)), whole_post())
    for line in text_of().split("\n"):
        assert line in screen.getvalue()


def test_terminal_shows_markup_as_it_is() -> None:
    """Brackets in a text are text."""
    log = PostLog()
    log.request()
    log.start()
    log.plan([("a", "")])
    log.write_section("a", "[bold]x[/bold] [link](y)\n")
    log.publish("[bold]x[/bold] [link](y)\n")
    screen = Tty()
    play(TerminalDisplay(Console(file=screen, force_terminal=False, width=100, highlight=False)), log)
    assert "[bold]x[/bold] [link](y)" in screen.getvalue()


def test_lost_connection_is_told_on_stderr_only() -> None:
    """The notice names reason and delay, and never gets between the text."""
    out, err = io.StringIO(), io.StringIO()
    display = StreamDisplay(out, err)
    with display:
        display.update(Update("lost", Snapshot(post=whole_post().post), None, reason="slow (4102)", delay_s=0.4))
    assert out.getvalue() == ""
    assert "slow (4102)" in err.getvalue()
    assert "0.4 s" in err.getvalue()


def test_a_lost_log_is_told_in_words() -> None:
    """Who reads along learns why the text went back."""
    out, err = io.StringIO(), io.StringIO()
    display = StreamDisplay(out, err)
    with display:
        display.update(Update("replaced", Snapshot(post=whole_post().post), None, log_lost=True))
    assert "the broker's log was lost; going on from what had been saved" in err.getvalue()


def test_json_lines_fold_to_the_post() -> None:
    """Each line is one object; the events are the log's own, the result is last."""
    log, out = whole_post(), io.StringIO()
    play(JsonDisplay(out), log)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["type"] for line in lines] == ["accepted", *["event"] * log.seq, "result"]
    snapshot = Snapshot(post=log.post)
    for line in lines[1:-1]:
        assert fold(snapshot, event_from_dict(line["event"])) is Outcome.APPLIED
    assert document(snapshot) == text_of()


def test_the_display_fits_the_output() -> None:
    """A terminal gets a bar, a pipe plain text, a script JSON."""
    plain, screen = io.StringIO(), Tty()
    assert isinstance(choose(as_json=True, stdout=screen, stderr=screen), JsonDisplay)
    assert isinstance(choose(as_json=False, stdout=screen, stderr=screen), TerminalDisplay)
    assert isinstance(choose(as_json=False, stdout=plain, stderr=screen), StreamDisplay)
    assert isinstance(choose(as_json=False, stdout=screen, stderr=plain), StreamDisplay)
