"""Accept a request for a post: the commit rules of docs/architecture.md over ports.

The acknowledged job is the only commit point; ``requested`` follows it, and 202 follows both. Where an
Idempotency-Key was used, or the broker says "duplicate", the answer comes from what is stored, never from the
request's own body.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from inkwire_api import problems
from inkwire_api.asking import answered, in_time
from inkwire_api.mentioning import Mentions
from inkwire_api.mentions import texts_of
from inkwire_api.ports import JobPublisher, Known, NoRoom, PostLog
from inkwire_api.rate_limit import RateLimiter
from inkwire_chassis.clock import Clock, rfc3339
from inkwire_chassis.logs import get_logger
from inkwire_contracts.commands import Job
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.events import Priority, RequestedData
from inkwire_contracts.ids import idempotent_post_id
from inkwire_recipes.recipe import Recipe
from inkwire_stores.ports import PostStore, StoreUnavailable

LOG_FULL_RATIO = 0.8
LOG_FULL_RETRY_AFTER_S = 30
MAX_KEY_CHARS = 255
FIRST_RUN = 1


@dataclass(frozen=True, slots=True)
class Wish:
    """A request for a post as it was sent, its form already checked."""

    title: str
    recipe: str
    options: Mapping[str, Any]
    priority: Priority
    documents: tuple[int | str, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """A post that will end in exactly one terminal state. ``replayed``: it had been accepted before."""

    post: str
    run: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """Policy of accepting."""

    max_open_posts: int
    commit_timeout_s: float


Prepare = Callable[[Job], Awaitable[None]]
"""What must stand before a stored job's ``requested``; may be done again, by anybody who finds the job."""

Complete = Callable[[Job], Awaitable[Job]]
"""What a job still lacks that is not on record yet: looked up only then, for it may be gone when it is asked again."""


class Posts:
    """Accepts posts."""

    def __init__(
        self,
        *,
        jobs: JobPublisher,
        log: PostLog,
        store: PostStore,
        recipes: Mapping[str, Recipe],
        mentions: Mentions,
        limiter: RateLimiter,
        limits: Limits,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._jobs = jobs
        self._log = log
        self._store = store
        self._recipes = recipes
        self._mentions = mentions
        self._limiter = limiter
        self._limits = limits
        self._clock = clock
        self._new_id = new_id

    async def accept(
        self,
        owner: str,
        wish: Wish,
        *,
        key: str | None,
        traceparent: str | None = None,
        documents_allowed: bool = True,
    ) -> Accepted:
        """Commit a run for a new post, or find the one that the key has made before.

        ``documents_allowed``: whether the caller's token reaches documents, so that the request may mention them.

        Raises:
            InkwireError: the request is refused, or nothing can be promised at the moment.
            StoreUnavailable: the key, or what is mentioned, cannot be looked up at the moment.
        """

        async def with_documents(job: Job) -> Job:
            texts = (job.request.title, *texts_of(job.request.options))
            found = await self._mentions.resolve(owner, texts, wish.documents, allowed=documents_allowed)
            return job.model_copy(update={"request": job.request.model_copy(update={"documents": found})})

        self.count_request(owner)
        request = self.resolve(wish)
        post = self._new_id() if key is None else idempotent_post_id(owner, check_key(key))
        job = Job(
            post=post,
            owner=owner,
            run=FIRST_RUN,
            time=rfc3339(self._clock.now()),
            request=request,
            traceparent=traceparent,
        )
        return await self.commit(job, keyed=key is not None, complete=with_documents)

    async def commit(
        self, job: Job, *, keyed: bool, prepare: Prepare | None = None, complete: Complete | None = None
    ) -> Accepted:
        """Commit a first run whose owner's request was counted; ``keyed``: its id may be on record.

        Raises:
            InkwireError: as :meth:`accept`.
            StoreUnavailable: as :meth:`accept`.
        """
        async with in_time(self._limits.commit_timeout_s):
            if keyed:
                known = await self._on_record(job)
                if known is not None:
                    return _replay(known, job)
            if complete is not None:
                job = await complete(job)
            await self._admit(job.owner)
            return await self._commit(job, prepare or _nothing, keyed=keyed)

    def resolve(self, wish: Wish) -> RequestedData:
        """The request with the recipe's options complete, so that a later default changes nothing accepted.

        Raises:
            InkwireError: ``unknown_recipe`` or ``invalid_options``.
        """
        recipe = self._recipes.get(wish.recipe)
        if recipe is None:
            raise InkwireError("unknown_recipe", known=", ".join(sorted(self._recipes)))
        try:
            options = recipe.inputs.model_validate(dict(wish.options)).model_dump(mode="json")
        except ValidationError as error:
            raise problems.from_options(error.errors(include_url=False, include_input=False)) from None
        return RequestedData(
            title=wish.title,
            recipe=wish.recipe,
            options=options,
            priority=wish.priority,
            fingerprint=fingerprint(wish),
        )

    def count_request(self, owner: str) -> None:
        """Count one request of an owner.

        Raises:
            InkwireError: ``rate_limited``.
        """
        self._limiter.take(owner, self._clock.monotonic_s())

    async def admit(self, owner: str) -> None:
        """Let an owner begin one more run.

        Raises:
            InkwireError: ``rate_limited``, ``too_many_posts``, ``log_full`` or ``broker_unavailable``.
        """
        self.count_request(owner)
        await self._admit(owner)

    async def require_room(self) -> None:
        """Let somebody begin one more run whom the owners' limits do not bind.

        Raises:
            InkwireError: ``log_full`` or ``broker_unavailable``.
        """
        if await answered(self._log.fill_ratio) >= LOG_FULL_RATIO:
            raise InkwireError("log_full", retry_after_s=LOG_FULL_RETRY_AFTER_S)

    async def _admit(self, owner: str) -> None:
        await self.require_room()
        try:
            active = await self._store.count_active(owner)
        except StoreUnavailable:
            # Policy, not safety: a store that is down must not stop new posts.
            get_logger().warning("open posts not counted: the store does not answer")
            return
        if active >= self._limits.max_open_posts:
            raise InkwireError("too_many_posts", limit=self._limits.max_open_posts)

    async def _commit(self, job: Job, prepare: Prepare, *, keyed: bool) -> Accepted:
        try:
            receipt = await answered(lambda: self._jobs.publish(job))
        except NoRoom:
            raise InkwireError("log_full", retry_after_s=LOG_FULL_RETRY_AFTER_S) from None
        if receipt.duplicate:
            return await self._finish_stored(job, receipt.stream_seq, prepare)
        await prepare(job)
        await answered(lambda: self._log.ensure_requested(job))
        if not keyed:
            return Accepted(job.post, job.run, replayed=False)
        # Another body under the same key may have been faster, when the broker had forgotten its job.
        return _replay(await self._must_be_on_record(job), job, replayed=False)

    async def _finish_stored(self, job: Job, stream_seq: int, prepare: Prepare) -> Accepted:
        """The job had been stored before, by an api that died, a request at the same time, or our own first try."""
        stored = await answered(lambda: self._log.stored_job(stream_seq))
        replayed = stored is None or stored.time != job.time
        known = await self._on_record(job)
        if known is None and stored is not None:
            _check_same(stored.request.fingerprint, job)
            await prepare(stored)
            await answered(lambda: self._log.ensure_requested(stored))
        return _replay(known or await self._must_be_on_record(job), job, replayed=replayed)

    async def _must_be_on_record(self, job: Job) -> Known:
        known = await self._on_record(job)
        if known is None:
            raise InkwireError("broker_unavailable")
        return known

    async def _on_record(self, job: Job) -> Known | None:
        """The log first, then the store: a post is purged from the log only once the store holds it."""
        known = await answered(lambda: self._log.look_up(job.owner, job.post))
        if known is not None:
            return known
        stored = await self._store.get(job.post)
        if stored is None or stored.snapshot.owner != job.owner:
            return None
        return Known(stored.snapshot.fingerprint, stored.snapshot.status == "deleted")


async def _nothing(_job: Job) -> None:
    """A post that stands for itself."""


def check_key(key: str) -> str:
    """The Idempotency-Key, if it is one.

    Raises:
        InkwireError: ``invalid_idempotency_key``.
    """
    if not 1 <= len(key) <= MAX_KEY_CHARS or not all("!" <= character <= "~" for character in key):
        raise InkwireError("invalid_idempotency_key", limit=MAX_KEY_CHARS)
    return key


def fingerprint(wish: Wish) -> str:
    """SHA-256 over the canonical JSON of a request as it was sent: the same for the same request, always."""
    body = {
        "title": wish.title,
        "recipe": wish.recipe,
        "options": dict(wish.options),
        "priority": wish.priority,
        # Left out where there are none: requests from before there were documents stay the same requests.
        **({"documents": list(wish.documents)} if wish.documents else {}),
    }
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _replay(known: Known, job: Job, *, replayed: bool = True) -> Accepted:
    if known.deleted:
        raise InkwireError("gone")
    _check_same(known.fingerprint, job)
    return Accepted(job.post, FIRST_RUN, replayed)


def _check_same(stored_fingerprint: str, job: Job) -> None:
    if stored_fingerprint != job.request.fingerprint:
        raise InkwireError("idempotency_mismatch")
