"""What must hold after any number of kills: a pure judgement over what log, store and readers recorded.

The truth is the log of EVENTS, folded; everything else is held to it, at every position that anybody ever showed.
`judge` names each breach by its rule, so that a test can break a rule on purpose and see it caught.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

from inkwire_chassis.event_log import StoredEvent
from inkwire_contracts.events import KEY_TYPES, TERMINAL_TYPES, Event, PostPublished, SectionCompleted
from inkwire_contracts.fold import Outcome, Snapshot, digest, document, fold
from inkwire_stores.ports import StoredPost
from tests.chaos.talk_oracle import TalkEvidence, judge_talk

SUPERSEDING: Final = frozenset(
    {"requested", "started", "planned", "section_started", "retrying", "failed", "cancelled", "deleted"}
)
"""Event types that tell a reader that text is taken back; after any other event each text may only have grown."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What somebody showed at one moment: the post at `seq`, as `view` sums it up."""

    at_s: float
    kind: Literal["replaced", "resumed", "event", "text", "stored"]
    seq: int
    view: str


@dataclass(slots=True)
class ReaderHistory:
    """All that one reader saw of one post."""

    name: str
    manner: str
    sights: list[Sight] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """Answers that a client must not get for a post that was accepted, and frames that do not fit together."""
    connections: int = 0
    gaps: int = 0
    """Times it had to ask again because an event did not follow."""
    final_text: str | None = None
    """The document when it saw the last run's end; None: it never did."""
    gone: bool = False
    """It was told that the post is deleted."""


@dataclass(frozen=True, slots=True)
class ClaimSeen:
    """A claim and its place in the stream, which is the token of its holder."""

    stream_seq: int
    attempt: int
    holder: str


@dataclass(slots=True)
class PostEvidence:
    """One accepted post: what everybody says of it. `ends` are the terminals that each run may have.

    Where the post was `deleted`, nobody may have anything of it in the end.
    """

    post: str
    log: Sequence[StoredEvent] = ()
    claims: Sequence[ClaimSeen] = ()
    readers: Sequence[ReaderHistory] = ()
    store_sights: Sequence[Sight] = ()
    stored: StoredPost | None = None
    download: bytes | None = None
    repeated_ids: Sequence[str] = ()
    """What repeats of the accepted request, with its Idempotency-Key, were answered."""
    ends: dict[int, frozenset[str]] = field(default_factory=lambda: {1: frozenset({"published"})})
    way: str = "left alone"
    deleted: bool = False


@dataclass(slots=True)
class Evidence:
    """A whole run of the matrix."""

    posts: list[PostEvidence] = field(default_factory=list)
    talks: list[TalkEvidence] = field(default_factory=list)
    never_accepted: list[str] = field(default_factory=list)
    jobs_left: int = 0
    dead_letters: int = 0
    deaths: list[str] = field(default_factory=list)
    """Processes that ended though nobody had killed them, or did not end when they were asked to."""
    processes_left: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept."""

    rule: str
    post: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.post + ': ' if self.post else ''}{self.message}"


def view(snapshot: Snapshot) -> str:
    """All that a reader sees of a post's text, and its status, as one digest."""
    texts = [[section.section, section.text] for section in snapshot.sections]
    return digest(json.dumps([snapshot.status, texts], ensure_ascii=False))


@dataclass(slots=True)
class Truth:
    """A log, folded event by event."""

    snapshot: Snapshot
    views: dict[int, str] = field(default_factory=dict)
    """By seq: what the whole log shows."""
    key_views: dict[int, str] = field(default_factory=dict)
    """By seq of a key event: what the key events alone show, as in the store."""
    flaws: list[tuple[str, str]] = field(default_factory=list)


def truth_of(post: str, log: Sequence[StoredEvent]) -> Truth:
    """Fold the log as far as it goes; what is wrong with it is kept as flaws (rule, message)."""
    truth = Truth(Snapshot(post=post))
    keys = Snapshot(post=post)
    seen: dict[int, bytes] = {}
    for stored in log:
        event = stored.event
        if event.seq in seen:
            if seen[event.seq] != stored.raw:
                truth.flaws.append(("log_contiguous", f"seq {event.seq} stands there twice, with different events"))
            continue
        if event.seq != len(seen) + 1:
            truth.flaws.append(("log_contiguous", f"seq {event.seq} where {len(seen) + 1} should be"))
        seen[event.seq] = stored.raw
        before = {section.section: section.text for section in truth.snapshot.sections}
        outcome = fold(truth.snapshot, event)
        if outcome is not Outcome.APPLIED:
            truth.flaws.append(("log_folds", f"seq {event.seq} ({event.type}) is {outcome}"))
            continue
        truth.flaws.extend(_text_flaws(event, before, truth.snapshot))
        truth.views[event.seq] = view(truth.snapshot)
        if event.type in KEY_TYPES:
            outcome = fold(keys, event)
            if outcome is not Outcome.APPLIED:
                truth.flaws.append(("key_events_fold", f"seq {event.seq} ({event.type}) is {outcome}"))
            truth.key_views[event.seq] = view(keys)
    return truth


def _text_flaws(event: Event, before: dict[str, str], after: Snapshot) -> Iterator[tuple[str, str]]:
    """Text is never taken back unannounced, and a finished section is exactly its chunks."""
    if isinstance(event, SectionCompleted) and before.get(event.data.section) != event.data.text:
        yield "section_is_its_chunks", f"seq {event.seq}: section {event.data.section} is not what its chunks were"
    if event.type in SUPERSEDING:
        return
    now = {section.section: section.text for section in after.sections}
    for section, text in before.items():
        if not now.get(section, "").startswith(text):
            yield "superseded_is_announced", f"seq {event.seq} ({event.type}) takes back text of section {section}"


def judge(evidence: Evidence) -> list[Violation]:
    """Every breach; none means that the promise held."""
    found = [Violation("accepted", "", f"no 202 for {title}") for title in evidence.never_accepted]
    for post in evidence.posts:
        truth = truth_of(post.post, post.log)
        found += [Violation(rule, post.post, message) for rule, message in truth.flaws]
        for name, rule in POST_RULES.items():
            found += [Violation(name, post.post, message) for message in rule(post, truth)]
    for talk in evidence.talks:
        found += [Violation(rule, talk.conversation, message) for rule, message in judge_talk(talk)]
    if evidence.jobs_left:
        found.append(Violation("jobs_done", "", f"{evidence.jobs_left} jobs are still in the queue"))
    if evidence.dead_letters:
        found.append(Violation("no_dead_letters", "", f"{evidence.dead_letters} messages were put aside"))
    found += [Violation("lives", "", death) for death in evidence.deaths]
    found += [Violation("no_process_left", "", name) for name in evidence.processes_left]
    return found


Rule = Callable[[PostEvidence, Truth], Iterator[str]]


def _one_terminal(post: PostEvidence, _truth: Truth) -> Iterator[str]:
    ends: dict[int, list[str]] = {run: [] for run in post.ends}
    seen: set[int] = set()
    for stored in post.log:
        event = stored.event
        if event.type in TERMINAL_TYPES and event.seq not in seen:
            ends.setdefault(event.run, []).append(event.type)
        seen.add(event.seq)
    for run, found in ends.items():
        if len(found) != 1:
            yield f"run {run} has {len(found)} ends: {found}"
        elif found[0] not in post.ends.get(run, frozenset()):
            yield f"run {run} ended as {found[0]}"


def _one_writer(post: PostEvidence, _truth: Truth) -> Iterator[str]:
    """Each event was stored after its attempt's claim and before the next claim; only `requested` needs none."""
    claims = sorted(post.claims, key=lambda claim: claim.stream_seq)
    for stored in post.log:
        event = stored.event
        if event.attempt == 0 and event.type == "requested":
            continue
        held = [claim for claim in claims if claim.stream_seq < stored.stream_seq]
        if not held or held[-1].attempt != event.attempt:
            holder = f"attempt {held[-1].attempt} ({held[-1].holder}) held the post" if held else "nobody held the post"
            yield f"seq {event.seq} ({event.type}) was written by attempt {event.attempt} while {holder}"


def _deleted_at_last(post: PostEvidence, truth: Truth) -> Iterator[str]:
    if (truth.snapshot.status == "deleted") is not post.deleted:
        yield f"it ends as {truth.snapshot.status}"


def _digest_proves(post: PostEvidence, truth: Truth) -> Iterator[str]:
    last = post.log[-1].event if post.log else None
    if isinstance(last, PostPublished) and last.data.sha256 != digest(document(truth.snapshot)):
        yield "the published digest is not that of the log's text"


def _readers_show_the_log(post: PostEvidence, truth: Truth) -> Iterator[str]:
    for reader in post.readers:
        for number, sight in enumerate(reader.sights):
            if truth.views.get(sight.seq) != sight.view:
                yield f"reader {reader.name}, sight {number} ({sight.kind}): it did not show the post as of {sight.seq}"
                break


def _readers_go_forward(post: PostEvidence, _truth: Truth) -> Iterator[str]:
    for reader in post.readers:
        yield from (f"reader {reader.name}: {message}" for message in _backward(reader.sights))


def _readers_reach_the_end(post: PostEvidence, truth: Truth) -> Iterator[str]:
    text = document(truth.snapshot)
    for reader in post.readers:
        if post.deleted and reader.gone:
            continue
        if reader.final_text is None or not reader.sights:
            yield f"reader {reader.name} never saw the end (it was at {reader.sights[-1].seq if reader.sights else 0})"
        elif reader.sights[-1].seq != truth.snapshot.seq:
            yield f"reader {reader.name} ended at {reader.sights[-1].seq}, the log at {truth.snapshot.seq}"
        elif digest(reader.final_text) != digest(text):
            yield f"reader {reader.name}: its text is not the log's"


def _readers_are_served(post: PostEvidence, _truth: Truth) -> Iterator[str]:
    for reader in post.readers:
        yield from (f"reader {reader.name}: {refusal}" for refusal in reader.refusals)


def _store_shows_the_log(post: PostEvidence, truth: Truth) -> Iterator[str]:
    for sight in post.store_sights:
        if truth.key_views.get(sight.seq) != sight.view:
            yield f"the store did not hold the post as of {sight.seq}"
    yield from (f"the store: {message}" for message in _backward(post.store_sights))


def _store_is_the_log(post: PostEvidence, truth: Truth) -> Iterator[str]:
    stored = post.stored
    if stored is None:
        yield "the store does not have it"
        return
    if stored.corrupt:
        yield "the store holds it as corrupt"
    if stored.snapshot.seq != truth.snapshot.seq or view(stored.snapshot) != view(truth.snapshot):
        yield f"the store is at {stored.snapshot.seq} ({stored.snapshot.status}), the log at {truth.snapshot.seq}"
    if not post.deleted and (stored.markdown is None or digest(stored.markdown) != digest(document(truth.snapshot))):
        yield "the stored Markdown is not the log's text"


def _download_is_the_log(post: PostEvidence, truth: Truth) -> Iterator[str]:
    if post.deleted:
        if post.download is not None or post.stored is None or post.stored.markdown:
            yield "a deleted post's text can still be had"
    elif post.download != document(truth.snapshot).encode():
        yield "the downloaded Markdown is not the log's text"


def _one_post_per_key(post: PostEvidence, _truth: Truth) -> Iterator[str]:
    for answered in post.repeated_ids:
        if answered != post.post:
            yield f"a repeat of its request was answered {answered}"


def _backward(sights: Sequence[Sight]) -> Iterator[str]:
    for before, after in pairwise(sights):
        if after.seq < before.seq:
            yield f"went back from {before.seq} to {after.seq}"


POST_RULES: Final[dict[str, Rule]] = {
    "one_terminal": _one_terminal,
    "one_writer": _one_writer,
    "deleted_at_last": _deleted_at_last,
    "digest_proves": _digest_proves,
    "readers_show_the_log": _readers_show_the_log,
    "readers_go_forward": _readers_go_forward,
    "readers_reach_the_end": _readers_reach_the_end,
    "readers_are_served": _readers_are_served,
    "store_shows_the_log": _store_shows_the_log,
    "store_is_the_log": _store_is_the_log,
    "download_is_the_log": _download_is_the_log,
    "one_post_per_key": _one_post_per_key,
}
