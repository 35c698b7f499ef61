"""Who is there, in the bucket PRESENCE, and whispers, which nobody keeps. All of it may be lost: nothing is awaited."""

from collections.abc import Sequence
from typing import Any

import orjson
from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import BaseModel, Field, ValidationError

from inkwire_chassis.jetstream import BrokerError, JetStream
from inkwire_chassis.logs import get_logger
from inkwire_contracts import subjects
from inkwire_contracts.client_frames import PresentMember
from inkwire_contracts.topology import PRESENCE
from inkwire_gateway.attendance import MAX_CONNECTIONS
from inkwire_gateway.ports import Unavailable

BATCH_MESSAGES = 1_000
MAX_BATCHES = MAX_CONNECTIONS // BATCH_MESSAGES
_LEAVE_HEADERS = {"KV-Operation": "DEL"}


class _Said(BaseModel):
    """What a connection says of itself. ``process`` is the gateway's own mark, so that it can leave out its own."""

    process: str
    name: str = ""
    avatar: str = ""


class SaidWhisper(BaseModel):
    """A whisper on its way between gateways."""

    member: PresentMember
    connection: str
    name: str
    data: dict[str, Any] = Field(default_factory=dict)


class NatsPresence:
    """See :class:`inkwire_gateway.ports.Presence`.

    Args:
        process: this process's own mark; what it says itself is not heard here.
    """

    def __init__(self, jetstream: JetStream, process: str) -> None:
        self._jetstream = jetstream
        self._client: Client = jetstream.client
        self._process = process

    async def present(self, conversation: str) -> Sequence[tuple[PresentMember, str]]:
        found: list[tuple[PresentMember, str]] = []
        keys, start = subjects.presence(conversation, "*", "*"), 1
        try:
            for _ in range(MAX_BATCHES):
                query = {
                    "seq": start,
                    "next_by_subj": keys,
                    "batch": BATCH_MESSAGES,
                }
                messages, left, _ = await self._jetstream.direct_batch(PRESENCE, query)
                for message in messages:
                    user, connection = message.subject.split(".")[-2:]
                    who = self.read(user, message.payload)
                    if who is not None:
                        found.append((who, connection))
                if left == 0 or not messages:
                    break
                start = messages[-1].seq + 1
        except BrokerError as error:
            raise Unavailable(str(error)) from None
        return found

    def read(self, user: str, payload: bytes) -> PresentMember | None:
        """Who it is that was heard of; ``None`` if it is a goodbye, of this process itself, or no such thing."""
        if not payload:
            return None
        try:
            said = _Said.model_validate_json(payload)
        except ValidationError:
            get_logger().warning("not a presence", user=user)
            return None
        return None if said.process == self._process else PresentMember(user=user, name=said.name, avatar=said.avatar)

    async def say(self, conversation: str, who: PresentMember, connection: str) -> None:
        said = _Said(process=self._process, name=who.name, avatar=who.avatar)
        subject = subjects.presence(conversation, who.user, connection)
        await self._publish(subject, said.model_dump_json().encode())

    async def take_leave(self, conversation: str, user: str, connection: str) -> None:
        await self._publish(subjects.presence(conversation, user, connection), b"", _LEAVE_HEADERS)

    async def whisper(self, conversation: str, who: PresentMember, connection: str, name: str, data: bytes) -> None:
        said = {"member": who.model_dump(mode="json"), "connection": connection, "name": name}
        payload = orjson.dumps({**said, "data": orjson.Fragment(data)})
        await self._publish(subjects.whisper(conversation), payload)

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """Without waiting for an answer: what is lost here is said again, or missed by nobody."""
        if not self._client.is_connected:
            raise Unavailable("not connected")
        try:
            await self._client.publish(subject, payload, headers=headers)
        except (NatsError, OSError) as error:
            raise Unavailable(str(error) or type(error).__name__) from None


def read_whisper(payload: bytes) -> SaidWhisper | None:
    """A whisper that was heard; ``None`` if it is no such thing."""
    try:
        return SaidWhisper.model_validate_json(payload)
    except ValidationError:
        get_logger().warning("not a whisper")
        return None
