"""What is printed of a post: each piece once, and honestly again when it was superseded."""

from inkwire.transcript import Piece, Superseded, Text, Transcript, harmless
from inkwire_contracts.events import (
    ChunkData,
    ChunkProduced,
    SectionCompleted,
    SectionCompletedData,
    SectionStarted,
    SectionStartedData,
)
from inkwire_contracts.fold import Outcome, Snapshot, fold
from tests.support.post_logs import PostLog, text_of, whole_post


def printed(log: PostLog, *, whole_sections: bool) -> list[Piece]:
    """All pieces of a log, event by event."""
    transcript, snapshot = Transcript(whole_sections=whole_sections), Snapshot(post=log.post)
    pieces: list[Piece] = []
    for event in log.events:
        assert fold(snapshot, event) is Outcome.APPLIED
        pieces += transcript.advance(snapshot)
    return pieces


def retried() -> PostLog:
    """A post whose second section is written again."""
    log = PostLog()
    log.request()
    log.start()
    log.plan([("a", ""), ("b", "")])
    log.write_section("a", "first ")
    log.open_section("b", "sec", chunk=2)
    log.retry("b")
    log.write_section("b", "second")
    log.publish("first second")
    return log


def test_pieces_of_a_smooth_run_join_to_the_document() -> None:
    """Nothing is superseded, and the pieces are the text."""
    pieces = printed(whole_post(), whole_sections=False)
    assert all(isinstance(piece, Text) for piece in pieces)
    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == text_of()
    assert len(pieces) > 5


def test_whole_sections_are_printed_when_they_are_done() -> None:
    """For pipes: as many pieces as sections, and their joined text is the document."""
    pieces = printed(whole_post(), whole_sections=True)
    assert [type(piece) for piece in pieces] == [Text, Text, Text]
    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == text_of()


def test_superseded_section_is_named_and_printed_again() -> None:
    """A retry says which section no longer holds, then prints it anew from its start."""
    pieces = printed(retried(), whole_sections=False)
    at = pieces.index(Superseded("B", kept=6))
    assert "".join(piece.text for piece in pieces[:at] if isinstance(piece, Text)) == "first sec"
    assert "".join(piece.text for piece in pieces[at:] if isinstance(piece, Text)) == "second"
    assert pieces.count(Superseded("B", kept=6)) == 1


def test_whole_sections_never_take_anything_back() -> None:
    """Into a pipe the retried section goes once."""
    pieces = printed(retried(), whole_sections=True)
    assert pieces == [Text("first "), Text("second")]


def test_failed_post_shows_what_there_is() -> None:
    """The open section of a failed run is printed as far as it is kept."""
    log = whole_post(end="failed")
    pieces = printed(log, whole_sections=True)
    snapshot = Snapshot(post=log.post)
    for event in log.events:
        fold(snapshot, event)
    text = "".join(section.text for section in snapshot.sections if section.in_document)
    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == text


def test_outline_is_not_part_of_the_text() -> None:
    """Sections outside the document are not printed."""
    log = PostLog()
    log.request()
    log.start()
    log.add(SectionStarted, SectionStartedData(section="outline", title="Outline", in_document=False))
    log.add(ChunkProduced, ChunkData(section="outline", start=0, end=5, text="plan!"))
    log.add(SectionCompleted, SectionCompletedData(section="outline", text="plan!"))
    log.plan([("a", "")])
    log.write_section("a", "text")
    log.publish("text")
    assert printed(log, whole_sections=True) == [Text("text")]
    assert "plan!" not in "".join(p.text for p in printed(log, whole_sections=False) if isinstance(p, Text))


def test_a_terminal_is_never_steered() -> None:
    """Escape sequences, bells and carriage returns of a text are shown as what they are not: characters."""
    shown = harmless("a\x1b]0;owned\x07b\rc\x9bd\te\n")
    assert shown == "a\ufffd]0;owned\ufffdb\ufffdc\ufffdd\te\n"
