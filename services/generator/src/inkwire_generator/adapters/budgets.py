"""The budget of one provider key, shared by all workers as a value in a key-value bucket of the broker.

Every change is a compare-and-set; what was stored is republished to all, so that a worker mostly knows the newest value
and needs one message for a change. Times are the broker's: each worker learns how far its own clock is from it, so the
clocks of the workers' machines do not matter; those of the broker's own servers are taken to agree within a second.

While the broker does not answer, this worker keeps the budget alone: that may cost refusals, never a post.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime

from nats.aio.msg import Msg
from pydantic import ValidationError

from inkwire_chassis.clock import Clock
from inkwire_chassis.jetstream import H_EXPECTED_SUBJECT_SEQ, BrokerError, JetStream, WrongLastSequence
from inkwire_chassis.logs import get_logger
from inkwire_contracts import subjects
from inkwire_contracts.topology import BUDGETS
from inkwire_generator.budget import Budget

Step = Callable[[Budget, float], Budget]
"""From the newest budget and the time to the next budget; run again when somebody else was faster."""

MAX_ROUNDS = 20
"""Compare-and-sets for one change; after that this worker goes on without the others' knowledge."""
ROUND_DELAY_S = 0.004
MAX_ROUND_DELAY_S = 0.1
WRITE_TIMEOUT_S = 0.5
ALONE_S = 5.0
"""How long the broker is not asked again after it did not answer."""
CLOCK_KEPT_S = 60.0


class SharedBudget:
    """One key's budget. ``jetstream`` ``None``: this worker's own, shared with nobody."""

    def __init__(self, key: str, clock: Clock, jetstream: JetStream | None) -> None:
        self._key = key
        self._clock = clock
        self._jetstream = jetstream
        self._seq = 0
        self._offset_s = clock.now().timestamp() - clock.monotonic_s()
        self._clock_until_s = self._alone_until_s = float("-inf")
        self._told_alone = False
        self.newest = Budget()
        """As far as this worker knows."""
        self.changes = self.rounds = 0
        """Changes asked of the broker, and the compare-and-sets that they took."""

    async def start(self) -> None:
        """Learn what the others know, and hear of every change that any worker makes from now on."""
        if self._jetstream is None:
            return
        await self._jetstream.client.subscribe(subjects.live_budget(self._key), cb=self._on_stored)
        try:
            await self._read_clock(self._jetstream)
            await self._read(self._jetstream)
        except BrokerError as error:
            self._alone(error)

    def now_s(self) -> float:
        """The broker's clock, in seconds since 1970."""
        return self._clock.monotonic_s() + self._offset_s

    async def change(self, step: Step) -> None:
        """Make one change; where the broker cannot be had, for this worker alone."""
        if self._jetstream is not None and self._clock.monotonic_s() >= self._alone_until_s:
            try:
                await self._read_clock(self._jetstream)
                if await self._change(self._jetstream, step):
                    self._together()
                    return
            except BrokerError as error:
                self._alone(error)
        self.newest = step(self.newest, self.now_s())

    async def _change(self, jetstream: JetStream, step: Step) -> bool:
        self.changes += 1
        for number in range(MAX_ROUNDS):
            before, seq = self.newest, self._seq
            after = step(before, self.now_s())
            if after is before:
                return True
            self.rounds += 1
            try:
                ack = await jetstream.publish(
                    subjects.budget(self._key),
                    after.model_dump_json().encode(),
                    {H_EXPECTED_SUBJECT_SEQ: str(seq)},
                    WRITE_TIMEOUT_S,
                )
            except WrongLastSequence:
                await asyncio.sleep(random.uniform(0, min(MAX_ROUND_DELAY_S, ROUND_DELAY_S * 2**number)))
                if self._seq == seq:  # nothing was heard of it meanwhile
                    await self._read(jetstream)
                continue
            if ack.seq > self._seq:
                self.newest, self._seq = after, ack.seq
            return True
        get_logger().warning("provider budget is contended", rounds=MAX_ROUNDS)
        return False

    async def _read(self, jetstream: JetStream) -> None:
        """What the broker has; a broker that lost everything takes the value from us."""
        stored = await jetstream.leader_last(BUDGETS, subjects.budget(self._key))
        self._seq = stored.seq if stored is not None else 0
        if stored is not None:
            self.newest = _decode(stored.payload)

    async def _read_clock(self, jetstream: JetStream) -> None:
        sent_s = self._clock.monotonic_s()
        if sent_s < self._clock_until_s:
            return
        info = await jetstream.stream_info(BUDGETS)
        answered_s = self._clock.monotonic_s()
        if text := info.get("ts"):
            self._offset_s = datetime.fromisoformat(text).timestamp() - (sent_s + answered_s) / 2
        self._clock_until_s = answered_s + CLOCK_KEPT_S

    async def _on_stored(self, msg: Msg) -> None:
        headers = msg.headers or {}
        seq = int(headers.get("Nats-Sequence", "0"))
        is_first = headers.get("Nats-Last-Sequence") == "0"  # of a bucket that was lost, where numbers begin anew
        if seq > self._seq or is_first:
            self.newest, self._seq = _decode(msg.data), seq

    def _alone(self, error: BrokerError) -> None:
        self._alone_until_s = self._clock.monotonic_s() + ALONE_S
        if not self._told_alone:
            get_logger().warning("provider budget is kept by this worker alone", error=str(error))
            self._told_alone = True

    def _together(self) -> None:
        if self._told_alone:
            get_logger().info("provider budget is shared again")
            self._told_alone = False


def _decode(payload: bytes) -> Budget:
    try:
        return Budget.model_validate_json(payload)
    except ValidationError:
        get_logger().warning("provider budget is unreadable, it begins anew")
        return Budget()
