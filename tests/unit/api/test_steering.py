"""Steering over ports: what is promised, what is refused, and what is left to the workers."""

import pytest

from inkwire_api.approving import OptionsOf, approval
from inkwire_api.ports import BrokerUnavailable, Damaged
from inkwire_api.steering import Steering
from inkwire_contracts.commands import CancelIntent
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Snapshot
from inkwire_contracts.ids import idempotent_post_id
from inkwire_recipes.blog import BLOG
from inkwire_stores.ports import StoreUnavailable
from tests.support.api_fakes import FakeRuns
from tests.support.clock import ManualClock

POST = idempotent_post_id("ana", "post")


def runs(status: str = "queued", **fields: object) -> FakeRuns:
    values = {"post": POST, "owner": "ana", "run": 1, "seq": 1, "key_seq": 1, "status": status, **fields}
    return FakeRuns(Snapshot.model_validate(values))


def steering(log: FakeRuns, *, commit_timeout_s: float = 5.0) -> Steering:
    return Steering(log=log, jobs=log.queue, admit=log.admit, clock=ManualClock(), commit_timeout_s=commit_timeout_s)


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


async def test_the_wish_does_not_wait_until_the_post_is_read() -> None:
    """One read names the run; that the rest cannot be read at the moment is told, but the spending stops."""
    log = runs("generating", run=2)
    log.trouble["current"] = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await steering(log).cancel("ana", POST, by="ana")
    assert [(wish.run, wish.by) for wish in log.intents] == [(2, "ana")]


@pytest.mark.parametrize(("status", "accepted"), [("cancelled", True), ("published", False)])
async def test_an_end_that_comes_between(status: str, accepted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that obeys before we have read the post did what was asked; a run that was faster was not stopped."""
    log = runs("generating")
    wish = log.wish_cancel

    async def wish_and_end(intent: CancelIntent) -> None:
        await wish(intent)
        assert log.snapshot is not None
        log.snapshot.status = status  # type: ignore[assignment]

    monkeypatch.setattr(log, "wish_cancel", wish_and_end)
    steered = await steering(log).cancel("ana", POST, by="ana")
    assert (steered.status, steered.accepted) == (status, accepted)


@pytest.mark.parametrize(("meant", "code"), [(1, None), (3, "not_found")])
async def test_a_run_that_is_named_is_the_only_one(meant: int, code: str | None) -> None:
    """Neither an earlier nor a later run than the one that is written is wished to stop."""
    log = runs("generating", run=2)
    log.held_by_worker = True
    if code is None:
        steered = await steering(log).cancel("ana", POST, by="ana", run=meant)
        assert (steered.run, steered.status, steered.accepted) == (2, "generating", False)
    else:
        with pytest.raises(InkwireError) as caught:
            await steering(log).cancel("ana", POST, by="ana", run=meant)
        assert caught.value.code == code
    assert log.intents == []
    assert (await steering(log).cancel("ana", POST, by="ana", run=2)).accepted
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


@pytest.mark.parametrize("where", ["running", "wish_cancel"])
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


async def test_a_failed_post_begins_its_next_run() -> None:
    """The job is stored before the beginning is written; the open text is gone, finished sections stay."""
    done = {"section": "s1", "text": "kept", "length": 4, "status": "done"}
    log = runs("failed", title="Ten tips", recipe="blog", sections=[done])
    steered = await steering(log).retry("ana", POST)
    assert (steered.run, steered.status, steered.accepted) == (2, "queued", True)
    [job] = log.queue.jobs.values()
    assert (job.run, job.msg_id, job.request.title) == (2, f"{POST}.2", "Ten tips")
    assert log.admitted == ["ana"]


async def test_a_run_that_has_begun_is_answered() -> None:
    """By the number that ended, whatever became of the next; without one, while a later run is under way."""
    later = runs("failed", run=3)
    assert (await steering(later).retry("ana", POST, after_run=2)).run == 3
    active = runs("generating", run=2)
    assert (await steering(active).retry("ana", POST)).run == 2
    assert not later.queue.jobs and not active.queue.jobs


@pytest.mark.parametrize(
    ("status", "after_run"), [("queued", None), ("generating", 1), ("published", None), ("paused", 1), ("failed", 2)]
)
async def test_only_what_failed_or_was_cancelled_is_tried_again(status: str, after_run: int | None) -> None:
    """And only the latest run; nothing is stored otherwise."""
    log = runs(status)
    with pytest.raises(InkwireError) as caught:
        await steering(log).retry("ana", POST, after_run=after_run)
    assert caught.value.code == "not_retryable"
    assert not log.queue.jobs and log.admitted == []


async def test_who_may_not_begin_one_more_run() -> None:
    """Policy and room are asked before the job is stored; a full queue refuses too."""
    log = runs("failed")
    log.refused = "too_many_posts"
    with pytest.raises(InkwireError, match="unfinished"):
        await steering(log).retry("ana", POST)
    log.refused = None
    log.queue.full = True
    with pytest.raises(InkwireError) as caught:
        await steering(log).retry("ana", POST)
    assert caught.value.code == "log_full"
    assert not log.queue.jobs


async def test_a_beginning_that_nobody_writes_is_not_promised() -> None:
    """A worker that holds the claim and dies: 503 in time, and the stored job brings the run all the same."""
    log = runs("failed")
    log.held_by_worker = True
    with pytest.raises(InkwireError) as caught:
        await steering(log, commit_timeout_s=0.1).retry("ana", POST)
    assert caught.value.code == "broker_unavailable"
    assert len(log.queue.jobs) == 1


@pytest.mark.parametrize("status", ["queued", "published", "failed", "deleted"])
async def test_a_post_is_deleted_from_every_state_that_can_end(status: str) -> None:
    """A queued one is cancelled first; a deleted one stays so, and nothing is written."""
    log = runs(status)
    await steering(log).delete("ana", POST, by="ana")
    assert log.snapshot is not None and log.snapshot.status == "deleted"
    assert len(log.intents) == (1 if status == "queued" else 0)
    assert log.snapshot.seq == {"queued": 3, "deleted": 1}.get(status, 2)


async def test_a_delete_waits_for_the_writer_in_vain() -> None:
    """The wish is stored once, and 503 says what is being waited for."""
    log = runs("generating")
    log.held_by_worker = True
    with pytest.raises(InkwireError) as caught:
        await steering(log, commit_timeout_s=0.2).delete("ana", POST, by="ana")
    assert caught.value.code == "still_stopping"
    assert len(log.intents) == 1


async def test_a_delete_that_the_broker_does_not_decide() -> None:
    """Without a verdict nothing is promised."""
    log = runs("published")
    log.trouble["write"] = BrokerUnavailable("no answer")
    with pytest.raises(InkwireError) as caught:
        await steering(log, commit_timeout_s=0.1).delete("ana", POST, by="ana")
    assert caught.value.code == "broker_unavailable"


def approving(outline: str) -> OptionsOf:
    return lambda snapshot: {**snapshot.options, "outline": outline}


async def test_an_approved_post_begins_its_next_run_with_the_new_options() -> None:
    """The job carries them, and so does the beginning; everything else is the first request's."""
    log = runs("paused", title="Ten tips", recipe="blog", options={"review": True}, fingerprint="f")
    steered = await steering(log).approve("ana", POST, approving("mine"), after_run=1)
    assert (steered.run, steered.status, steered.accepted) == (2, "queued", True)
    [job] = log.queue.jobs.values()
    assert job.request.options == {"review": True, "outline": "mine"}
    assert (job.msg_id, job.request.title, job.request.fingerprint) == (f"{POST}.2", "Ten tips", "f")
    assert log.snapshot is not None and log.snapshot.options == job.request.options
    assert log.admitted == ["ana"]


async def test_the_options_of_an_approved_run_stay_when_it_is_tried_again() -> None:
    """A retry is the latest run's request again, and the approval before it is still answered."""
    log = runs("paused", recipe="blog", options={"review": True})
    await steering(log).approve("ana", POST, approving("mine"))
    assert log.snapshot is not None
    log.snapshot.status = "failed"
    assert (await steering(log).retry("ana", POST, after_run=2)).run == 3
    assert [job.request.options["outline"] for job in log.queue.jobs.values()] == ["mine", "mine"]
    assert (await steering(log).approve("ana", POST, approving("mine"), after_run=1)).run == 3


async def test_an_approval_that_came_second_is_told_so() -> None:
    """Its outline is not the one that is written; nothing more is stored."""
    log = runs("paused", recipe="blog")
    await steering(log).approve("ana", POST, approving("mine"), after_run=1)
    with pytest.raises(InkwireError) as caught:
        await steering(log).approve("ana", POST, approving("other"), after_run=1)
    assert (caught.value.code, caught.value.params) == ("approved_otherwise", {"run": 2})
    assert len(log.queue.jobs) == 1


@pytest.mark.parametrize(
    ("status", "after_run"), [("queued", None), ("generating", 1), ("published", None), ("failed", 1), ("paused", 2)]
)
async def test_only_what_waits_is_approved(status: str, after_run: int | None) -> None:
    """And only the latest run; nothing is stored otherwise."""
    log = runs(status)
    with pytest.raises(InkwireError) as caught:
        await steering(log).approve("ana", POST, approving("mine"), after_run=after_run)
    assert caught.value.code == "not_approvable"
    assert not log.queue.jobs and log.admitted == []


async def test_an_approval_that_the_recipe_refuses_stores_nothing() -> None:
    """A kind that never waits, or one that this api does not know."""
    log = runs("paused", recipe="blog", options={})
    for recipes, code in (({"blog": BLOG}, "not_approvable"), ({}, "unknown_recipe")):
        with pytest.raises(InkwireError) as caught:
            await steering(log).approve("ana", POST, approval(recipes, None))
        assert caught.value.code == code
    assert not log.queue.jobs and log.admitted == []
