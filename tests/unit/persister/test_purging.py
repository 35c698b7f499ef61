"""What may leave the log: the proof and the places, on scripted logs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from inkwire_contracts.fold import Snapshot, document, fold_all
from inkwire_persister.intake import Delivery
from inkwire_persister.purging import Keep, LastClaim, Purge, plan
from inkwire_stores.ports import StoredPost
from tests.support.post_logs import SECTIONS, PostLog, whole_post, with_stream_seqs

CLAIM = LastClaim(stream_seq=90, run=1)


def placed(log: PostLog, *, after_seq: int = 0) -> list[Delivery]:
    """The log's events in the stream, those up to a seq purged."""
    return [Delivery(*each) for each in with_stream_seqs(log.events) if each[0].seq > after_seq]


def stored_of(log: PostLog, **changes: Any) -> StoredPost:
    """What the persister stores of it."""
    snapshot = Snapshot(post=log.post)
    fold_all(snapshot, log.key_events)
    text = document(snapshot) if snapshot.is_final and snapshot.status != "deleted" else None
    return replace(StoredPost(snapshot, 1, "epoch", text), **changes)


def last_place(events: Sequence[Delivery]) -> int:
    return max(delivery.stream_seq for delivery in events)


def retried(end: str = "cancelled") -> tuple[PostLog, int]:
    """A post that failed, was tried again and ended; and the seq of the first run's end."""
    log = whole_post(end="failed")
    first_end = log.seq
    log.run = 2
    log.request()
    log.start()
    name, text = SECTIONS[-1]
    log.open_section(name, text)
    log.cancel(name, text) if end == "cancelled" else log.fail(name, text)
    return log, first_end


@pytest.mark.parametrize("end", ["published", "failed", "cancelled"])
def test_an_ended_post_goes_up_to_its_last_event(end: Any) -> None:
    """Every kind of end is proven by the whole log, chunks included; the claims go too."""
    log = whole_post(end=end)
    assert plan(stored_of(log), placed(log), CLAIM) == Purge(last_place(placed(log)), 90)


def test_a_post_without_claims_is_purged_as_well() -> None:
    """One that was cancelled before anybody began, for example."""
    log = whole_post()
    assert plan(stored_of(log), placed(log), None) == Purge(last_place(placed(log)), 0)


def test_a_post_that_is_being_written_stays() -> None:
    """Its run has no end yet."""
    log = PostLog()
    log.request()
    log.start()
    assert plan(stored_of(log), placed(log), CLAIM) == Keep("open")


def test_a_corrupt_post_stays() -> None:
    """Its log is the only evidence."""
    log = whole_post()
    assert plan(stored_of(log, corrupt=True), placed(log), CLAIM) == Keep("corrupt")


@pytest.mark.parametrize("end", ["published", "failed", "cancelled"])
def test_a_stored_text_that_differs_by_one_character_stays(end: Any) -> None:
    """In a section, or in the Markdown beside it."""
    log = whole_post(end=end)
    stored = stored_of(log)
    assert stored.markdown is not None
    assert plan(replace(stored, markdown=stored.markdown + " "), placed(log), CLAIM) == Keep("differs")
    changed = stored.snapshot.model_copy(deep=True)
    changed.sections[0].set_text(changed.sections[0].text[:-1] + "!")
    forged = replace(stored, snapshot=changed, markdown=document(changed))
    assert plan(forged, placed(log), CLAIM) == Keep("differs")


def test_a_log_that_goes_on_stays() -> None:
    """The next run has begun, or the store has not caught up."""
    log = whole_post(end="failed")
    stored = stored_of(log)
    log.run = 2
    log.request()
    assert plan(stored, placed(log), CLAIM) == Keep("newer")


def test_a_log_without_the_stored_end_is_an_alarm() -> None:
    """The store knows more than the log: nothing is proven by what is left."""
    log = whole_post()
    assert plan(stored_of(log), placed(log)[:-1], CLAIM) == Keep("missing")
    assert plan(stored_of(log), [], CLAIM) == Keep("missing")


def test_a_log_that_begins_in_the_middle_of_a_run_is_an_alarm() -> None:
    """Nobody noted that its beginning was proven."""
    log = whole_post()
    assert plan(stored_of(log), placed(log, after_seq=5), CLAIM) == Keep("hole")


def test_a_purge_that_was_cut_short_goes_on() -> None:
    """What was proven is not proven again, however little of it is left."""
    log = whole_post()
    stored = stored_of(log)
    begun = replace(stored, proven_seq=stored.snapshot.seq)
    left = placed(log, after_seq=7)
    assert plan(begun, left, CLAIM) == Purge(last_place(left), 90)
    assert plan(begun, [], CLAIM) == Purge(0, 90)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
@pytest.mark.parametrize("left", [0, 3])
def test_a_later_run_is_proven_upon_the_stored_sections(end: str, left: int) -> None:
    """The log is a tail, perhaps with remains of a purge before it that was cut short."""
    log, first_end = retried(end)
    tail = placed(log, after_seq=first_end - left)
    stored = stored_of(log, proven_seq=first_end)
    assert plan(stored, tail, LastClaim(90, 2)) == Purge(last_place(tail), 90)


def test_a_later_run_whose_text_is_stored_otherwise_stays() -> None:
    """The section that the tail wrote is compared with the tail."""
    log, first_end = retried()
    stored = stored_of(log, proven_seq=first_end)
    changed = stored.snapshot.model_copy(deep=True)
    changed.sections[-1].set_text("something else")
    forged = replace(stored, snapshot=changed, markdown=document(changed))
    assert plan(forged, placed(log, after_seq=first_end), CLAIM) == Keep("differs")


def test_the_claim_of_a_run_that_is_about_to_begin_stays() -> None:
    """Its holder may be writing in this moment."""
    log = whole_post(end="failed")
    assert plan(stored_of(log), placed(log), LastClaim(500, 2)) == Purge(last_place(placed(log)), 499)


def test_an_event_that_was_stored_twice_goes_with_the_rest() -> None:
    """A copy behind the end has a lower seq, and goes too."""
    log = whole_post()
    events = placed(log)
    copy = Delivery(events[3].event, last_place(events) + 40)
    assert plan(stored_of(log), [*events, copy], CLAIM) == Purge(copy.stream_seq, 90)


def test_of_a_deleted_post_the_last_event_and_its_claim_stay() -> None:
    """Everything before them goes, text or not."""
    log = whole_post()
    log.delete()
    events = placed(log)
    assert plan(stored_of(log), events, LastClaim(700, 2)) == Purge(events[-1].stream_seq - 1, 699)
    assert plan(stored_of(log), events[:-1], LastClaim(700, 2)) == Keep("missing")
    late = Delivery(events[0].event, 690)
    with_copy = plan(stored_of(log), [*events, late], LastClaim(700, 2))
    assert with_copy == Purge(events[-1].stream_seq - 1, 699, (("requested", 690),))
