"""Decisions of the projector."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from inkwire_contracts.events import Event, GenerateRequested, Started, UnknownEvent
from inkwire_contracts.fold import Snapshot, digest, document, fold_all
from inkwire_persister.intake import Delivery
from inkwire_persister.projector import Apply, Behind, Duplicate, Lost, Refold, is_proven, project, refold
from inkwire_stores.ports import StoredPost
from tests.support.post_logs import SECTIONS, PostLog, text_of, whole_post, with_stream_seqs

EPOCH = "2026-11-20T00:00:00Z"


def deliveries(log: PostLog) -> list[Delivery]:
    """The key events of a log in their places."""
    placed = with_stream_seqs(log.events)
    return [Delivery(event, stream_seq) for event, stream_seq in placed if event in log.key_events]


def folded(events: Sequence[Delivery], *, epoch: str = EPOCH) -> StoredPost:
    """What a store holds after these."""
    snapshot = Snapshot(post=events[0].event.post)
    fold_all(snapshot, [delivery.event for delivery in events])
    markdown = document(snapshot) if snapshot.is_final and snapshot.status != "deleted" else None
    return StoredPost(snapshot, events[-1].stream_seq, epoch, markdown)


def changed(delivery: Delivery, **fields: Any) -> Delivery:
    """The delivery with another envelope."""
    return replace(delivery, event=delivery.event.model_copy(update=fields))


def unfoldable(log: PostLog, number: int) -> list[Delivery]:
    """A log whose key event of that number contradicts the one before it."""
    damaged = deliveries(log)
    damaged[number] = changed(damaged[number], run=7)
    return damaged


def test_the_first_event_creates_the_post() -> None:
    """With nothing stored, requested is applied against seq 0."""
    first = deliveries(whole_post())[:1]
    assert project(None, first, EPOCH) == Apply(folded(first), expected_seq=0)


def test_each_next_event_is_applied_against_the_stored_seq() -> None:
    """One by one, every key event of a post follows the stored one."""
    events = deliveries(whole_post())
    stored: StoredPost | None = None
    for number, delivery in enumerate(events, start=1):
        verdict = project(stored, [delivery], EPOCH)
        assert verdict == Apply(folded(events[:number]), stored.snapshot.seq if stored else 0)
        stored = verdict.stored
    assert stored is not None and stored.markdown == text_of()


def test_a_batch_becomes_one_write() -> None:
    """Many key events of a post, in any order, are one Apply."""
    events = deliveries(whole_post())
    assert project(None, events[::-1], EPOCH) == Apply(folded(events), expected_seq=0)


def test_a_lower_seq_is_a_duplicate() -> None:
    """What is stored already changes nothing, whether it comes alone or among others."""
    events = deliveries(whole_post())
    stored = folded(events)
    for delivery in events:
        assert project(stored, [delivery], EPOCH) == Duplicate()
    assert project(stored, events, EPOCH) == Duplicate()


def test_an_event_stored_twice_in_the_log_is_a_duplicate() -> None:
    """A second copy of an event, later in the stream, neither applies nor moves the stored place."""
    events = deliveries(whole_post())
    copy = Delivery(events[2].event, 9_999)
    assert project(folded(events[:3]), [copy], EPOCH) == Duplicate()
    verdict = project(folded(events[:3]), [copy, events[3]], EPOCH)
    assert verdict == Apply(folded(events[:4]), events[2].event.seq)


def test_a_missing_event_is_read_from_the_stored_place() -> None:
    """An event whose prev is not stored yet asks for the log after the stored one, or for all of it."""
    events = deliveries(whole_post())
    assert project(folded(events[:2]), events[3:5], EPOCH) == Behind(events[1].stream_seq)
    assert project(None, events[3:], EPOCH) == Behind(0)


@pytest.mark.parametrize("end", ["published", "failed", "cancelled"])
def test_a_terminal_event_brings_the_markdown(end: Any) -> None:
    """Only an ended post has Markdown: the document, with what the open section held."""
    events = deliveries(whole_post(end=end))
    assert folded(events[:-1]).markdown is None
    verdict = project(folded(events[:-1]), events[-1:], EPOCH)
    assert isinstance(verdict, Apply)
    last = SECTIONS[-1][1]
    want = text_of() if end == "published" else text_of(SECTIONS[:-1]) + last[: len(last) // 2]
    assert verdict.stored.markdown == want


def test_a_new_run_takes_the_markdown_back() -> None:
    """A retry of a failed post makes it unfinished again; its finished sections stay."""
    log = whole_post(end="failed")
    log.run = 2
    log.request()
    events = deliveries(log)
    verdict = project(folded(events[:-1]), events[-1:], EPOCH)
    assert isinstance(verdict, Apply)
    assert verdict.stored.markdown is None and verdict.stored.snapshot.status == "queued"
    assert verdict.stored.snapshot.sections[0].text == SECTIONS[0][1]


def test_a_deleted_post_keeps_no_text() -> None:
    """After deleted the store holds a tombstone: no title, no section, no Markdown."""
    log = whole_post()
    log.delete()
    events = deliveries(log)
    verdict = project(folded(events[:-1]), events[-1:], EPOCH)
    assert isinstance(verdict, Apply)
    assert verdict.stored.markdown is None and not verdict.stored.corrupt
    assert verdict.stored.snapshot.sections == [] and verdict.stored.snapshot.title == ""


def test_an_unknown_key_type_takes_its_place() -> None:
    """A key event of a type from a newer release advances the post and changes nothing else."""
    log = whole_post(end="failed")
    envelope = log.events[-1].model_dump(include={"post", "owner", "run", "attempt", "time"})
    new = UnknownEvent(type="annotated", seq=log.seq + 1, prev=log.seq, data={}, **envelope)
    stored = folded(deliveries(log))
    verdict = project(stored, [Delivery(new, 9_999)], EPOCH)
    assert isinstance(verdict, Apply)
    assert verdict.stored.snapshot.key_seq == log.seq + 1
    assert verdict.stored.markdown == stored.markdown


def test_a_contradiction_asks_for_the_whole_log() -> None:
    """An event that is next in line but does not fit is never applied."""
    events = unfoldable(whole_post(), 3)
    assert project(folded(events[:3]), events[3:4], EPOCH) == Refold("invalid")


def test_a_wrong_digest_asks_for_the_whole_log() -> None:
    """A published event whose digest is not the text's is not believed."""
    log = whole_post()
    events = deliveries(log)
    forged = changed(events[-1], data=events[-1].event.data.model_copy(update={"sha256": digest("other")}))  # type: ignore[attr-defined]
    assert project(folded(events[:-1]), [forged], EPOCH) == Refold("digest")


def test_another_log_asks_for_all_of_it() -> None:
    """What is stored from another epoch is not carried on, even where the numbers would fit."""
    events = deliveries(whole_post())
    assert project(folded(events[:3], epoch="older"), events[3:4], EPOCH) == Refold("epoch")


def test_a_place_that_cannot_be_in_this_log_asks_for_all_of_it() -> None:
    """Reading on from behind the events that are missing would wait for ever."""
    events = deliveries(whole_post())
    stored = replace(folded(events[:2]), stream_seq=events[-1].stream_seq + 1)
    assert project(stored, events[4:5], EPOCH) == Refold("epoch")


def test_the_stored_post_is_never_changed_in_place() -> None:
    """A decision works on a copy: the stored post is as it was, whatever was folded."""
    events = deliveries(whole_post())
    stored = folded(events[:5])
    kept = stored.snapshot.model_copy(deep=True)
    project(stored, events[5:], EPOCH)
    refold(stored, events, EPOCH, "gap")
    assert stored.snapshot == kept


def test_refold_repairs_a_stored_text_that_differs() -> None:
    """A stored section that was damaged on disk is replaced by what the log says."""
    events = deliveries(whole_post())
    stored = folded(events[:-1])
    damaged = stored.snapshot.model_copy(deep=True)
    damaged.sections[0].set_text("bit rot")
    verdict = project(replace(stored, snapshot=damaged), events[-1:], EPOCH)
    assert verdict == Refold("digest")
    assert refold(replace(stored, snapshot=damaged), events, EPOCH, "digest") == Apply(
        folded(events), stored.snapshot.seq
    )


def test_a_digest_that_the_log_itself_breaks_is_corrupt() -> None:
    """If the whole log does not match its digest, the post is corrupt and nobody is told it was published."""
    log = whole_post()
    events = deliveries(log)
    events[-1] = changed(events[-1], data=events[-1].event.data.model_copy(update={"sha256": digest("other")}))  # type: ignore[attr-defined]
    verdict = refold(folded(events[:-1]), events, EPOCH, "digest")
    assert isinstance(verdict, Apply)
    assert verdict.stored.corrupt and verdict.stored.snapshot.status == "failed"
    assert verdict.stored.snapshot.error is not None and verdict.stored.snapshot.error.code == "corrupt"
    assert verdict.stored.markdown == text_of()
    assert refold(verdict.stored, events, EPOCH, "digest") == Duplicate()
    assert project(verdict.stored, events, EPOCH) == Duplicate()


def test_a_damaged_log_is_corrupt_up_to_its_damage() -> None:
    """What folds before the contradiction is kept, and marked."""
    events = unfoldable(whole_post(), 6)
    for stored in (None, folded(events[:2]), folded(events[:6])):
        verdict = refold(stored, events, EPOCH, "invalid")
        assert isinstance(verdict, Apply)
        assert verdict.stored.corrupt
        assert verdict.stored.snapshot.seq == events[5].event.seq


def test_a_corrupt_post_heals_when_its_log_folds() -> None:
    """A post once marked corrupt is carried on only from the whole log, and becomes clean if that folds."""
    events = deliveries(whole_post())
    first = refold(None, unfoldable(whole_post(), 6), EPOCH, "invalid")
    assert isinstance(first, Apply)
    assert project(first.stored, events[6:], EPOCH) == Refold("invalid")
    assert refold(first.stored, events, EPOCH, "invalid") == Apply(folded(events), first.stored.snapshot.seq)


def test_a_deletion_wins_over_a_damaged_log() -> None:
    """A corrupt post that is deleted keeps no text either."""
    log = whole_post()
    log.delete()
    events = unfoldable(log, 6)
    stored = refold(folded(events[:6]), events[:-1], EPOCH, "invalid")
    assert isinstance(stored, Apply)
    verdict = refold(stored.stored, events, EPOCH, "invalid")
    assert isinstance(verdict, Apply)
    assert verdict.stored.snapshot.status == "deleted" and verdict.stored.snapshot.sections == []
    assert not verdict.stored.corrupt and verdict.stored.markdown is None
    assert verdict.stored.snapshot.created_at == stored.stored.snapshot.created_at


def test_a_purged_log_leaves_a_tombstone() -> None:
    """Where the log keeps only deleted, a store that is behind, or empty, gets the tombstone."""
    log = whole_post()
    log.delete()
    events = deliveries(log)
    for stored in (None, folded(events[:4])):
        verdict = refold(stored, events[-1:], EPOCH, "gap")
        assert isinstance(verdict, Apply)
        assert verdict.stored.snapshot.status == "deleted"
        assert verdict.stored.snapshot.seq == events[-1].event.seq
        assert project(verdict.stored, events[-1:], EPOCH) == Duplicate()


def test_a_log_without_its_beginning_is_folded_upon_the_store() -> None:
    """After a purge the next run's events carry the stored post on, in the same log or in another."""
    log = whole_post(end="failed")
    first_run = len(log.key_events)
    log.run = 2
    log.request()
    log.start()
    events = deliveries(log)
    stored = folded(events[:first_run], epoch="older")
    verdict = refold(stored, events[first_run:], EPOCH, "epoch")
    assert verdict == Apply(folded(events), stored.snapshot.seq)


def test_duplicates_after_a_purge_change_nothing() -> None:
    """Late copies of purged events, read from another log, do not make a finished post corrupt."""
    events = deliveries(whole_post())
    assert refold(folded(events, epoch="older"), events[4:], EPOCH, "epoch") == Duplicate()


def test_an_older_copy_of_the_log_changes_nothing() -> None:
    """A broker restored from a backup that knows less than the store does not take text away."""
    events = deliveries(whole_post())
    assert refold(folded(events, epoch="older"), events[:5], EPOCH, "epoch") == Duplicate()


@pytest.mark.parametrize("epoch", ["older", EPOCH])
@pytest.mark.parametrize("end", ["published", "cancelled", "failed"])
def test_a_shorter_log_that_ends_the_stored_run_replaces_the_store(end: Any, epoch: str) -> None:
    """A restored broker whose posts came to another, earlier end: the store does not stay open for ever."""
    long = [(f"s{number}", "Long ago. " * 5) for number in range(9)]
    stored = folded(deliveries(whole_post(sections=long))[:-1], epoch=epoch)
    new = deliveries(whole_post(end=end))
    assert stored.snapshot.status == "generating" and stored.snapshot.seq > new[-1].event.seq
    assert project(stored, new[-1:], EPOCH) == Refold("epoch")
    assert refold(stored, new, EPOCH, "epoch") == Apply(folded(new), stored.snapshot.seq)


def test_an_older_end_of_an_earlier_run_changes_nothing() -> None:
    """A backup in which the first run had just failed says nothing about the second, which the store has."""
    log = whole_post(end="failed")
    backup = deliveries(log)
    log.run = 2
    log.request()
    log.start()
    stored = folded(deliveries(log), epoch="older")
    assert refold(stored, backup, EPOCH, "epoch") == Duplicate()
    assert project(replace(stored, epoch=EPOCH), backup[-1:], EPOCH) == Duplicate()


def test_another_log_that_knows_more_replaces_the_store() -> None:
    """A restored broker whose posts went on differently is the truth once it is ahead."""
    old = whole_post(end="cancelled")
    new = whole_post(sections=(*SECTIONS[:2], ("end", "Another end, and a longer one.\n" * 3)))
    stored = folded(deliveries(old), epoch="older")
    assert refold(stored, deliveries(new), EPOCH, "epoch") == Apply(folded(deliveries(new)), stored.snapshot.seq)


def test_events_without_any_history_are_lost() -> None:
    """With nothing stored and the beginning gone there is nothing to store."""
    events = deliveries(whole_post())
    assert refold(None, events[4:], EPOCH, "gap") == Lost("gap")
    assert refold(None, [], EPOCH, "unreadable") == Lost("unreadable")


def test_is_proven_asks_only_published_posts() -> None:
    """Only a published post has a digest to prove."""
    events = deliveries(whole_post())
    assert is_proven(folded(events).snapshot) and is_proven(folded(events[:3]).snapshot)
    wrong = folded(events).snapshot.model_copy(update={"sha256": digest("other")})
    assert not is_proven(wrong)


def test_foreign_events_are_never_applied() -> None:
    """An event of another post among the deliveries is a contradiction."""
    log = PostLog()
    log.request()
    events = deliveries(log)
    other: Event = whole_post(2).events[1]
    assert isinstance(other, Started) and isinstance(events[0].event, GenerateRequested)
    assert project(folded(events), [Delivery(other, 9_999)], EPOCH) == Refold("invalid")
