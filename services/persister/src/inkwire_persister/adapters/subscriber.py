"""Events from a provisioned durable, through FastStream in batches; an ack follows what is on disk, never else.

FastStream would end a whole batch for one message that it cannot decode, and its automatic acknowledgements would
drop what a handler failed on: so messages pass through undecoded and every one is acknowledged here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import ConsumerConfig

from inkwire_chassis.health import Unready
from inkwire_chassis.jetstream import BrokerError, JetStream
from inkwire_chassis.logs import get_logger
from inkwire_chassis.nats_client import NatsClient
from inkwire_chassis.nats_connection import connection_options
from inkwire_chassis.nats_servers import server_list
from inkwire_contracts.topology import PERSISTER_DURABLE
from inkwire_persister.adapters.log import DeadLetters
from inkwire_persister.counters import Counters
from inkwire_persister.intake import Undecodable, retry_delay_s
from inkwire_persister.keeper import Contended, HistoryLost
from inkwire_persister.ports import LogUnavailable
from inkwire_persister.settings import Settings
from inkwire_stores import PostTooLarge, StoreUnavailable
from inkwire_stores.conversation_ports import ConversationTooLarge

BATCH_TIMEOUT_S: Final = 0.2
"""How long a batch is collected when it is not full: the most that storing waits for company."""
FETCH_PAUSE_S: Final = 0.2
"""How long a fetch waits that failed otherwise than by time."""
STORED_AT_ONCE: Final = 8
WATCH_EVERY_S: Final = 2.0
HOPELESS_DELAY_S: Final = 60.0
"""How long a post beyond the store's bound waits before it is tried, and reported, again."""


D = TypeVar("D")
Fetch = Callable[..., Awaitable[list[Msg]]]
MISSING_CODES: Final = frozenset({404, 10014, 10059})
"""Of a consumer, of a stream."""


class ConsumerLost(Exception):
    """FastStream did not begin, or NATS was away for so long that the process should start anew."""


@dataclass(frozen=True, slots=True)
class Received(Generic[D]):
    """A delivery and the message to acknowledge."""

    msg: Msg
    delivery: D


@dataclass(frozen=True, slots=True)
class Source(Generic[D]):
    """A stream that is folded into the store, and how.

    Attributes:
        stream: its name.
        filters: those of its durable.
        epoch: which stream it is now; may raise LogUnavailable.
        decode: a delivery from a message's subject, payload and stream sequence; may raise Undecodable.
        owner_of: whose a delivery is: those of one are stored together, one batch after the other.
        keep: stores deliveries of one, read from a stream of that epoch.
    """

    stream: str
    filters: Sequence[str]
    epoch: Callable[[], Awaitable[str]]
    decode: Callable[[str, bytes, int], D]
    owner_of: Callable[[D], str]
    keep: Callable[[Sequence[D], str], Awaitable[None]]


class _Broker(NatsBroker):
    """FastStream's, on the client that all services use."""

    async def _connect(self) -> NatsClient:
        client = NatsClient()
        await client.connect(**self._connection_kwargs)
        self.config.connect(client)
        return client


def make_broker(url: str, *, stop_timeout_s: float) -> NatsBroker:
    """FastStream's broker on our connection options. It declares nothing and acknowledges nothing."""
    return _Broker(
        server_list(url),
        **connection_options("persister"),
        graceful_timeout=stop_timeout_s,
        logger=logging.getLogger("inkwire.faststream"),
        log_level=logging.DEBUG,
        apply_types=False,
    )


class Subscriber(Generic[D]):
    """Takes batches, brings each post or conversation up to its events, and answers every message.

    To be made once the broker is started, and started by itself.
    """

    def __init__(
        self,
        broker: NatsBroker,
        jetstream: JetStream,
        source: Source[D],
        dead_letters: DeadLetters,
        counters: Counters,
        settings: Settings,
    ) -> None:
        self._jetstream = jetstream
        self._source = source
        self._dead_letters = dead_letters
        self._counters = counters
        self._longest_retry_s = settings.longest_retry_s
        self._refused = ""
        """Why the store did not take what it was given last; empty if it did."""
        self._busy = asyncio.Lock()
        self._fetched_in: int | None = None
        """The connection, by its number, in which the oldest message of the batch was asked for."""
        self._subscriber = broker.subscriber(
            # FastStream wants filters; the durable was verified before, so they are never used to make one.
            config=ConsumerConfig(filter_subjects=list(source.filters)),
            stream=JStream(source.stream, declare=False),
            durable=PERSISTER_DURABLE,
            pull_sub=PullSub(settings.batch_messages, timeout=BATCH_TIMEOUT_S, batch=True),
            ack_policy=AckPolicy.MANUAL,
            decoder=_undecoded,
            no_reply=True,
        )
        self._subscriber(self.handle)

    async def start(self) -> None:
        """Begin to take events."""
        await self._subscriber.start()
        subscription = self._subscriber.subscription
        if subscription is None:
            raise ConsumerLost("FastStream did not start the subscriber")
        # Before anything else is awaited, so that not even the first fetch is FastStream's own.
        subscription.fetch = self._noting(patient(subscription.fetch))  # type: ignore[method-assign,assignment]

    def _noting(self, fetch: Fetch) -> Fetch:
        async def fetch_and_note(*, batch: int, timeout: float | None) -> list[Msg]:  # noqa: ASYNC109 - nats-py's own
            connection = self._connection
            messages = await fetch(batch=batch, timeout=timeout)
            if messages and self._fetched_in is None:
                self._fetched_in = connection
            return messages

        return fetch_and_note

    @property
    def _connection(self) -> int:
        return int(self._jetstream.client.stats["reconnects"])

    async def storing(self) -> None:
        """Readiness of writes: a store that can be read may yet be full, or locked by another.

        Raises:
            Unready: the last write failed; it is tried again until one succeeds.
        """
        if self._refused:
            raise Unready(self._refused)

    async def settled(self) -> None:
        """Returns once a batch in hand is done; any later one is of the broker that is there now."""
        async with self._busy:
            return

    async def handle(self, messages: list[Msg]) -> None:
        """One batch. Never raises for a message's sake: what cannot be stored now is given back with a delay."""
        async with self._busy:
            await self._handle(messages)

    async def _handle(self, messages: list[Msg]) -> None:
        fetched_in, self._fetched_in = self._fetched_in, None
        try:
            epoch = await self._source.epoch()
        except LogUnavailable as error:
            await self._give_back(messages, str(error))
            return
        if fetched_in is not None and fetched_in != self._connection:
            # Between two connections the broker may have become another one, and these be of a log that is gone.
            await self._give_back(messages, "the connection was lost meanwhile")
            return
        waiting = list((await self._sorted(messages)).items())
        while waiting:
            now, waiting = waiting[:STORED_AT_ONCE], waiting[STORED_AT_ONCE:]
            failures = await asyncio.gather(*(self._store(owner, received, epoch) for owner, received in now))
            if any(isinstance(failure, StoreUnavailable) for failure in failures) and waiting:
                # Each more would only wait for the same time-out.
                await self._give_back([each.msg for _, received in waiting for each in received], "store unavailable")
                return

    async def _sorted(self, messages: Sequence[Msg]) -> dict[str, list[Received[D]]]:
        found: dict[str, list[Received[D]]] = {}
        for msg in messages:
            stream_seq = msg.metadata.sequence.stream
            try:
                delivery = self._source.decode(msg.subject, msg.data, stream_seq)
            except Undecodable as error:
                get_logger().error("not an event", subject=msg.subject, stream_seq=stream_seq, error=str(error))
                await self._put_aside([msg], "not_an_event", str(error))
            else:
                found.setdefault(self._source.owner_of(delivery), []).append(Received(msg, delivery))
        return found

    async def _store(self, owner: str, received: Sequence[Received[D]], epoch: str) -> Exception | None:
        messages = [each.msg for each in received]
        whose = {"stream": self._source.stream, "id": owner}
        try:
            await self._source.keep([each.delivery for each in received], epoch)
        except (StoreUnavailable, LogUnavailable, Contended) as error:
            if isinstance(error, StoreUnavailable):
                self._refused = str(error)
            await self._give_back(messages, str(error))
            return error
        except (PostTooLarge, ConversationTooLarge) as error:
            get_logger().error("too large to be stored", error=str(error), **whose)
            await self._give_back(messages, str(error), at_least_s=HOPELESS_DELAY_S)
            return error
        except HistoryLost as error:
            get_logger().error("events cannot be stored: their history is gone", error=str(error), **whose)
            await self._put_aside(messages, "history_lost", str(error))
            return error
        except Exception as error:  # noqa: BLE001 - a bug at one must neither stop the others nor be acknowledged
            get_logger().error("storing failed", exc_info=error, **whose)
            await self._give_back(messages, type(error).__name__)
            return error
        self._refused = ""
        await _answer(msg.ack() for msg in messages)
        return None

    async def _put_aside(self, messages: Sequence[Msg], reason: str, detail: str) -> None:
        for msg in messages:
            place = msg.metadata
            try:
                await self._dead_letters.put(
                    msg.subject,
                    msg.data,
                    place=f"{self._source.stream.lower()}.{place.sequence.stream}",
                    reason=reason,
                    detail=detail,
                    deliveries=place.num_delivered or 1,
                )
            except LogUnavailable as error:
                await self._give_back([msg], str(error))
            else:
                self._counters.dead_letters += 1
                await _answer([msg.ack()])

    async def _give_back(self, messages: Sequence[Msg], why: str, *, at_least_s: float = 0.0) -> None:
        self._counters.retries += len(messages)
        get_logger().warning("not stored yet, will be tried again", events=len(messages), reason=why)
        for msg in messages:
            delay_s = max(at_least_s, retry_delay_s(msg.metadata.num_delivered, self._longest_retry_s))
            await _answer([msg.nak(delay=delay_s)])

    async def watch(self, *, outage_s: float) -> None:
        """Tell when the durable is gone and back; ends with ConsumerLost after very long without any answer.

        A durable that is missing is waited for: the same fetch finds it once it is provisioned again.
        """
        consumer = {"stream": self._source.stream, "durable": PERSISTER_DURABLE}
        away_s, missing = 0.0, False
        while away_s < outage_s:
            await asyncio.sleep(WATCH_EVERY_S)
            try:
                await self._jetstream.api(f"CONSUMER.INFO.{self._source.stream}.{PERSISTER_DURABLE}")
            except BrokerError as error:
                gone = error.code in MISSING_CODES
                away_s = 0.0 if gone else away_s + WATCH_EVERY_S
                if gone and not missing:
                    get_logger().error("nothing is stored: run `inkwire provision`", **consumer)
                missing = missing or gone
                continue
            if missing:
                get_logger().info("the consumer is back", **consumer)
            away_s, missing = 0.0, False
        raise ConsumerLost(f"no answer from NATS for {outage_s:.0f} s")


def patient(fetch: Fetch) -> Fetch:
    """A fetch whose every failure is the one that FastStream expects, and none of them comes at once.

    nats-py ends an idle fetch by asyncio's TimeoutError as often as by its own. FastStream knows only the latter; any
    other error makes it drop the part of a batch that it has, until the ack wait is over, and fetch again without a
    pause, which is a busy loop while the broker is away.
    """

    async def fetch_patiently(*, batch: int, timeout: float | None) -> list[Msg]:  # noqa: ASYNC109 - nats-py's own
        try:
            return await fetch(batch=batch, timeout=timeout)
        except TimeoutError:
            raise NatsTimeoutError from None
        except NatsError as error:
            get_logger().debug("fetch failed", error=str(error) or type(error).__name__)
            await asyncio.sleep(FETCH_PAUSE_S)
            raise NatsTimeoutError from None

    return fetch_patiently


async def _undecoded(message: Any) -> Any:
    return message.raw_message


async def _answer(answers: Any) -> None:
    """Send acks or naks; one that is lost with the connection only means one more delivery."""
    for answer in answers:
        try:
            await answer
        except NatsError as error:
            get_logger().debug("an answer was lost", error=type(error).__name__)
