"""Accepting a post: the commit point, idempotency, what is answered when parts are down, and the caps."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from inkwire_api.ports import Receipt
from inkwire_api.posts import MAX_KEY_CHARS, Limits, Posts, Wish, check_key, fingerprint
from inkwire_api.rate_limit import RateLimiter
from inkwire_contracts.commands import Job
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Snapshot
from inkwire_contracts.ids import idempotent_post_id, is_id
from inkwire_recipes.registry import load_recipes
from inkwire_stores.ports import StoredPost, StoreUnavailable
from tests.support.api_fakes import EPOCH, FakeBroker, posts_over
from tests.support.clock import ManualClock
from tests.support.documents import MemoryDocuments, document_id, uploaded
from tests.support.memory_store import MemoryStore

WISH = Wish("Ten tips", "blog", {}, "normal")
OTHER = Wish("Eleven tips", "blog", {}, "normal")
KEY = "my-request-1"
POST = idempotent_post_id("ana", KEY)


class World:
    """Posts over fakes."""

    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.store = MemoryStore()
        self.documents = MemoryDocuments()
        self.clock = ManualClock()
        self.ids = iter(idempotent_post_id("random", str(n)) for n in range(100))

    def posts(self, **changes: Any) -> Posts:
        """A new api process over the same broker and store."""
        changes.setdefault("limiter", RateLimiter(per_s=1.0, burst=50))
        return posts_over(self.broker, self.store, self.documents, self.clock, self.ids, **changes)

    def keep(self, post: str, wish: Wish = WISH, *, owner: str = "ana", **fields: Any) -> None:
        """Have the store hold a post."""
        snapshot = Snapshot(post=post, owner=owner, fingerprint=fingerprint(wish), seq=9, **fields)
        self.store.posts[post] = StoredPost(snapshot, 9, EPOCH)


@pytest.fixture
def world() -> World:
    return World()


async def refusal(posts: Posts, wish: Wish = WISH, *, key: str | None = KEY) -> InkwireError:
    """The error that accepting ends in."""
    with pytest.raises(InkwireError) as caught:
        await posts.accept("ana", wish, key=key)
    return caught.value


async def test_a_request_without_a_key_makes_a_new_post_each_time(world: World) -> None:
    """Random ids, one job and one ``requested`` each, and nothing is called a replay."""
    one = await world.posts().accept("ana", WISH, key=None)
    two = await world.posts().accept("ana", WISH, key=None)
    assert one.post != two.post and is_id(one.post)
    assert not one.replayed and not two.replayed
    assert len(world.broker.jobs) == len(world.broker.requested) == 2


async def test_requested_follows_the_job(world: World) -> None:
    """Nothing is written to the log before the job is stored, for the job is the commit point."""
    await world.posts().accept("ana", WISH, key=None)
    assert world.broker.asked.index("publish") < world.broker.asked.index("ensure_requested")


async def test_the_same_key_and_body_is_one_post(world: World) -> None:
    """The second answer is the first one, from any process, and is marked as a replay."""
    first = await world.posts().accept("ana", WISH, key=KEY)
    again = await world.posts().accept("ana", WISH, key=KEY)
    assert (first.post, first.replayed) == (POST, False)
    assert (again.post, again.run, again.replayed) == (POST, 1, True)
    assert len(world.broker.jobs) == 1


async def test_the_same_key_and_another_body_is_refused(world: World) -> None:
    """422, and what was accepted stays as it was."""
    await world.posts().accept("ana", WISH, key=KEY)
    assert (await refusal(world.posts(), OTHER)).code == "idempotency_mismatch"
    assert [job.request.title for job in world.broker.jobs.values()] == ["Ten tips"]


async def test_keys_belong_to_their_owner(world: World) -> None:
    """Two owners may use the same key for different posts."""
    mine = await world.posts().accept("ana", WISH, key=KEY)
    theirs = await world.posts().accept("ben", OTHER, key=KEY)
    assert mine.post != theirs.post and not theirs.replayed


async def test_the_key_of_a_deleted_post_is_gone(world: World) -> None:
    """410 from the log, and from the store once the log was purged."""
    world.broker.deleted.add(POST)
    assert (await refusal(world.posts())).code == "gone"
    world.broker.deleted.clear()
    world.keep(POST, status="deleted")
    assert (await refusal(world.posts())).code == "gone"
    assert not world.broker.jobs


async def test_a_purged_post_is_known_from_the_store(world: World) -> None:
    """The store is asked before anything is written: same body replays, another body is refused."""
    world.keep(POST, status="published")
    assert (await world.posts().accept("ana", WISH, key=KEY)).replayed
    assert (await refusal(world.posts(), OTHER)).code == "idempotency_mismatch"
    assert not world.broker.jobs


async def test_a_stored_post_of_somebody_else_is_not_ones_own(world: World) -> None:
    """A document of another owner under that id decides nothing."""
    world.keep(POST, OTHER, owner="ben", status="published")
    assert not (await world.posts().accept("ana", WISH, key=KEY)).replayed


async def test_a_key_cannot_be_looked_up_without_the_store(world: World) -> None:
    """Where the log has nothing the store must say so; until it does, nothing is written."""
    world.store.down = True
    with pytest.raises(StoreUnavailable):
        await world.posts().accept("ana", WISH, key=KEY)
    assert not world.broker.jobs


async def test_new_posts_need_no_store(world: World) -> None:
    """Without a key the store is only asked for the cap, and a store that is down stops nobody."""
    world.store.down = True
    assert (await world.posts().accept("ana", WISH, key=None)).run == 1


class Died(Exception):
    """The process is gone."""


async def die_between_the_publishes(world: World, wish: Wish = WISH) -> None:
    """An api stores the job and is killed before ``requested``."""

    class DyingLog(FakeBroker):
        async def ensure_requested(self, job: Job) -> None:
            raise Died

    with pytest.raises(Died):
        await world.posts(log=DyingLog()).accept("ana", wish, key=KEY)


async def test_a_request_whose_api_died_is_completed_by_the_next(world: World) -> None:
    """The stored job is what ``requested`` is made of, with its own time, not the second request's."""
    await die_between_the_publishes(world)
    assert not world.broker.requested
    world.clock.advance(60)
    accepted = await world.posts().accept("ana", WISH, key=KEY)
    [job] = world.broker.jobs.values()
    assert accepted.replayed and world.broker.requested["ana", POST] is job


async def test_another_body_after_a_death_is_refused(world: World) -> None:
    """The job that was stored decides; the other body is neither answered nor written."""
    await die_between_the_publishes(world)
    assert (await refusal(world.posts(), OTHER)).code == "idempotency_mismatch"
    assert len(world.broker.jobs) == 1 and not world.broker.requested


async def test_a_duplicate_whose_job_is_done_is_answered_from_the_log(world: World) -> None:
    """Between the look-up and the publish a worker may have finished everything."""

    class LateJobs(FakeBroker):
        async def publish(self, job: Job) -> Receipt:
            other = job.model_copy(update={"time": "2026-01-01T00:00:00.001Z"})
            receipt = world.broker.store_job(other)
            world.broker.finish(job.post)
            return Receipt(receipt.stream_seq, duplicate=True)

    accepted = await world.posts(jobs=LateJobs()).accept("ana", WISH, key=KEY)
    assert accepted.replayed and not world.broker.jobs


async def test_a_duplicate_of_which_nothing_is_on_record_promises_nothing(world: World) -> None:
    """A job that vanished without a trace is no reason for a 202."""
    world.broker.window[f"{POST}.1"] = 77
    assert (await refusal(world.posts())).code == "broker_unavailable"


async def test_a_faster_body_under_the_same_key_wins_though_the_window_was_forgotten(world: World) -> None:
    """A new job was stored, but ``requested`` is another's: the answer is the log's, not the request's own."""

    class ForgetfulJobs(FakeBroker):
        async def publish(self, job: Job) -> Receipt:
            other = job.model_copy(update={"request": job.request.model_copy(update={"fingerprint": "0" * 64})})
            world.broker.requested["ana", POST] = other
            return Receipt(2, duplicate=False)

    assert (await refusal(world.posts(jobs=ForgetfulJobs()))).code == "idempotency_mismatch"


async def test_a_lost_answer_is_asked_for_again_under_the_same_id(world: World) -> None:
    """Publishes without a verdict end in one job and one 202, which is no replay: it is our own."""
    world.broker.silent_publishes = 2
    accepted = await world.posts().accept("ana", WISH, key=None)
    assert not accepted.replayed
    assert len(world.broker.jobs) == len(world.broker.requested) == 1


async def test_without_any_verdict_nothing_is_promised(world: World) -> None:
    """503 after a bounded time."""
    world.broker.down = True
    posts = world.posts(limits=Limits(max_open_posts=3, commit_timeout_s=0.05))
    assert (await refusal(posts)).code == "broker_unavailable"
    assert (await refusal(posts, key=None)).code == "broker_unavailable"


async def test_a_log_that_is_nearly_full_takes_no_new_posts(world: World) -> None:
    """At 80 % the answer is 503 with the seconds to wait; below it, and for replays, all is as usual."""
    world.broker.fill = 0.79
    await world.posts().accept("ana", WISH, key=KEY)
    world.broker.fill = 0.8
    error = await refusal(world.posts(), key=None)
    assert (error.code, error.params["retry_after_s"]) == ("log_full", 30)
    assert (await world.posts().accept("ana", WISH, key=KEY)).replayed


async def test_a_queue_without_room_refuses(world: World) -> None:
    """The broker's own limit is told as what it is."""
    world.broker.full = True
    assert (await refusal(world.posts())).code == "log_full"


async def test_open_posts_are_capped_for_each_owner(world: World) -> None:
    """The cap counts posts that have not ended; another owner is not concerned, and a replay is no new post."""
    for number in range(2):
        world.keep(idempotent_post_id("x", str(number)), status="generating")
    world.keep(idempotent_post_id("x", "done"), status="published")
    await world.posts().accept("ana", WISH, key=KEY)
    world.keep(POST, status="queued")
    error = await refusal(world.posts(), OTHER, key=None)
    assert (error.code, error.params["limit"]) == ("too_many_posts", 3)
    assert (await world.posts().accept("ana", WISH, key=KEY)).replayed
    assert not (await world.posts().accept("ben", WISH, key=None)).replayed


async def test_requests_are_limited_before_anything_is_asked(world: World) -> None:
    """Beyond the burst the answer is 429, and neither broker nor store hear of it."""
    posts = world.posts(limiter=RateLimiter(per_s=1.0, burst=1))
    await posts.accept("ana", WISH, key=None)
    asked = list(world.broker.asked)
    assert (await refusal(posts, key=None)).code == "rate_limited"
    assert world.broker.asked == asked


async def test_unknown_recipes_and_options_are_refused(world: World) -> None:
    """The recipe's own inputs decide; the error says what is known or where the fault is."""
    error = await refusal(world.posts(), Wish("T", "haiku", {}, "normal"))
    assert error.code == "unknown_recipe" and "blog" in error.params["known"]
    error = await refusal(world.posts(), Wish("T", "blog", {"colour": "red"}, "normal"))
    assert error.code == "invalid_options"
    assert error.params["errors"][0]["pointer"] == "#/options/colour"
    assert not world.broker.jobs


async def test_defaults_are_fixed_when_a_post_is_accepted(world: World) -> None:
    """The stored options are complete, so a later default changes no accepted post; the fingerprint is as sent."""
    await world.posts().accept("ana", WISH, key=None)
    [job] = world.broker.jobs.values()
    assert set(job.request.options) == set(load_recipes()["blog"].inputs.model_fields)
    assert job.request.fingerprint == fingerprint(WISH)


@pytest.mark.parametrize("key", ["", "a" * (MAX_KEY_CHARS + 1), "with space", "naïve", "tab\t", "line\n"])
def test_keys_are_visible_ascii_of_bounded_length(key: str) -> None:
    """Anything else is refused."""
    with pytest.raises(InkwireError, match="Idempotency-Key"):
        check_key(key)


def test_the_longest_key_is_a_key() -> None:
    """The bound itself is allowed."""
    assert check_key("~" * MAX_KEY_CHARS)


def test_the_fingerprint_is_of_the_request_not_of_its_spelling() -> None:
    """The order of options does not matter; every field does."""
    one = Wish("T", "blog", {"a": 1, "b": {"c": 2, "d": 3}}, "normal")
    assert fingerprint(one) == fingerprint(Wish("T", "blog", {"b": {"d": 3, "c": 2}, "a": 1}, "normal"))
    changes: list[Callable[[], Wish]] = [
        lambda: Wish("U", "blog", one.options, "normal"),
        lambda: Wish("T", "social", one.options, "normal"),
        lambda: Wish("T", "blog", {}, "normal"),
        lambda: Wish("T", "blog", one.options, "high"),
    ]
    assert len({fingerprint(change()) for change in changes} | {fingerprint(one)}) == 5


async def test_two_requests_at_once_are_one_post(world: World) -> None:
    """Same key and body, side by side: both are told the same post, and one job is stored."""
    posts = world.posts()
    one, two = await asyncio.gather(*(posts.accept("ana", WISH, key=KEY) for _ in range(2)))
    assert one.post == two.post
    assert len(world.broker.jobs) == 1


async def test_mentioned_documents_travel_with_the_request(world: World) -> None:
    """Those of title, options and the explicit list, once each, as references to the caller's own documents."""
    for number, name in enumerate(["plan.md", "notes.md", "Security policy.pdf", "never.md"], start=1):
        await world.documents.add(uploaded(number, name=name), limit=10)
    await world.documents.add(uploaded(9, owner="ben", name="bens.md"), limit=10)
    wish = Wish(
        "From @2", "blog", {"audience": 'readers of @"security policy.pdf" and @bens.md'}, "normal", (1, "plan.md")
    )
    await world.posts().accept("ana", wish, key=None)
    (job,) = world.broker.jobs.values()
    refs = [(ref.document, ref.owner, ref.number, ref.name) for ref in job.request.documents]
    names = ("plan.md", "notes.md", "Security policy.pdf")
    assert refs == [(document_id(n), "ana", n, name) for n, name in enumerate(names, start=1)]


@pytest.mark.parametrize(
    "wish",
    [
        Wish("Use @7", "blog", {}, "normal"),
        Wish("Use @1", "blog", {"audience": '@"none.md"'}, "normal"),
        Wish("T", "blog", {}, "normal", (document_id(9),)),
        Wish("T", "blog", {}, "normal", ("bens.md",)),
    ],
)
async def test_an_unknown_document_is_refused_before_anything_is_committed(world: World, wish: Wish) -> None:
    """By number, name or id, in the title, an option or the list; another's document is as unknown as none."""
    await world.documents.add(uploaded(1), limit=10)
    await world.documents.add(uploaded(9, owner="ben", name="bens.md"), limit=10)
    with pytest.raises(InkwireError) as refused:
        await world.posts().accept("ana", wish, key=None)
    assert refused.value.code == "unknown_document"
    assert not world.broker.jobs and not world.broker.requested


async def test_a_replay_asks_for_no_document(world: World) -> None:
    """The same request again is answered with its post, also when the document it mentions has been deleted since."""
    await world.documents.add(uploaded(1), limit=10)
    wish = Wish("Use @1", "blog", {}, "normal", (1,))
    first = await world.posts().accept("ana", wish, key=KEY)
    await world.documents.delete("ana", document_id(1))
    again = await world.posts().accept("ana", wish, key=KEY)
    assert again.post == first.post and again.replayed
    with pytest.raises(InkwireError, match="You mention @1"):
        await world.posts().accept("ana", wish, key="another")


async def test_without_mentions_the_documents_store_is_not_asked(world: World) -> None:
    """A store of documents that is away stops only requests that may mention one."""
    world.documents.down = True
    await world.posts().accept("ana", Wish("Write to a@3.com", "blog", {}, "normal"), key=None)
    for title in ("Use @1", "Ask @somebody"):
        with pytest.raises(StoreUnavailable):
            await world.posts().accept("ana", Wish(title, "blog", {}, "normal"), key=None)
    assert len(world.broker.jobs) == 1


async def test_a_token_that_reaches_no_documents_mentions_none(world: World) -> None:
    """Who may follow one channel only cannot have a post written from the owner's documents."""
    await world.documents.add(uploaded(1, name="plan.md"), limit=10)
    for title in ("Use @1", "Use @plan.md"):
        with pytest.raises(InkwireError) as refused:
            await world.posts().accept("ana", Wish(title, "blog", {}, "normal"), key=None, documents_allowed=False)
        assert refused.value.code == "forbidden_channel"
    await world.posts().accept("ana", Wish("Ask @nobody", "blog", {}, "normal"), key=None, documents_allowed=False)


def test_the_fingerprint_covers_documents_and_is_what_it_was_without() -> None:
    """Another list is another request; requests of before there were documents keep their fingerprint."""
    assert fingerprint(WISH) == "d7155ad9ebc48d35bf552743fa39fba25d9109da14ad81487d2f6a3a178a86cb"
    with_documents = {fingerprint(Wish("Ten tips", "blog", {}, "normal", of)) for of in ((1,), ("1",), (1, 2), (2, 1))}
    assert len(with_documents | {fingerprint(WISH)}) == 5
