"""JetStream, as we use it: pipelined publishes with verdicts, reads by subject, and the JSON API.

nats-py's ``publish_async`` never resolves a refused publish and its history readers leave consumers behind, so
this file speaks the protocol itself (ADR 0008). Errors are told apart by one question: is it a verdict?
"""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

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

    async def api(self, path: str, body: Mapping[str, Any] | None = None, timeout_s: float = API_TIMEOUT_S) -> Any:
        """Call ``$JS.API.<path>`` and return the decoded answer.

        Raises:
            BrokerError: the answer is an error, or there was none.
        """
        payload = json.dumps(body).encode() if body else b""
        answer = json.loads((await self._ask(f"$JS.API.{path}", payload, None, timeout_s)).data)
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
        inbox = self.client.new_inbox()
        batch = _Batch()
        subscription: Subscription | None = None
        try:
            if isinstance(self.client, HandsOver):
                subscription = await self.client.take(inbox, batch.take)
            else:
                subscription = await self.client.subscribe(inbox, cb=batch.on_message)
            await self.client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(query).encode(), reply=inbox)
            async with asyncio.timeout(timeout_s):
                end = await batch.end
        except TimeoutError:
            raise BrokerError("a history read did not end in time") from None
        except NatsError as error:
            raise BrokerError(str(error) or type(error).__name__) from None
        finally:
            if subscription is not None:
                await self._leave(subscription)
        if end["Status"] == "404":
            return batch.messages, 0, 0
        if end["Status"] != "204":
            raise BrokerError(end.get("Description", "refused"), int(end["Status"]))
        return batch.messages, _number(end, "Nats-Num-Pending"), _number(end, "Nats-UpTo-Sequence")

    async def _leave(self, subscription: Subscription) -> None:
        if isinstance(self.client, HandsOver):
            await self.client.leave(subscription)
        else:
            await subscription.unsubscribe()


class _Batch:
    """What comes of one direct get, up to the message without a subject of its own that ends it."""

    def __init__(self) -> None:
        self.messages: list[StoredMessage] = []
        self.end: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()

    def take(self, _subject: bytes, payload: bytes, headers: bytes) -> None:
        """A message as the connection has it."""
        if headers.startswith(_STATUS_LINE):
            status, _, description = headers.partition(b"\r\n")[0].removeprefix(_STATUS_LINE).partition(b" ")
            self._ended({"Status": status.decode(), "Description": description.decode(), **_headers(headers)})
            return
        seq, subject = _broker_value(headers, _SEQUENCE), _broker_value(headers, _SUBJECT)
        self.messages.append(StoredMessage(subject.decode(), int(seq), payload))

    async def on_message(self, msg: Msg) -> None:
        """The same from a client that has read the headers."""
        headers = msg.headers or {}
        if "Status" in headers:
            self._ended(headers)
            return
        self.messages.append(StoredMessage(headers["Nats-Subject"], int(headers["Nats-Sequence"]), msg.data))

    def _ended(self, headers: Mapping[str, str]) -> None:
        if not self.end.done():
            self.end.set_result(headers)


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


def _number(headers: Mapping[str, str], name: str) -> int:
    return int(headers.get(name, "0"))
