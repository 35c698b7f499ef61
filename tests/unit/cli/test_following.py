"""A follower takes over only what is complete, and says when something is missing."""

from collections.abc import Sequence

import pytest

from inkwire.following import DigestMismatch, OutOfStep, PostFold
from inkwire_contracts.client_frames import EventFrame, Live, Position, SnapshotFrame, TextFrame
from inkwire_contracts.events import Event
from inkwire_contracts.fold import Snapshot, document, fold_all
from tests.support.post_logs import PostLog, text_of, whole_post

EPOCH = "e1"


def event_frame(log: PostLog, event: Event) -> EventFrame:
    """A live event."""
    return EventFrame(channel=f"post:{log.post}", name=event.name, event=event.model_dump(mode="json"))


def at(log: PostLog, seq: int) -> Snapshot:
    """The post after its first events."""
    snapshot = Snapshot(post=log.post)
    fold_all(snapshot, log.events[:seq])
    return snapshot


def catch_up(snapshot: Snapshot, *, size: int = 7) -> list[SnapshotFrame | TextFrame | Live]:
    """What a gateway sends to a new reader."""
    channel = f"post:{snapshot.post}"
    head = snapshot.model_dump(mode="json")
    for section in head["sections"]:
        section["text"] = ""
    frames: list[SnapshotFrame | TextFrame | Live] = [SnapshotFrame(channel=channel, epoch=EPOCH, snapshot=head)]
    for section in snapshot.sections:
        for start in range(0, section.length, size):
            text = section.text[start : start + size]
            frames.append(
                TextFrame(channel=channel, section=section.section, start=start, end=start + len(text), text=text)
            )
    return [*frames, Live(channel=channel, position=Position(epoch=EPOCH, seq=snapshot.seq))]


def joined(log: PostLog, seq: int) -> PostFold:
    """A follower that is live at a place."""
    state = PostFold(log.post)
    for frame in catch_up(at(log, seq)):
        state.receive(frame)
    return state


def feed(state: PostFold, log: PostLog, events: Sequence[Event]) -> None:
    """Live events."""
    for event in events:
        state.receive(event_frame(log, event))


@pytest.mark.parametrize("seq", [1, 3, 7, 12, 20])
def test_join_at_any_place_ends_at_the_document(seq: int) -> None:
    """Snapshot, text and live events fold to the published text."""
    log = whole_post()
    state = joined(log, seq)
    feed(state, log, log.events[seq:])
    assert document(state.snapshot) == text_of()
    assert state.position == Position(epoch=EPOCH, seq=log.seq)
    state.verify()


def test_position_is_unknown_until_live() -> None:
    """A text that is still coming is nobody's place yet."""
    log = whole_post()
    state = PostFold(log.post)
    for frame in catch_up(at(log, 9))[:-1]:
        assert state.receive(frame) is None
    assert state.position is None


def test_a_cut_catch_up_keeps_what_was_there() -> None:
    """When the connection breaks inside a snapshot, the old text and its position still hold."""
    log = whole_post()
    state = joined(log, 8)
    before = state.snapshot.model_copy(deep=True)
    for frame in catch_up(at(log, 15))[:3]:
        state.receive(frame)
    state.reconnected()
    assert state.snapshot == before
    assert state.position == Position(epoch=EPOCH, seq=8)
    feed(state, log, log.events[8:])
    assert document(state.snapshot) == text_of()


def test_missing_piece_of_catch_up_is_noticed() -> None:
    """A text frame that does not follow the one before is never put in its place."""
    log = whole_post()
    frames = catch_up(at(log, 12))
    state = PostFold(log.post)
    with pytest.raises(OutOfStep) as raised:
        for frame in [frames[0], *frames[2:]]:
            state.receive(frame)
    assert not raised.value.keep


def test_missing_end_of_catch_up_is_noticed() -> None:
    """A snapshot that goes live before its text is complete is refused."""
    log = whole_post()
    frames = catch_up(at(log, 12))
    state = PostFold(log.post)
    with pytest.raises(OutOfStep):
        for frame in [*frames[:-2], frames[-1]]:
            state.receive(frame)


def test_missing_event_keeps_the_position() -> None:
    """A gap between events asks for the rest, from where we are."""
    log = whole_post()
    state = joined(log, 6)
    with pytest.raises(OutOfStep) as raised:
        feed(state, log, [log.events[7]])
    assert raised.value.keep
    assert state.position == Position(epoch=EPOCH, seq=6)


def test_duplicate_event_changes_nothing() -> None:
    """An event that was seen is no update."""
    log = whole_post()
    state = joined(log, 9)
    assert state.receive(event_frame(log, log.events[8])) is None
    assert state.position == Position(epoch=EPOCH, seq=9)


def test_resumed_at_another_place_is_refused() -> None:
    """A server that goes live elsewhere than where we are has another log."""
    log = whole_post()
    state = joined(log, 9)
    with pytest.raises(OutOfStep) as raised:
        state.receive(Live(channel=f"post:{log.post}", position=Position(epoch="other", seq=9)))
    assert not raised.value.keep


def test_event_before_any_text_is_refused() -> None:
    """Without a base there is nothing to apply an event to."""
    log = whole_post()
    with pytest.raises(OutOfStep):
        PostFold(log.post).receive(event_frame(log, log.events[0]))


def test_wrong_text_fails_the_digest() -> None:
    """A published text that is not the published one is told."""
    log = PostLog()
    log.request()
    log.start()
    log.plan([("a", "one")])
    log.write_section("a", "one")
    log.publish("two")
    state = joined(log, log.seq)
    with pytest.raises(DigestMismatch):
        state.verify()


def test_another_log_is_told_once() -> None:
    """A snapshot of another epoch says that the log was lost, also after a new connection; the next one does not."""
    log = whole_post()
    fold = PostFold(log.post)
    told = []
    for epoch in ("e1", "e1", "e2", "e2"):
        fold.reconnected()
        fold.receive(SnapshotFrame(channel=f"post:{log.post}", epoch=epoch, snapshot={"post": log.post, "seq": 3}))
        update = fold.receive(Live(channel=f"post:{log.post}", position=Position(epoch=epoch, seq=3)))
        assert update is not None
        told.append(update.log_lost)
        fold.forget()
    assert told == [False, False, True, False]


def test_unfinished_text_needs_no_digest() -> None:
    """Only what is published is held to a digest."""
    log = whole_post(end="failed")
    joined(log, log.seq).verify()
