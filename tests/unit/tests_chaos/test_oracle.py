"""The kill matrix's oracle: silent on a clean run, and loud on each forged breach."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from inkwire_chassis.event_log import StoredEvent
from inkwire_contracts.events import KEY_TYPES, event_from_dict
from inkwire_contracts.fold import Snapshot, digest, document, fold
from inkwire_stores.ports import StoredPost
from tests.chaos.oracle import POST_RULES, ClaimSeen, Evidence, PostEvidence, ReaderHistory, Sight, judge, view

POST = "aaaabbbbccccddddeeeeffff22"
TEXT = "Hello, reader. 😀"
EVENTS: list[tuple[str, int, dict[str, Any]]] = [
    ("requested", 0, {"title": "A title", "recipe": "blog"}),
    ("started", 1, {"worker": "one"}),
    ("planned", 1, {"sections": [{"section": "s1", "title": "One"}]}),
    ("section_started", 1, {"section": "s1"}),
    ("chunk", 1, {"section": "s1", "start": 0, "end": 4, "text": "Lost"}),
    ("started", 2, {"worker": "two"}),
    ("section_started", 2, {"section": "s1"}),
    ("chunk", 2, {"section": "s1", "start": 0, "end": 5, "text": TEXT[:5]}),
    ("chunk", 2, {"section": "s1", "start": 5, "end": len(TEXT), "text": TEXT[5:]}),
    ("section_completed", 2, {"section": "s1", "text": TEXT}),
    ("published", 2, {"sha256": digest(TEXT), "length": len(TEXT)}),
]
"""A post whose first worker was killed in its first section."""

CLAIM_PLACES = {1: 102, 2: 107}


def log_of(events: Sequence[tuple[str, int, dict[str, Any]]]) -> list[StoredEvent]:
    """A log that holds these events, numbered, with places in the stream that leave room for the claims."""
    log: list[StoredEvent] = []
    prev = 0
    for seq, (kind, attempt, data) in enumerate(events, 1):
        body = {
            "type": kind, "post": POST, "owner": "ada", "run": 1, "attempt": attempt, "seq": seq,
            "time": f"2026-03-01T10:00:{seq:02d}.000Z", "data": data,
        }  # fmt: skip
        if kind in KEY_TYPES:
            body["prev"], prev = prev, seq
        log.append(StoredEvent(event_from_dict(body), json.dumps(body).encode(), 101 + seq + attempt))
    return log


def sights_of(log: Sequence[StoredEvent], *, keys_only: bool = False) -> list[Sight]:
    """What somebody shows who follows the log event by event."""
    snapshot = Snapshot(post=POST)
    sights = []
    for stored in log:
        if keys_only and stored.event.type not in KEY_TYPES:
            continue
        fold(snapshot, stored.event)
        sights.append(Sight(float(stored.event.seq), "event", snapshot.seq, view(snapshot)))
    return sights


def clean() -> PostEvidence:
    """A post that kept every promise."""
    log = log_of(EVENTS)
    snapshot = Snapshot(post=POST)
    for stored in log:
        fold(snapshot, stored.event)
    text = document(snapshot)
    return PostEvidence(
        post=POST,
        log=log,
        claims=[ClaimSeen(place, attempt, f"generator-{attempt}") for attempt, place in CLAIM_PLACES.items()],
        readers=[ReaderHistory("steady", "steady", sights_of(log), final_text=text)],
        store_sights=sights_of(log, keys_only=True),
        stored=StoredPost(snapshot, log[-1].stream_seq, "epoch", text),
        download=text.encode(),
        repeated_ids=[POST],
    )


def rules(post: PostEvidence) -> set[str]:
    """Names of the rules that the oracle finds broken."""
    return {violation.rule for violation in judge(Evidence(posts=[post]))}


def test_a_clean_run_has_no_violation() -> None:
    """A take-over whose text was announced as superseded, stored and downloaded as it is, breaks no rule."""
    assert judge(Evidence(posts=[clean()])) == []


def relog(post: PostEvidence, log: list[StoredEvent]) -> None:
    """Another log, which readers, store and api follow faithfully: only the log itself is wrong."""
    post.log = log
    post.readers[0].sights = sights_of(log)
    post.store_sights = sights_of(log, keys_only=True)


def zombie_write(post: PostEvidence) -> None:
    """The first attempt writes once more after the second has claimed."""
    log = list(post.log)
    event = log[7].event.model_copy(update={"attempt": 1})
    post.log = [*log[:7], replace(log[7], event=event, raw=b"zombie"), *log[8:]]


def doubled_seq(post: PostEvidence) -> None:
    """Two different events have one seq."""
    log = list(post.log)
    post.log = [*log[:8], replace(log[7], raw=b"another", stream_seq=log[7].stream_seq), *log[8:]]


def missing_event(post: PostEvidence) -> None:
    """The log lost a chunk."""
    post.log = [*post.log[:8], *post.log[9:]]


def no_terminal(post: PostEvidence) -> None:
    """The run has no end."""
    relog(post, list(post.log[:-1]))


def two_terminals(post: PostEvidence) -> None:
    """The run ends twice."""
    relog(post, log_of([*EVENTS, EVENTS[-1]]))


def wrong_terminal(post: PostEvidence) -> None:
    """The run failed, which no fault of this matrix excuses."""
    relog(post, log_of([*EVENTS[:-1], ("failed", 2, {"code": "poison"})]))


def wrong_digest(post: PostEvidence) -> None:
    """The published digest is that of another text."""
    relog(post, log_of([*EVENTS[:-1], ("published", 2, {"sha256": digest("another"), "length": 7})]))


def section_unlike_its_chunks(post: PostEvidence) -> None:
    """A section is completed with a text that nobody saw being written."""
    other = TEXT.upper()
    end = ("published", 2, {"sha256": digest(other), "length": len(other)})
    relog(post, log_of([*EVENTS[:-2], ("section_completed", 2, {"section": "s1", "text": other}), end]))


def lost_character(post: PostEvidence) -> None:
    """A reader missed the last character of one chunk, and is whole again later."""
    sights = post.readers[0].sights
    sights[7] = replace(sights[7], view=digest("Hell"))


def stale_text_after_take_over(post: PostEvidence) -> None:
    """A reader still shows the superseded text after the next worker has started."""
    sights = post.readers[0].sights
    sights[5] = replace(sights[5], view=sights[4].view)


def reader_goes_back(post: PostEvidence) -> None:
    """A reader that resumed is given an older state, true as it once was."""
    sights = post.readers[0].sights
    sights.insert(9, sights[3])


def reader_never_ends(post: PostEvidence) -> None:
    """The last event never reached a reader."""
    post.readers[0].sights.pop()
    post.readers[0].final_text = None


def reader_ends_early(post: PostEvidence) -> None:
    """A reader took an earlier state for the end."""
    post.readers[0].sights.pop()


def reader_has_another_text(post: PostEvidence) -> None:
    """A reader's text at the end has one character too many."""
    post.readers[0].final_text = TEXT + "!"


def reader_is_refused(post: PostEvidence) -> None:
    """A reader of an accepted post is told that there is none."""
    post.readers[0].refusals.append("error not_found: no such post")


def store_missed_an_event(post: PostEvidence) -> None:
    """The store showed a section as missing for a while."""
    sights = list(post.store_sights)
    sights[-2] = replace(sights[-2], view=sights[-3].view)
    post.store_sights = sights


def store_goes_back(post: PostEvidence) -> None:
    """The store returned to an older state."""
    post.store_sights = [*post.store_sights, post.store_sights[0]]


def store_has_nothing(post: PostEvidence) -> None:
    """The post never reached the store."""
    post.stored = None


def store_is_behind(post: PostEvidence) -> None:
    """The store stopped before the end."""
    assert post.stored is not None
    behind = post.stored.snapshot.model_copy(deep=True, update={"seq": 10, "status": "generating"})
    post.stored = replace(post.stored, snapshot=behind)


def store_is_corrupt(post: PostEvidence) -> None:
    """The store calls the post corrupt."""
    assert post.stored is not None
    post.stored = replace(post.stored, corrupt=True)


def store_has_another_text(post: PostEvidence) -> None:
    """The stored Markdown lost its last character."""
    assert post.stored is not None
    post.stored = replace(post.stored, markdown=TEXT[:-1])


def download_differs(post: PostEvidence) -> None:
    """The api serves other bytes."""
    post.download = (TEXT + "\n").encode()


def second_post(post: PostEvidence) -> None:
    """A repeated request made another post."""
    post.repeated_ids = [POST, "another"]


def wished_away_and_there(post: PostEvidence) -> None:
    """Its owner deleted it, and it was written on."""
    post.deleted = True


FORGERIES: dict[Callable[[PostEvidence], None], str] = {
    zombie_write: "one_writer",
    doubled_seq: "log_contiguous",
    missing_event: "log_contiguous",
    no_terminal: "one_terminal",
    two_terminals: "one_terminal",
    wrong_terminal: "one_terminal",
    wrong_digest: "digest_proves",
    section_unlike_its_chunks: "section_is_its_chunks",
    lost_character: "readers_show_the_log",
    stale_text_after_take_over: "readers_show_the_log",
    reader_goes_back: "readers_go_forward",
    reader_never_ends: "readers_reach_the_end",
    reader_ends_early: "readers_reach_the_end",
    reader_has_another_text: "readers_reach_the_end",
    reader_is_refused: "readers_are_served",
    store_missed_an_event: "store_shows_the_log",
    store_goes_back: "store_shows_the_log",
    store_has_nothing: "store_is_the_log",
    store_is_behind: "store_is_the_log",
    store_is_corrupt: "store_is_the_log",
    store_has_another_text: "store_is_the_log",
    download_differs: "download_is_the_log",
    second_post: "one_post_per_key",
    wished_away_and_there: "deleted_at_last",
}


@pytest.mark.parametrize(("forge", "rule"), FORGERIES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_each_breach_is_found(forge: Callable[[PostEvidence], None], rule: str) -> None:
    """Evidence that is forged in one place is reported under the rule that it breaks."""
    post = clean()
    forge(post)
    assert rule in rules(post)


def test_text_that_is_taken_back_unannounced_is_found() -> None:
    """A log in which a section shrinks by an event that announces nothing is reported."""
    events = [*EVENTS[:9], ("section_completed", 2, {"section": "s1", "text": TEXT[:3]})]
    post = clean()
    post.log = log_of(events)
    assert {"superseded_is_announced", "section_is_its_chunks"} <= rules(post)


def test_an_event_stored_twice_is_a_duplicate_and_no_breach() -> None:
    """The same bytes again, as after the broker's duplicate window, change nothing."""
    post = clean()
    post.log = [*post.log[:9], post.log[8], *post.log[9:]]
    assert rules(post) == set()


def deleted() -> PostEvidence:
    """A post that was written and then deleted; its reader saw that, one that came later was told so."""
    post = clean()
    log = log_of([*EVENTS, ("deleted", 2, {})])
    relog(post, log)
    snapshot = Snapshot(post=POST)
    for stored in log:
        fold(snapshot, stored.event)
    post.deleted = True
    post.readers[0].final_text = ""
    post.readers = [*post.readers, ReaderHistory("after", "after", gone=True)]
    post.stored, post.download = StoredPost(snapshot, log[-1].stream_seq, "epoch", None), None
    return post


def test_a_deleted_post_of_which_nothing_is_left_is_no_breach() -> None:
    """Tombstone, `gone` and no download are what the owner asked for."""
    assert rules(deleted()) == set()


def test_a_deleted_post_that_can_be_had_is_found() -> None:
    """Its text is still stored, or still served."""
    stored, served = deleted(), deleted()
    assert stored.stored is not None
    stored.stored = replace(stored.stored, markdown=TEXT)
    served.download = TEXT.encode()
    assert rules(stored) == rules(served) == {"download_is_the_log"}


@pytest.mark.parametrize(
    ("evidence", "rule"),
    [
        (Evidence(never_accepted=["A title"]), "accepted"),
        (Evidence(jobs_left=1), "jobs_done"),
        (Evidence(dead_letters=1), "no_dead_letters"),
        (Evidence(deaths=["api ended by itself"]), "lives"),
        (Evidence(processes_left=["process 7"]), "no_process_left"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_breaches_of_the_whole_run_are_found(evidence: Evidence, rule: str) -> None:
    """What concerns no single post is reported too."""
    assert [violation.rule for violation in judge(evidence)] == [rule]


def test_every_rule_of_a_post_is_proved() -> None:
    """A rule without a forgery could be one that never fails."""
    assert set(POST_RULES) <= set(FORGERIES.values())
