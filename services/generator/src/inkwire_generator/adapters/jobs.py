"""The work queue: takes jobs one at a time from all lanes, woken by bells, with a slow poll behind them.

``nc.request`` cannot be used for MSG.NEXT (the reply keeps the job's subject and its inbox drops it), and a prefetch
would start leases of jobs that nobody works on. So: one inbox, one outstanding ``no_wait`` pull, one job.
"""

import asyncio
import json
from collections.abc import Sequence

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from pydantic import ValidationError

from inkwire_chassis.jetstream import H_MSG_ID, BrokerError, JetStream
from inkwire_chassis.logs import get_logger
from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.dead_letters import header_fields
from inkwire_contracts.topology import JOBS
from inkwire_generator.schedule import Lane, TakeOrder

SLOW_POLL_S = 0.5
"""Bells may be lost, and neither nak nor an expired lease rings one."""

MISSED_LOOKS = 2
"""In a row that find no consumer, before it is told that there is none."""

PULL_TIMEOUT_S = 2.0
SETTLE_TIMEOUT_S = 1.0
SETTLE_TRIES = 3
_PULL = json.dumps({"batch": 1, "no_wait": True}).encode()
_SECOND_NS = 1_000_000_000


class TakenJob:
    """A job whose lease is ours. Settle it once: acknowledged, handed back, or set aside."""

    def __init__(self, jetstream: JetStream, lane: Lane, job: Job, msg: Msg, worker: str = "") -> None:
        self.job = job
        self.lane = lane
        self.deliveries = msg.metadata.num_delivered or 1
        self._jetstream = jetstream
        self._msg = msg
        self._worker = worker

    async def beat(self) -> None:
        """Keep the lease."""
        await self._jetstream.client.publish(self._msg.reply, b"+WPI")

    async def ack(self) -> None:
        """The run has ended. A lost acknowledgement only means that the job comes back and finds it ended."""
        await _settle(self._jetstream, self._msg, b"+ACK")

    async def later(self, delay_s: float) -> None:
        """Hand the job back; it is delivered again after the delay."""
        await _settle(self._jetstream, self._msg, _nak(delay_s))

    async def release(self) -> None:
        """Hand the job back at once and tell the other workers, because a nak rings no bell."""
        await _settle(self._jetstream, self._msg, b"-NAK", tries=1)
        bell = subjects.bell(self.lane.pool, self.lane.priority, self.job.owner)
        await self._jetstream.client.publish(bell, b"")

    async def copy_to_dead_letters(self, reason: str) -> None:
        """Keep a copy where operators look; the caller settles the job itself.

        ``reason``: a code of inkwire_contracts.dead_letters, a detail behind ``: ``.

        Raises:
            BrokerError: it could not be stored.
        """
        await _dead_letter(self._jetstream, self._msg, reason, self._worker)


class JobQueue:
    """All lanes of the pools this worker serves."""

    def __init__(self, jetstream: JetStream, pools: Sequence[str], worker: str = "") -> None:
        self._jetstream = jetstream
        self._worker = worker
        self._pools = tuple(pools)
        self._order = TakeOrder(pools)
        self._bell = asyncio.Event()
        self._inbox: Subscription | None = None
        self._missed: dict[str, int] = {}
        self._look_at_s = 0.0
        self._looking = False

    @property
    def durables(self) -> tuple[str, ...]:
        """Names of the consumers it takes from."""
        return tuple(subjects.jobs_durable(lane.pool, lane.priority, lane.bucket) for lane in self._order.lanes)

    async def lease_s(self, *, timeout_s: float) -> float:
        """The lease as it is configured at the broker: the heartbeats must fit into it.

        Raises:
            BrokerError: no answer for ``timeout_s``, in which the broker is asked again and again.
        """
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                info = await self._jetstream.api(f"CONSUMER.INFO.{JOBS}.{self.durables[0]}")
                return float(info["config"]["ack_wait"]) / _SECOND_NS
            except BrokerError as error:
                if asyncio.get_running_loop().time() >= deadline_s:
                    raise
                get_logger().warning("the lease is not known yet", error=str(error))
            await asyncio.sleep(SLOW_POLL_S)

    async def start(self) -> None:
        """Listen to the pools' bells. The subscriptions end with the connection."""
        for pool in self._pools:
            await self._jetstream.client.subscribe(subjects.bells_filter(pool), cb=self._on_bell)

    async def _on_bell(self, msg: Msg) -> None:
        try:
            priority, bucket = subjects.parse_bell(msg.subject)
        except ValueError:
            return
        self._order.ring(Lane(msg.subject.split(".")[2], priority, bucket))
        self._bell.set()

    def wake(self) -> None:
        """Look again now, for example because the process stops."""
        self._bell.set()

    async def wait(self) -> None:
        """Until a bell rings, or it is time to look into every lane."""
        try:
            async with asyncio.timeout_at(self._look_at_s):
                await self._bell.wait()
        except TimeoutError:
            pass  # take() looks everywhere
        self._bell.clear()

    def _look_around(self) -> None:
        """Ask every lane once in SLOW_POLL_S, however often bells ring: theirs may not be among them."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + SLOW_POLL_S
            self._looking = True
            self._order.ring_all()

    def _looked_around(self) -> None:
        """The pause begins when the last lane was asked: a slow broker is not asked all the time."""
        if self._looking:
            self._looking = False
            self._look_at_s = asyncio.get_running_loop().time() + SLOW_POLL_S

    async def take(self) -> TakenJob | None:
        """One job by weighted credit, or ``None`` once every lane that might hold one is known to be empty."""
        self._look_around()
        while (lane := self._order.next()) is not None:
            msg = await self._pull(lane)
            if msg is None:
                continue
            self._order.took(lane)
            try:
                job = Job.model_validate_json(msg.data)
            except ValidationError as error:
                await self._set_aside(msg, f"unreadable: {error.errors()[0]['msg']}")
                continue
            return TakenJob(self._jetstream, lane, job, msg, self._worker)
        self._looked_around()
        return None

    async def _pull(self, lane: Lane) -> Msg | None:
        client = self._jetstream.client
        if self._inbox is None:
            self._inbox = await client.subscribe(client.new_inbox())
        durable = subjects.jobs_durable(lane.pool, lane.priority, lane.bucket)
        try:
            await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{JOBS}.{durable}", _PULL, reply=self._inbox.subject)
            msg = await self._inbox.next_msg(timeout=PULL_TIMEOUT_S)
        except (NatsError, TimeoutError) as error:
            # The answer may still come; on a fresh inbox it cannot be taken for that of another pull.
            get_logger().warning("no answer from the work queue", error=type(error).__name__)
            await self._forget_inbox()
            return None
        status = (msg.headers or {}).get("Status")
        if status is None:
            return msg
        if status != "503":
            self._missed.pop(durable, None)
            return None
        # Asked every half second: told once, and not of a server that says so while it stops.
        self._missed[durable] = self._missed.get(durable, 0) + 1
        if self._missed[durable] == MISSED_LOOKS:
            get_logger().warning("a consumer of JOBS is missing: run `inkwire provision`", durable=durable)
        return None

    async def _forget_inbox(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            try:
                await inbox.unsubscribe()
            except NatsError:
                return  # the connection is gone, and the subscription with it

    async def _set_aside(self, msg: Msg, reason: str) -> None:
        get_logger().error("job set aside", subject=msg.subject, reason=reason)
        try:
            await _dead_letter(self._jetstream, msg, reason, self._worker)
        except BrokerError as error:
            get_logger().warning("dead letter not stored", error=str(error))
            await _settle(self._jetstream, msg, _nak(SLOW_POLL_S))
        else:
            await _settle(self._jetstream, msg, b"+TERM " + reason.encode()[:200])


def _nak(delay_s: float) -> bytes:
    return b"-NAK " + json.dumps({"delay": int(delay_s * _SECOND_NS)}).encode()


async def _settle(jetstream: JetStream, msg: Msg, verb: bytes, tries: int = SETTLE_TRIES) -> None:
    """Say what became of a job and wait for the server's word. Without it the lease runs out, which is safe."""
    for _ in range(tries):
        try:
            await jetstream.client.request(msg.reply, verb, timeout=SETTLE_TIMEOUT_S)
            return
        except (NatsError, TimeoutError) as error:
            get_logger().warning("a job's end is not confirmed", verb=verb[:4].decode(), error=type(error).__name__)


async def _dead_letter(jetstream: JetStream, msg: Msg, reason: str, worker: str) -> None:
    """Once for each message of JOBS: a replay of the same job is another one, and may lie here again."""
    code, _, detail = reason.partition(": ")
    deliveries = msg.metadata.num_delivered or 1
    headers = header_fields(code, detail=detail, deliveries=deliveries, worker=worker)
    msg_id = {H_MSG_ID: f"jobs.{msg.metadata.sequence.stream}"}
    await jetstream.publish(subjects.dead_job(msg.subject), msg.data, {**headers, **msg_id})
