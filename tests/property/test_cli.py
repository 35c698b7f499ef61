"""Following and printing over random lives of a post, with connections that break anywhere."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwire.following import PostFold
from inkwire.transcript import Superseded, Transcript
from inkwire_contracts.client_frames import EventFrame, Live, Position, SnapshotFrame, TextFrame
from inkwire_contracts.fold import Outcome, Snapshot, document, fold
from tests.support.lives import POST, Life, lives

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
CASES = settings(deadline=None, max_examples=150)
CHANNEL = f"post:{POST}"
EPOCH = "e"


def _history(life: Life) -> list[Snapshot]:
    snapshot = Snapshot(post=POST)
    history = [snapshot.model_copy(deep=True)]
    for event in life.events:
        assert fold(snapshot, event) is Outcome.APPLIED
        history.append(snapshot.model_copy(deep=True))
    return history


def _catch_up(snapshot: Snapshot) -> list[SnapshotFrame | TextFrame | Live]:
    head = snapshot.model_dump(mode="json")
    for section in head["sections"]:
        section["text"] = ""
    texts: list[TextFrame] = []
    for section in snapshot.sections:
        for start in range(0, section.length, 3):
            text = section.text[start : start + 3]
            place = {"section": section.section, "start": start, "end": start + len(text)}
            texts.append(TextFrame.model_validate({"channel": CHANNEL, **place, "text": text}))
    live = Live(channel=CHANNEL, position=Position(epoch=EPOCH, seq=snapshot.seq))
    return [SnapshotFrame(channel=CHANNEL, epoch=EPOCH, snapshot=head), *texts, live]


Break = tuple[bool, float, float, float]


@CASES
@given(life=lives(), breaks=st.lists(st.tuples(st.booleans(), *[st.floats(0, 1)] * 3), max_size=5))
def test_any_breaks_of_the_connection_end_at_the_same_post(life: Life, breaks: list[Break]) -> None:
    """Whatever is cut, resumed or sent anew, the follower ends with the log's own fold and never shows another text."""
    history = _history(life)
    state = PostFold(POST)
    for resume, joined, kept, lived in [*breaks, (False, 1.0, 1.0, 1.0)]:
        state.reconnected()
        place = state.snapshot.seq
        if state.epoch is None or not resume:
            at = place + round((len(life.events) - place) * joined)
            frames = _catch_up(history[at])
            sent = frames[: round(len(frames) * kept)]
            for frame in sent:
                state.receive(frame)
            if len(sent) < len(frames):
                assert state.snapshot == history[place], "half a catch-up was taken over"
                continue
            place = at
        until = place + round((len(life.events) - place) * lived)
        for event in life.events[place:until]:
            state.receive(EventFrame(channel=CHANNEL, name=event.name, event=event.model_dump(mode="json")))
        assert state.snapshot == history[until]
    assert state.snapshot == history[-1]


@CASES
@given(life=lives(), whole_sections=st.booleans(), data=st.data())
def test_what_stands_printed_is_the_document(life: Life, whole_sections: bool, data: st.DataObject) -> None:
    """After striking what was superseded, a prefix of the text stands there, and all of it once the run has ended."""
    transcript = Transcript(whole_sections=whole_sections)
    standing = ""
    for snapshot in _history(life):
        if not snapshot.is_final and data.draw(st.booleans(), label="missed"):
            continue
        for piece in transcript.advance(snapshot):
            if isinstance(piece, Superseded):
                assert piece.kept < len(standing)
                standing = standing[: piece.kept]
            else:
                assert piece.text
                standing += piece.text
        text = document(snapshot)
        assert text.startswith(standing)
        assert standing == text or not snapshot.is_final
