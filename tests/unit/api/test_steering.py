"""Steering over ports: what is promised, what is refused, and what is left to the workers."""

import asyncio
from dataclasses import dataclass, field

import pytest

from inkwire_api.ports import BrokerUnavailable, Compose, Damaged
from inkwire_api.steering import Steering
from inkwire_contracts.commands import CancelIntent
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Outcome, Snapshot, fold
from inkwire_contracts.ids import idempotent_post_id
from inkwire_stores.ports import StoreUnavailable
from tests.support.clock import ManualClock

POST = idempotent_post_id("ana", "post")


@dataclass
class FakeRuns:
    """One post's log; ``held_by_worker`` stands for a claim that counts more than the api's."""

    snapshot: Snapshot | None
    held_by_worker: bool = False
    intents: list[CancelIntent] = field(default_factory=list)
    trouble: dict[str, Exception] = field(default_factory=dict)
    silent: bool = False

    async def current(self, owner: str, post: str) -> Snapshot | None:
        await self._meet("current")
        known = self.snapshot
        return known.model_copy(deep=True) if known is not None and (known.owner, known.post) == (owner, post) else None

    async def wish_cancel(self, intent: CancelIntent) -> None:
        await self._meet("wish_cancel")
        self.intents.append(intent)

    async def write(self, owner: str, post: str, run: int, compose: Compose) -> Snapshot | None:
        await self._meet("write")
        assert self.snapshot is not None
        if self.held_by_worker:
            return None
        event = compose(self.snapshot, self.snapshot.attempt + 1)
        if event is not None:
            assert fold(self.snapshot, event) is Outcome.APPLIED
        return self.snapshot

    async def _meet(self, what: str) -> None:
        if self.silent:
            await asyncio.Event().wait()
        if what in self.trouble:
            raise self.trouble[what]


def runs(status: str = "queued", **fields: object) -> FakeRuns:
    values = {"post": POST, "owner": "ana", "run": 1, "seq": 1, "key_seq": 1, "status": status, **fields}
    return FakeRuns(Snapshot.model_validate(values))


def steering(log: FakeRuns, *, commit_timeout_s: float = 5.0) -> Steering:
    return Steering(log=log, clock=ManualClock(), commit_timeout_s=commit_timeout_s)


async def refusal(log: FakeRuns, *, owner: str = "ana", commit_timeout_s: float = 5.0) -> str:
    with pytest.raises(InkwireError) as caught:
        await steering(log, commit_timeout_s=commit_timeout_s).cancel(owner, POST, by="ana")
    return caught.value.code


async def test_a_run_that_nobody_claimed_is_ended_by_the_api() -> None:
    """The wish first, then the end; the answer tells the new state."""
    log = runs()
    steered = await steering(log).cancel("ana", POST, by="ana@example.org")
    assert (steered.run, steered.status, steered.accepted) == (1, "cancelled", True)
    assert [(wish.run, wish.by) for wish in log.intents] == [(1, "ana@example.org")]


async def test_a_workers_run_is_left_to_it() -> None:
    """The wish is stored; the state is as it was."""
    log = runs("generating", run=2)
    log.held_by_worker = True
    steered = await steering(log).cancel("ana", POST, by="ana")
    assert (steered.run, steered.status, steered.accepted) == (2, "generating", True)
    assert [wish.run for wish in log.intents] == [2]


@pytest.mark.parametrize("status", ["published", "failed", "cancelled", "paused"])
async def test_after_the_end_nothing_is_stored(status: str) -> None:
    """No wish, no event: the answer is the state."""
    log = runs(status)
    steered = await steering(log).cancel("ana", POST, by="ana")
    assert (steered.status, steered.accepted) == (status, False)
    assert log.intents == []


async def test_who_has_no_such_post_is_told_so() -> None:
    """Not found for others and for what never was; gone for what was deleted; corrupt for what makes no sense."""
    assert await refusal(runs(), owner="ben") == "not_found"
    assert await refusal(FakeRuns(None)) == "not_found"
    assert await refusal(runs("deleted")) == "gone"
    log = runs()
    log.trouble["current"] = Damaged("does not fold")
    assert await refusal(log) == "corrupt"


@pytest.mark.parametrize("where", ["current", "wish_cancel"])
async def test_without_the_stored_wish_nothing_is_promised(where: str) -> None:
    """A broker that gives no verdict in time means 503."""
    log = runs()
    log.trouble[where] = BrokerUnavailable("no answer")
    assert await refusal(log, commit_timeout_s=0.02) == "broker_unavailable"
    assert log.intents == []


@pytest.mark.parametrize("trouble", [BrokerUnavailable("x"), StoreUnavailable("x"), Damaged("x")])
async def test_with_the_stored_wish_it_is_promised(trouble: Exception) -> None:
    """What goes wrong after the wish is the workers' business, not the caller's."""
    log = runs()
    log.trouble["write"] = trouble
    steered = await steering(log).cancel("ana", POST, by="ana")
    assert (steered.status, steered.accepted) == ("queued", True)
    assert len(log.intents) == 1


async def test_a_silent_broker_is_not_waited_for_for_ever() -> None:
    """The commit time-out bounds the promise."""
    log = runs()
    log.silent = True
    assert await refusal(log, commit_timeout_s=0.01) == "broker_unavailable"
