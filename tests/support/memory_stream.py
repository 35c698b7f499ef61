"""EVENTS in memory, behind the chassis' own EventLog: what the real code does in every order that a seed can draw.

No duplicate window at all: a broker that forgets everything is the hardest.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, cast

from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import (
    H_EXPECTED_SUBJECT,
    H_EXPECTED_SUBJECT_SEQ,
    BrokerError,
    JetStream,
    PubAck,
    Stored,
    StoredMessage,
    WrongLastSequence,
)

EPOCH = "2026-11-21T00:00:00Z"


@dataclass
class Turns:
    """Lets one task at a time take its next step; which one is drawn."""

    draw: random.Random
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    async def turn(self) -> None:
        """Wait for one's turn."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        await future

    async def play(self, *tasks: asyncio.Task[Any]) -> None:
        """Until the tasks are done; the first error is raised."""
        while not all(task.done() for task in tasks):
            for _ in range(3):
                await asyncio.sleep(0)
            self.waiting = [future for future in self.waiting if not future.done()]
            if self.waiting:
                self.waiting.pop(self.draw.randrange(len(self.waiting))).set_result(None)
        for task in tasks:
            if not task.cancelled():
                task.result()


@dataclass
class _Parts:
    """A batch that comes part by part."""

    turns: Turns
    coming: list[Stored]
    messages: int
    left: int

    async def part(self) -> list[Stored]:
        await self.turns.turn()
        found, self.coming = self.coming[: self.messages], self.coming[self.messages :]
        return found


@dataclass
class MemoryStream:
    """A JetStream with one stream. Every call is two turns: it happens between them, so an answer may be lost."""

    turns: Turns
    messages: list[StoredMessage] = field(default_factory=list)
    stored: list[StoredMessage] = field(default_factory=list)
    """All that was ever stored."""
    sent: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)
    """All publishes, to be sent once more later."""

    def log(self, ids: random.Random) -> EventLog:
        """The real thing over this stream."""
        return EventLog(cast(JetStream, self), lambda: f"{ids.getrandbits(64):x}")

    @property
    def last_seq(self) -> int:
        return self.stored[-1].seq if self.stored else 0

    def last(self, subject: str) -> StoredMessage | None:
        """The last message of a subject or filter."""
        return next((m for m in reversed(self.messages) if _fits(m.subject, subject)), None)

    def store(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> int:
        """What the server does with a publish."""
        expected = headers.get(H_EXPECTED_SUBJECT_SEQ)
        if expected is not None:
            found = self.last(headers.get(H_EXPECTED_SUBJECT, subject))
            if (found.seq if found else 0) != int(expected):
                raise WrongLastSequence("wrong last sequence", 10071)
        message = StoredMessage(subject, self.last_seq + 1, payload)
        self.messages.append(message)
        self.stored.append(message)
        return message.seq

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> PubAck:
        await self.turns.turn()
        self.sent.append((subject, payload, dict(headers)))
        seq = self.store(subject, payload, headers)
        await self.turns.turn()
        return PubAck(seq, False)

    async def stream_info(self, _stream: str) -> dict[str, Any]:
        await self.turns.turn()
        return {"created": EPOCH, "config": {"max_bytes": -1}, "state": {"bytes": 0}}

    async def leader_last(self, _stream: str, subject: str) -> StoredMessage | None:
        await self.turns.turn()
        return self.last(subject)

    async def leader_next(self, _stream: str, subject: str, from_seq: int) -> StoredMessage | None:
        await self.turns.turn()
        return next((m for m in self.messages if m.seq >= from_seq and _fits(m.subject, subject)), None)

    @asynccontextmanager
    async def direct_parts(self, stream: str, query: Mapping[str, Any], *, messages: int) -> AsyncIterator["_Parts"]:
        """What is there now, in parts; each is waited for."""
        found, left, _ = await self.direct_batch(stream, query)
        yield _Parts(
            self.turns, [(m.payload, m.seq) for m in found], min(messages, self.turns.draw.choice((1, 2, 5))), left
        )

    async def direct_batch(self, _stream: str, query: Mapping[str, Any]) -> tuple[list[StoredMessage], int, int]:
        await self.turns.turn()
        if "multi_last" in query:
            subjects = {m.subject for m in self.messages if any(_fits(m.subject, f) for f in query["multi_last"])}
            found = sorted((m for s in subjects if (m := self.last(s)) is not None), key=lambda m: m.seq)
        else:
            after = [m for m in self.messages if m.seq >= query["seq"] and _fits(m.subject, query["next_by_subj"])]
            found = after[: self.turns.draw.choice((3, query["batch"]))]
            await self.turns.turn()
            return found, len(after) - len(found), self.last_seq
        await self.turns.turn()
        return found, 0, self.last_seq if found else 0

    async def api(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        assert path.startswith("STREAM.PURGE."), path
        await self.turns.turn()
        gone = [m for m in self.messages if m.seq < body["seq"] and _fits(m.subject, body["filter"])]
        cut_short = bool(gone) and self.turns.draw.random() < 0.2
        if cut_short:
            gone = gone[: self.turns.draw.randrange(len(gone))]
        places = {m.seq for m in gone}
        self.messages = [m for m in self.messages if m.seq not in places]
        await self.turns.turn()
        if cut_short:
            raise BrokerError("the server died in the middle")
        return {"purged": len(gone)}


def _fits(subject: str, wanted: str) -> bool:
    return subject.count(".") == wanted.count(".") and fnmatchcase(subject, wanted)
