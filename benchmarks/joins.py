"""How long a reader waits for a post of 10,000 chunks: from its `subscribe` to the gateway's `live`.

    python -m benchmarks.joins [--posts 5] [--others 2000] [--events-each 60]

Real broker, real gateway process. benchmarks/README.md tells the method.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.rig import JWT_KEYS, ROOT, Broker
from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import new_id
from inkwire_chassis.event_log import EventLog
from inkwire_contracts import events, subjects
from inkwire_contracts.events import Event, encode_event
from inkwire_contracts.fold import Outcome, Snapshot, digest, document, fold
from inkwire_contracts.topology import EVENTS, topology
from inkwire_stores import StoredPost, open_store
from tests.support.log import TIME, open_log
from tests.support.ports import free_port
from tests.support.processes import ServiceProcess

OWNER = "bench"
CHUNKS = 10_000
WORD = "write and "
OTHERS_SECTIONS = 1
ACK_EACH = 1_000
"""Of the events written, so many share one acknowledgement: all before it are stored then."""

ANSWER_TIMEOUT_S = 30.0
PLAN = topology(events_max_bytes=1024**3, conversations_max_bytes=8 * 1024**2)


@dataclass(frozen=True)
class Written:
    """A post as it was put in the log."""

    post: str
    sections: int
    text: str
    seq: int
    snapshot: Snapshot


def post_events(post: str, sections: int, chunks: int, *, ended: bool) -> Iterator[Event]:
    """A post's events in order, folded on the way; without ``ended`` its last section is open."""
    snapshot = Snapshot(post=post)

    def made(kind: type[Event], **data: object) -> Event:
        fields: dict[str, object] = {
            "post": post, "owner": OWNER, "run": 1, "attempt": min(1, snapshot.seq), "seq": snapshot.seq + 1,
            "time": TIME, "data": data,
        }  # fmt: skip
        if issubclass(kind, events.KeyEvent):
            fields["prev"] = snapshot.key_seq
        event = kind.model_validate(fields)
        assert fold(snapshot, event) is Outcome.APPLIED
        return event

    yield made(events.GenerateRequested, title="A long post", recipe="blog")
    yield made(events.Started, worker="script")
    names = [f"s{number}" for number in range(1, sections + 1)]
    yield made(events.Planned, sections=[{"section": name, "title": name} for name in names])
    for name in names:
        yield made(events.SectionStarted, section=name, title=name)
        for at in range(0, chunks // sections * len(WORD), len(WORD)):
            yield made(events.ChunkProduced, section=name, start=at, end=at + len(WORD), text=WORD)
        if ended or name != names[-1]:
            yield made(events.SectionCompleted, section=name, text=WORD * (chunks // sections))
    if ended:
        text = document(snapshot)
        yield made(events.PostPublished, sha256=digest(text), length=len(text))


def interleaved(streams: list[list[Event]]) -> Iterator[Event]:
    """Events of all posts, each post's in order, all of them from the beginning to the end of the log."""
    places = [((number + 0.5) / len(stream), which, number) for which, stream in enumerate(streams)
              for number in range(len(stream))]  # fmt: skip
    for _, which, number in sorted(places):
        yield streams[which][number]


async def write(log: EventLog, all_events: Iterable[Event]) -> int:
    """Put events in the log, many at a time; returns how many, once all of them are stored."""
    jetstream, count = log.jetstream, 0
    waiting = list(all_events)
    for count, event in enumerate(waiting, 1):
        subject, payload = subjects.post_event(OWNER, event.post, event.type), encode_event(event)
        if count % ACK_EACH and count < len(waiting):
            await jetstream.client.publish(subject, payload)
        else:
            await jetstream.publish(subject, payload, {}, timeout_s=ANSWER_TIMEOUT_S)
    return count


def long_post(sections: int, *, ended: bool = False) -> tuple[Written, list[Event]]:
    """A post of 10,000 chunks."""
    post = new_id()
    made = list(post_events(post, sections, CHUNKS, ended=ended))
    snapshot = Snapshot(post=post)
    for event in made:
        assert fold(snapshot, event) is Outcome.APPLIED
    return Written(post, sections, document(snapshot), snapshot.seq, snapshot), made


# -- readers -----------------------------------------------------------------------------------------------------------


class Reader:
    """A connection that follows posts and times it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def join(self, written: Written, position: dict[str, Any] | None = None) -> tuple[float, dict[str, Any]]:
        """Follow a post; how long it took in ms, and the position it has then. The text is checked afterwards.

        Raises:
            AssertionError: what came is not the post.
        """
        asked: dict[str, Any] = {"type": "subscribe", "channel": f"post:{written.post}"}
        if position is not None:
            asked["position"] = position
        frames: list[bytes] = []
        start_s = time.perf_counter()
        await self._socket.send(orjson.dumps(asked).decode())
        while not frames or b'"type":"live"' not in frames[-1][:64]:
            frames.append(await asyncio.wait_for(self._socket.recv(decode=False), ANSWER_TIMEOUT_S))
        took_ms = (time.perf_counter() - start_s) * 1e3
        parsed = [orjson.loads(frame) for frame in frames]
        assert parsed[0]["type"] == "subscribed", parsed[0]
        if not parsed[0]["recovered"]:
            text = "".join(frame["text"] for frame in parsed if frame["type"] == "text")
            assert text == written.text, "the text that came is another one"
        else:
            assert position is not None
            _check_events(written, parsed, position["seq"])
        found: dict[str, Any] = parsed[-1]["position"]
        assert found["seq"] == written.seq, (found, written.seq)
        return took_ms, {**found, "recovered": parsed[0]["recovered"]}

    async def leave(self, written: Written) -> None:
        """Follow it no more."""
        await self._socket.send(orjson.dumps({"type": "unsubscribe", "channel": f"post:{written.post}"}).decode())
        while orjson.loads(await self._socket.recv())["type"] != "unsubscribed":
            pass


def _check_events(written: Written, frames: list[dict[str, Any]], seq: int) -> None:
    for frame in frames:
        if frame["type"] == "event":
            event = frame["event"]
            assert event.get("first_seq", event["seq"]) == seq + 1, "a resume that has a gap"
            seq = event["seq"]
    assert seq == written.seq, "a resume that ends early"


@asynccontextmanager
async def reader(port: int) -> AsyncIterator[Reader]:
    """A connection to the gateway, with a token."""
    token = KeyRing.parse(JWT_KEYS, "inkwire").mint(OWNER, now=datetime.now(UTC), lifetime_s=3_600, jti=new_id())
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(
        f"ws://127.0.0.1:{port}/ws", additional_headers=headers, max_size=None, compression=None
    ) as made:
        assert orjson.loads(await made.recv())["type"] == "welcome"
        yield Reader(made)


# -- a run -------------------------------------------------------------------------------------------------------------


async def measure(port: int, live: list[Written], ended: list[Written]) -> dict[str, list[float]]:
    """All joins, post by post."""
    found: dict[str, list[float]] = defaultdict(list)

    async def timed(row: str, at: Reader, what: Written, position: dict[str, Any] | None, recovered: bool) -> None:
        took_ms, told = await at.join(what, position)
        assert told["recovered"] is recovered, row
        found[row].append(took_ms)

    async with reader(port) as one, reader(port) as two:
        for written in live:
            shape = f"{written.sections} section{'s' if written.sections > 1 else ''}"
            took_ms, told = await one.join(written)
            found[f"first reader, {shape}"].append(took_ms)
            epoch = told["epoch"]
            await timed(f"second reader, {shape}", two, written, None, False)
            for row, back, recovered in (("500 events", 500, True), ("9,000 events", 9_000, False)):
                await two.leave(written)
                position = {"epoch": epoch, "seq": written.seq - back}
                await timed(f"resume {row} behind, {shape}", two, written, position, recovered)
        for written in ended:
            await timed("finished, from the store", one, written, None, False)
    return found


async def fill(url: str, given: argparse.Namespace, interleave: bool) -> list[Written]:
    """The log of a shape."""
    made = [long_post(sections) for sections in (1, 10) for _ in range(given.posts)]
    streams = [post for _, post in made]
    if interleave:
        streams += [
            list(post_events(new_id(), OTHERS_SECTIONS, given.events_each - 4, ended=False))
            for _ in range(given.others)
        ]
    start_s = time.monotonic()
    async with open_log(url, PLAN) as log:
        count = await write(log, interleaved(streams))
        stored = (await log.jetstream.stream_info(EVENTS))["state"]["messages"]
        assert stored == count, f"{stored} of {count} events are stored"
    print(f"{count:,} events in the log after {time.monotonic() - start_s:.0f} s", flush=True)
    return [written for written, _ in made]


async def finish(url: str, store_url: str, posts: int) -> list[Written]:
    """Posts that have ended, in the log and in the store, as the persister puts them there."""
    found: list[Written] = []
    async with (
        open_log(url, PLAN) as log,
        open_store(store_url) as store,
    ):
        for _ in range(posts):
            written, made = long_post(10, ended=True)
            await write(log, made)
            newest = await log.newest_now(OWNER, written.post)
            assert newest is not None
            stored = StoredPost(written.snapshot, newest.stream_seq, await log.epoch(), written.text)
            assert await store.put(stored, expected_seq=0)
            found.append(written)
    return found


def run(given: argparse.Namespace, interleave: bool) -> dict[str, list[float]]:
    """One log, one gateway, all joins."""
    with tempfile.TemporaryDirectory(prefix="inkwire-bench-") as folder, ExitStack() as stack:
        broker = Broker(Path(folder) / "nats", "30s").start()
        stack.callback(broker.stop)
        store_url = f"sqlite:///{Path(folder) / 'posts.sqlite3'}"
        live = asyncio.run(fill(broker.url, given, interleave))
        ended = asyncio.run(finish(broker.url, store_url, given.posts))
        port = free_port()
        environment = {
            "INKWIRE_NATS_URL": broker.url,
            "INKWIRE_STORE_URL": store_url,
            "INKWIRE_JWT_KEYS": JWT_KEYS,
            "INKWIRE_LOG_LEVEL": "warning",
            "INKWIRE_GATEWAY_PORT": str(port),
        }
        gateway = ServiceProcess("gateway", env=environment, ready_url=f"http://127.0.0.1:{port}/readyz", cwd=ROOT)
        gateway.start()
        stack.callback(gateway.kill9)
        gateway.wait_ready()
        return asyncio.run(measure(port, live, ended))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=5, help="cold posts of each shape (default 5)")
    parser.add_argument("--others", type=int, default=2_000, help="other posts in the second log (default 2,000)")
    parser.add_argument("--events-each", type=int, default=60, help="events of each of them (default 60)")
    return parser.parse_args()


def main() -> int:
    """Run both logs and print a table."""
    given = arguments()
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    alone, among = run(given, False), run(given, True)
    print(f"\n| join of {CHUNKS:,} chunks, ms | alone | among {given.others:,} posts | n |\n|---|---|---|---|")
    for row in alone:
        cells = [f"{statistics.median(t[row]):.0f} ({min(t[row]):.0f} to {max(t[row]):.0f})" for t in (alone, among)]
        print(f"| {row} | {' | '.join(cells)} | {len(alone[row])} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
