"""JetStream, as we use it: pipelined publishes with verdicts, reads by subject, and the JSON API.

nats-py's ``publish_async`` never resolves a refused publish and its history readers leave consumers behind, so
this file speaks the protocol itself (ADR 0008). Errors are told apart by one question: is it a verdict?
"""

import asyncio
import base64
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

PUBLISH_TIMEOUT_S = 1.0
API_TIMEOUT_S = 2.0
MAX_IN_FLIGHT = 20_000
"""Publishes awaiting an acknowledgement in one process; one more is refused as transient."""

WRONG_LAST_SEQUENCE = 10071
MESSAGE_TOO_LARGE = 10054
DELETE_FAILED = 10057
_NOT_FOUND = {404, 10037}

T = TypeVar("T")
Stored = tuple[bytes, int]
"""A message's payload, and its stream sequence: all that ten thousand of a history are read for."""

H_MSG_ID = "Nats-Msg-Id"
H_EXPECTED_SUBJECT_SEQ = "Nats-Expected-Last-Subject-Sequence"
H_EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"


class BrokerError(Exception):
    """The broker did not do what was asked. ``transient``: asking again with the same Msg-Id is right."""

    transient = True

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class WrongLastSequence(BrokerError):
    """The one verdict: somebody else has written since (10071)."""

    transient = False


class TooLarge(BrokerError):
    """The message will never fit; asking again is no use."""

    transient = False


class StreamFull(BrokerError):
    """No room; transient, because space comes back."""


@dataclass(frozen=True, slots=True)
class PubAck:
    """Where a message was stored. ``duplicate``: it had been stored before under the same Msg-Id."""

    seq: int
    duplicate: bool


class StoredMessage(NamedTuple):
    """A message of a stream. ``headers`` and ``time`` (the broker's, RFC 3339) only if it was read at the leader."""

    subject: str
    seq: int
    payload: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    time: str = ""


@runtime_checkable
class HandsOver(Protocol):
    """A client that can hand a message over as it comes, its header block unread: ten thousand of a history matter."""

    async def take(self, subject: str, taker: Callable[[bytes, bytes, bytes], object], /) -> Subscription:
        """Subscribe; ``taker`` is called with subject, payload and header block."""
        ...

    async def leave(self, subscription: Subscription, /) -> None:
        """Unsubscribe."""
        ...


def _error(error: Mapping[str, Any]) -> BrokerError:
    code = int(error.get("err_code", error.get("code", 0)))
    text = f"{error.get('description', 'refused')} ({code})"
    if code == WRONG_LAST_SEQUENCE:
        return WrongLastSequence(text, code)
    if code == MESSAGE_TOO_LARGE:
        return TooLarge(text, code)
    if code in (10047, 10077, 10023) or "maximum" in text:
        return StreamFull(text, code)
    return BrokerError(text, code)


def fill_ratio(info: Mapping[str, Any]) -> float:
    """How full a stream is, 0 to 1, by what :meth:`JetStream.stream_info` tells; 0 where nothing bounds it."""
    max_bytes = int(info["config"].get("max_bytes", -1))
    return int(info["state"]["bytes"]) / max_bytes if max_bytes > 0 else 0.0


class JetStream:
    """One per process, over the process's one connection. Call :meth:`start` first."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._inbox = client.new_inbox()
        self._pending: dict[str, asyncio.Future[Msg]] = {}
        self._next = 0

    async def start(self) -> None:
        """Open the reply inbox."""
        await self.client.subscribe(f"{self._inbox}.*", cb=self._on_reply)

    async def _on_reply(self, msg: Msg) -> None:
        future = self._pending.get(msg.subject)
        if future is not None and not future.done():
            future.set_result(msg)

    async def _ask(self, subject: str, payload: bytes, headers: dict[str, str] | None, timeout_s: float) -> Msg:
        if len(self._pending) >= MAX_IN_FLIGHT:
            raise BrokerError("too many requests in flight")
        self._next += 1
        reply = f"{self._inbox}.{self._next}"
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._pending[reply] = future
        try:
            await self.client.publish(subject, payload, reply=reply, headers=headers)
            async with asyncio.timeout(timeout_s):
                msg = await future
        except TimeoutError:
            raise BrokerError(f"no answer on {subject.split('.', 1)[0]}") from None
        except NatsError as error:
            raise BrokerError(str(error) or type(error).__name__) from None
        finally:
            del self._pending[reply]
        if msg.headers and msg.headers.get("Status") == "503":
            raise BrokerError("no responders", 503)
        return msg

    async def publish(
        self, subject: str, payload: bytes, headers: Mapping[str, str], timeout_s: float = PUBLISH_TIMEOUT_S
    ) -> PubAck:
        """Store a message; returns once the broker has it.

        Raises:
            WrongLastSequence: an expectation in the headers did not hold.
            BrokerError: anything else; the message may or may not be stored.
        """
        msg = await self._ask(subject, payload, dict(headers), timeout_s)
        answer = json.loads(msg.data)
        if "error" in answer:
            raise _error(answer["error"])
        return PubAck(int(answer["seq"]), bool(answer.get("duplicate", False)))

    async def api(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call ``$JS.API.<path>`` and return the decoded answer.

        Raises:
            BrokerError: the answer is an error, or there was none.
        """
        payload = json.dumps(body).encode() if body else b""
        answer = json.loads((await self._ask(f"$JS.API.{path}", payload, None, API_TIMEOUT_S)).data)
        if "error" in answer:
            raise _error(answer["error"])
        return answer

    async def stream_info(self, stream: str) -> dict[str, Any]:
        """Configuration and state of a stream."""
        info: dict[str, Any] = await self.api(f"STREAM.INFO.{stream}")
        return info

    async def leader_last(self, stream: str, subject: str) -> StoredMessage | None:
        """The last message on a subject, read at the stream's leader."""
        return await self._leader_get(stream, {"last_by_subj": subject})

    async def leader_get(self, stream: str, seq: int) -> StoredMessage | None:
        """The message at a stream sequence, read at the leader; ``None`` if it is gone."""
        return await self._leader_get(stream, {"seq": seq})

    async def leader_next(self, stream: str, subject: str, from_seq: int) -> StoredMessage | None:
        """The first message at or after a sequence whose subject fits the filter, read at the leader."""
        return await self._leader_get(stream, {"seq": from_seq, "next_by_subj": subject})

    async def delete_message(self, stream: str, seq: int) -> bool:
        """Take one message out of a stream; false if it is not there (any more)."""
        try:
            await self.api(f"STREAM.MSG.DELETE.{stream}", {"seq": seq, "no_erase": True})
        except BrokerError as error:
            # Whatever stopped it has the same code as a message that is gone.
            if error.code != DELETE_FAILED or await self.leader_get(stream, seq) is not None:
                raise
            return False
        return True

    async def _leader_get(self, stream: str, query: Mapping[str, Any]) -> StoredMessage | None:
        try:
            message = (await self.api(f"STREAM.MSG.GET.{stream}", query))["message"]
        except BrokerError as error:
            if error.code in _NOT_FOUND:
                return None
            raise
        payload = base64.b64decode(message.get("data", ""))
        headers = _headers(base64.b64decode(message.get("hdrs", "")))
        return StoredMessage(message["subject"], int(message["seq"]), payload, headers, message.get("time", ""))

    async def direct_batch(
        self, stream: str, query: Mapping[str, Any], timeout_s: float = API_TIMEOUT_S
    ) -> tuple[list[StoredMessage], int, int]:
        """One direct-get batch (any replica may answer): messages, how many are left, and up to which sequence.

        Raises:
            BrokerError: the batch did not end in time or the query was refused.
        """
        async with self._asked(stream, query, Batch(_message, sys.maxsize, timeout_s, self._connection)) as batch:
            messages = await batch.part()
        return messages, batch.left, batch.up_to

    def direct_parts(
        self, stream: str, query: Mapping[str, Any], *, messages: int
    ) -> "AbstractAsyncContextManager[Batch[Stored]]":
        """One direct-get batch (any replica may answer) as it comes, at least so many messages at a time.

        Raises:
            BrokerError: on the way in; it could not be asked for.
        """
        return self._asked(stream, query, Batch(_stored, messages, API_TIMEOUT_S, self._connection))

    def _connection(self) -> int:
        """The number of the connection over which what is asked now goes out."""
        return int(self.client.stats["reconnects"]) + (not self.client.is_connected)

    @asynccontextmanager
    async def _asked(self, stream: str, query: Mapping[str, Any], batch: "Batch[T]") -> "AsyncIterator[Batch[T]]":
        inbox = self.client.new_inbox()
        subscription: Subscription | None = None
        try:
            try:
                if isinstance(self.client, HandsOver):
                    subscription = await self.client.take(inbox, batch.take)
                else:
                    subscription = await self.client.subscribe(inbox, cb=batch.on_message)
                await self.client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(query).encode(), reply=inbox)
            except NatsError as error:
                raise BrokerError(str(error) or type(error).__name__) from None
            yield batch
        finally:
            if subscription is not None:
                await self._leave(subscription)

    async def _leave(self, subscription: Subscription) -> None:
        with contextlib.suppress(NatsError):  # a connection that is gone has no subscription
            if isinstance(self.client, HandsOver):
                await self.client.leave(subscription)
            else:
                await subscription.unsubscribe()


class Batch(Generic[T]):
    """What comes of one direct get, up to the message without a subject of its own that ends it.

    Args:
        read: makes of payload and header block what is handed out.
        messages: how many are waited for at a time.
        timeout_s: how long those may take.
        connection: which one it is. Over the next one only the rest would come, and what was sent in between never.
    """

    def __init__(
        self, read: Callable[[bytes, bytes], T], messages: int, timeout_s: float, connection: Callable[[], int]
    ) -> None:
        self._read = read
        self._messages = messages
        self._timeout_s = timeout_s
        self._connection = connection
        self._asked_over = connection()
        self._found: list[T] = []
        self._end: Mapping[str, str] | None = None
        self._enough = asyncio.Event()

    async def part(self) -> list[T]:
        """What has come meanwhile, at least so many messages as are waited for; after the last ones nothing.

        Raises:
            BrokerError: they did not come in time, or over another connection, or the query was refused.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._enough.wait()
        except TimeoutError:
            raise BrokerError("a history read did not end in time") from None
        if self._connection() != self._asked_over:
            raise BrokerError("the connection was lost during a history read")
        if self._end is None:
            self._enough.clear()
        elif self._end["Status"] not in ("204", "404"):
            raise BrokerError(self._end.get("Description", "refused"), int(self._end["Status"]))
        found, self._found = self._found, []
        return found

    @property
    def left(self) -> int:
        """How many more there are, once it has ended."""
        return _number(self._end, "Nats-Num-Pending")

    @property
    def up_to(self) -> int:
        """Up to which stream sequence it was read, once it has ended; 0 if nothing was there."""
        return _number(self._end, "Nats-UpTo-Sequence")

    def take(self, _subject: bytes, payload: bytes, headers: bytes) -> None:
        """A message as the connection has it."""
        if headers.startswith(_STATUS_LINE):
            status, _, description = headers.partition(b"\r\n")[0].removeprefix(_STATUS_LINE).partition(b" ")
            self._ended({"Status": status.decode(), "Description": description.decode(), **_headers(headers)})
            return
        self._found.append(self._read(payload, headers))
        if len(self._found) >= self._messages:
            self._enough.set()

    async def on_message(self, msg: Msg) -> None:
        """The same from a client that has read the headers."""
        headers = msg.headers or {}
        if "Status" in headers:
            self._ended(headers)
            return
        subject, seq = headers["Nats-Subject"], headers["Nats-Sequence"]
        self.take(b"", msg.data, f"\r\nNats-Subject: {subject}\r\nNats-Sequence: {seq}\r\n".encode())

    def _ended(self, headers: Mapping[str, str]) -> None:
        self._end = headers if headers["Status"] != "404" else {"Status": "404"}
        self._enough.set()


def _stored(payload: bytes, headers: bytes) -> Stored:
    return payload, int(_broker_value(headers, _SEQUENCE))


def _message(payload: bytes, headers: bytes) -> StoredMessage:
    seq, subject = _broker_value(headers, _SEQUENCE), _broker_value(headers, _SUBJECT)
    return StoredMessage(subject.decode(), int(seq), payload)


_STATUS_LINE = b"NATS/1.0 "
_SEQUENCE, _SUBJECT = b"\r\nNats-Sequence: ", b"\r\nNats-Subject: "


def _broker_value(headers: bytes, name: bytes) -> bytes:
    """A value that the broker added to a stored message's own headers, which come first.

    Raises:
        ValueError: it is not there.
    """
    start = headers.rindex(name) + len(name)
    return headers[start : headers.index(b"\r", start)]


def _headers(raw: bytes) -> dict[str, str]:
    """The header block of a stored message: a version line, then ``Name: value`` lines."""
    lines = raw.decode(errors="replace").split("\r\n")[1:]
    return {name: value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}


def _number(headers: Mapping[str, str] | None, name: str) -> int:
    return int((headers or {}).get(name, "0"))
