"""The driver: processes, people and faults together, then the oracle's judgement."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from inkwire_chassis import logs
from inkwire_chassis.clock import new_id
from inkwire_chassis.conversation_log import ConversationLog
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import BrokerError, JetStream
from inkwire_chassis.nats_connection import connected
from inkwire_contracts import subjects
from inkwire_contracts.commands import Claim
from inkwire_contracts.topology import DLQ, EVENTS, JOBS
from inkwire_stores import open_store
from inkwire_stores.ports import Store
from tests.chaos.cluster import Cluster, Done, cluster
from tests.chaos.faults import AIMS, draw
from tests.chaos.oracle import ClaimSeen, Evidence, PostEvidence, Violation, judge
from tests.chaos.pacing import pause
from tests.chaos.people import People, owner_of
from tests.chaos.readers import LIVE_MANNERS, STEADY
from tests.chaos.talks import Talks
from tests.chaos.timing import Recovery, recoveries
from tests.support.wait import eventually, scaled_s

TELL_EVERY_S: Final = 1.0
CLAIMS_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Options:
    """One run. The same seed draws the same faults, posts and readers."""

    kills: int = 60
    posts: int = 20
    seed: int = 1
    open_posts: int = 5
    """Posts written at the same time."""
    talks: int = 1
    """Conversations held at the same time as they are written."""
    gap_s: float = 0.8
    """Mean time between two faults."""
    lease_s: float = 1.5
    tokens_per_s: float = 60.0
    settle_s: float = 20.0
    """After the last fault: where nothing at all comes forward for so long, what is missing is lost."""
    broken: str | None = None
    """A rule that is broken on purpose."""
    nodes: int = 1
    """Servers of the broker: 1, or 3 as a cluster."""
    aim: str | None = None
    """A rule: the faults are those that it is there for. What is broken is aimed at anyway."""


@dataclass(slots=True)
class Report:
    """What a run was and what was found."""

    options: Options
    evidence: Evidence
    violations: list[Violation]
    done: list[Done]
    recoveries: list[Recovery]
    seconds: float
    processes: dict[str, list[str]] = field(default_factory=dict)
    """Last log lines of each process."""

    @property
    def faults(self) -> Counter[str]:
        """How often what was hit."""
        return Counter(str(done.fault) for done in self.done)

    @property
    def kills(self) -> int:
        """SIGKILLs among the faults."""
        return sum(done.fault.kind == "kill" for done in self.done)


Tell = Callable[[str], None]


async def run(options: Options, folder: Path, tell: Tell) -> Report:
    """One run of the matrix. `folder` takes the data; `tell` gets a line on how it stands now and then."""
    logs.configure("matrix", form="human", level="error")  # a lost connection is what this is about
    began_s = time.monotonic()
    over = asyncio.Event()
    async with (
        cluster(
            folder,
            lease_s=options.lease_s,
            tokens_per_s=options.tokens_per_s,
            broken=options.broken,
            aim=options.aim or options.broken,
            nodes=options.nodes,
        ) as processes,
        open_store(processes.store_url) as store,
        contextlib.AsyncExitStack() as stack,
    ):
        aim = AIMS.get(options.aim or options.broken or "")
        manners = (STEADY, STEADY) if aim is not None and aim.steady_readers_only else LIVE_MANNERS
        people = People(processes, store, options.seed, over, manners, steering=aim is None)
        stack.push_async_callback(people.close)
        talks = Talks(processes, people, options.seed, over)
        stack.push_async_callback(talks.close)
        try:
            await _storm_and_calm(options, processes, people, talks, over, tell)
            evidence = await _gather(processes, people, talks, store)
        finally:
            over.set()
        evidence.processes_left = await processes.stop()
        evidence.deaths = processes.deaths
        told = {f"{n}-{process.name}": process.lines for n, process in enumerate(processes.processes())}
    return Report(
        options, evidence, judge(evidence), processes.done, recoveries(evidence.posts, processes.done),
        time.monotonic() - began_s, told,
    )  # fmt: skip


async def _storm_and_calm(
    options: Options, processes: Cluster, people: People, talks: Talks, over: asyncio.Event, tell: Tell
) -> None:
    storm_over = asyncio.Event()
    telling = asyncio.ensure_future(_tell_on(options, processes, people, over, tell))
    writing = [asyncio.ensure_future(people.keep_writing(options.posts, storm_over)) for _ in range(options.open_posts)]
    if (options.aim or options.broken) is None:
        writing += [asyncio.ensure_future(talks.hold(number)) for number in range(options.talks)]
    try:
        plan = draw(
            options.seed, options.kills, gap_s=options.gap_s, lease_s=options.lease_s,
            aim=options.aim or options.broken, nodes=options.nodes,
        )  # fmt: skip
        for fault in plan:
            await pause(over, fault.gap_s)
            processes.hit(fault)
        await processes.calm()
        storm_over.set()
        await _until_written_or_stuck(writing, lambda: people.steps + talks.steps, options.settle_s)
        over.set()
        await asyncio.gather(*writing)
    finally:
        over.set()
        telling.cancel()
        await asyncio.gather(telling, *writing, return_exceptions=True)


async def _until_written_or_stuck(
    writing: Sequence[asyncio.Future[None]], steps: Callable[[], int], settle_s: float
) -> None:
    """Wait for as long as anybody comes forward; who does not for `settle_s` is stuck, and the oracle says so."""
    seen = -1
    left: set[asyncio.Future[None]] = set(writing)
    while left and seen != steps():
        seen = steps()
        _, left = await asyncio.wait(left, timeout=scaled_s(settle_s))


async def _tell_on(options: Options, processes: Cluster, people: People, over: asyncio.Event, tell: Tell) -> None:
    began_s = time.monotonic()
    while not await pause(over, TELL_EVERY_S):
        kills = sum(done.fault.kind == "kill" for done in processes.done)
        written = sum(person.done for person in people.all)
        connections = sum(reader.history.connections for person in people.all for reader in person.readers)
        tell(
            f"{time.monotonic() - began_s:5.0f} s  kills {kills}/{options.kills}  other faults "
            f"{len(processes.done) - kills}  posts written {written}, open {len(people.all) - written}  "
            f"reader connections {connections}"
        )


async def _gather(processes: Cluster, people: People, talks: Talks, store: Store) -> Evidence:
    """Ask everybody, now that nothing is killed any more."""
    evidence = Evidence(talks=talks.evidence, never_accepted=people.never_accepted)
    async with connected(processes.nats_url, "matrix") as client:
        jetstream = JetStream(client)
        await jetstream.start()
        log = EventLog(jetstream, new_id)
        for person in people.all:
            post = person.evidence
            await read_log(log, post)
            post.stored = await store.get(post.post)
            post.download = await people.download(person)
            evidence.posts.append(post)
        conversations = ConversationLog(jetstream)
        for talk in evidence.talks:
            talk.log = await conversations.read(talk.conversation)
            talk.stored = await store.conversations.get(talk.conversation)
        with contextlib.suppress(AssertionError):  # the oracle says it
            await eventually(lambda: _no_jobs(jetstream), what="the queue is empty", timeout_s=5)
        evidence.jobs_left = (await jetstream.stream_info(JOBS))["state"]["messages"]
        evidence.dead_letters = (await jetstream.stream_info(DLQ))["state"]["messages"]
    return evidence


async def _no_jobs(jetstream: JetStream) -> bool:
    return bool((await jetstream.stream_info(JOBS))["state"]["messages"] == 0)


async def read_log(log: EventLog, post: PostEvidence) -> None:
    """Fill in the events and the claims that the broker has of a post."""
    owner = await owner_of(log, post.post)
    if owner is not None:
        post.log = await log.read(owner, post.post)
    query = {"seq": 1, "next_by_subj": subjects.claim(post.post), "batch": CLAIMS_AT_ONCE}
    messages, left, _ = await log.jetstream.direct_batch(EVENTS, query)
    if left:
        raise BrokerError(f"post {post.post} has more than {CLAIMS_AT_ONCE} claims")
    claims = [(message.seq, Claim.model_validate_json(message.payload)) for message in messages]
    post.claims = [ClaimSeen(seq, claim.attempt, claim.holder) for seq, claim in claims]
