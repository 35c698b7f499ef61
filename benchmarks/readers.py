"""Posts that are written while workers come and go, with a reader for each; what they saw is judged afterwards.

A reader keeps every frame with the moment it came, so that reading costs little while the clock runs. Afterwards
the frames are folded as a client folds them, and the text is held to its digest.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from benchmarks import rig as rigs
from inkwire.following import PostFold
from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import new_id
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import H_MSG_ID, JetStream
from inkwire_chassis.nats_connection import connected
from inkwire_contracts import subjects
from inkwire_contracts.client_frames import SERVER_FRAME
from inkwire_contracts.commands import Job
from inkwire_contracts.events import ChunkProduced, RequestedData, Started

STAMP = re.compile(rb"~\d{16}~")
OWNER = "bench"
CALLS_BESIDE_SECTIONS = 2  # introduction and closing


@dataclass
class Reader:
    """One post and all frames of it, with the monotonic clock in seconds at which each came."""

    job: Job
    frames: list[tuple[float, bytes]] = field(default_factory=list)
    writing: asyncio.Event = field(default_factory=asyncio.Event)
    """The model's words have begun to come."""
    worker: str = ""
    """Who writes it now, as far as the reader knows."""
    over: bool = False
    """The run has ended."""


@dataclass(frozen=True)
class Text:
    """A frame with words of the model."""

    at_s: float
    attempt: int


@dataclass
class Story:
    """What a reader saw of a post, folded and checked."""

    post: str
    texts: list[Text]
    workers: dict[int, tuple[float, str]]
    """Attempt -> when its ``started`` came, and whose it is."""
    status: str
    attempts: int

    def longest_pause_s(self, begin_s: float = 0.0, end_s: float = float("inf")) -> float:
        """Between two frames with words, the later one within a span of time."""
        pauses = [
            after.at_s - before.at_s
            for before, after in zip(self.texts, self.texts[1:], strict=False)
            if begin_s <= after.at_s <= end_s
        ]
        return max(pauses, default=0.0)

    def hand_overs_s(self) -> list[tuple[float, float]]:
        """From the last words of one attempt until the next one has begun, and from there to its first words."""
        pairs = zip(self.texts, self.texts[1:], strict=False)
        found = []
        for before, after in pairs:
            if after.attempt > before.attempt:
                started_s, _ = self.workers[after.attempt]
                found.append((started_s - before.at_s, after.at_s - started_s))
        return found


def told(reader: Reader) -> Story:
    """Fold what a reader got.

    Raises:
        OutOfStep, DigestMismatch: it is not what was written.
    """
    state = PostFold(reader.job.post)
    story = Story(reader.job.post, [], {}, "", 0)
    for at_s, raw in reader.frames:
        update = state.receive(SERVER_FRAME.validate_json(raw))
        event = update.event if update is not None else None
        if isinstance(event, Started):
            story.workers[event.attempt] = (at_s, event.data.worker)
        elif isinstance(event, ChunkProduced) and STAMP.search(raw):
            story.texts.append(Text(at_s, event.attempt))
    state.verify()
    story.status, story.attempts = state.snapshot.status, state.snapshot.attempt
    return story


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def summary(values: Sequence[float]) -> str:
    """Count, median, p99 and the largest, in seconds."""
    if not values:
        return "none"
    return (
        f"n {len(values)}  median {percentile(values, 0.5):.3f}  p99 {percentile(values, 0.99):.3f}"
        f"  max {max(values):.3f} s"
    )


class Desk:
    """Commits posts as the api does, and reads each to the end of its run."""

    def __init__(self, rig: rigs.Rig, log: EventLog, session: aiohttp.ClientSession, sections: int) -> None:
        self._rig = rig
        self._log = log
        self._session = session
        self._calls = sections + CALLS_BESIDE_SECTIONS
        self._keys = KeyRing.parse(rigs.JWT_KEYS, "inkwire")

    async def pace(self, rate_per_s: float, seconds: float, first_token_s: float, seed: int) -> None:
        """How the model writes from now on; a post takes about ``seconds``."""
        deltas = max(1, round(seconds * rate_per_s / self._calls))
        body = {"rate_per_s": rate_per_s, "deltas": deltas, "seed": seed, "first_token_s": first_token_s}
        async with self._session.post(f"{self._rig.provider_url}/round", json=body) as answer:
            answer.raise_for_status()

    async def open(self) -> Reader:
        """A post that is requested, but not committed yet."""
        now = datetime.now(UTC)
        data = RequestedData(title="What time is it?", recipe="blog", options={"length": "short"}, fingerprint="f" * 64)
        time_text = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        job = Job(post=new_id(), owner=OWNER, run=1, time=time_text, request=data)
        await self._log.ensure_requested(job)
        return Reader(job)

    async def read(self, reader: Reader) -> None:
        """Subscribe, commit the job, and keep all frames until the run has ended.

        Raises:
            RuntimeError: it did not end as published.
        """
        job = reader.job
        token = self._keys.mint(OWNER, now=datetime.now(UTC), lifetime_s=3_600, jti=new_id())
        protocols = [Subprotocol("inkwire.v1"), Subprotocol(f"token.{token}")]
        async with connect(
            self._rig.socket_url, subprotocols=protocols, compression=None, ping_interval=None, max_size=2**24
        ) as socket:
            await socket.send(json.dumps({"type": "subscribe", "channel": f"post:{job.post}"}))
            while True:
                raw: bytes = await socket.recv(decode=False)
                reader.frames.append((time.monotonic(), raw))
                head = raw[:120]
                if b'"type":"live"' in head and not reader.worker:
                    reader.worker = "nobody"
                    subject = subjects.job(job.request.pool, job.priority, job.owner)
                    await self._log.jetstream.publish(subject, job.model_dump_json().encode(), {H_MSG_ID: job.msg_id})
                elif b'"name":"generation.started"' in head:
                    reader.worker = _worker_of(raw)
                elif b'"name":"post.published"' in head:
                    reader.over = True
                    return
                elif b'"name":"post.failed"' in head or b'"type":"error"' in head:
                    raise RuntimeError(raw[:500].decode("utf-8", "replace"))
                elif not reader.writing.is_set() and STAMP.search(raw):
                    reader.writing.set()

    async def attempts_in_vain(self, reader: Reader) -> int:
        """Attempts before the last one that were not given back on purpose, and so count toward poison."""
        claim, token = await self._log.read_claim(reader.job.post)
        if claim is None:
            return 0
        return claim.attempt - 1 - len(await self._log.released_attempts(reader.job.post, up_to=token))


def _worker_of(raw: bytes) -> str:
    frame: dict[str, Any] = json.loads(raw)
    return str(frame["event"]["data"]["worker"])


@asynccontextmanager
async def desk(rig: rigs.Rig, sections: int) -> AsyncIterator[Desk]:
    """A desk on a running rig."""
    async with connected(rig.nats_url, "bench") as client, aiohttp.ClientSession() as session:
        jetstream = JetStream(client)
        await jetstream.start()
        yield Desk(rig, EventLog(jetstream, new_id), session, sections)
