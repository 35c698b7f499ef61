"""What people do with a post while it is written and processes die: cancel it, try it again, delete it.

Each `Way` says what its people do and when its post is over; the evidence says which ends its runs may have.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from inkwire_contracts.fold import Snapshot
from tests.chaos.oracle import PostEvidence
from tests.chaos.pacing import pause

RETRY_S: Final = 0.2
ENDED: Final = frozenset({"published", "failed", "cancelled", "paused", "deleted"})


@dataclass(frozen=True, slots=True)
class Api:
    """One person's requests, repeated until they are answered."""

    http: aiohttp.ClientSession
    url: str
    token: str
    over: asyncio.Event

    async def insist(
        self,
        method: str,
        path: str,
        good: frozenset[int],
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any] | None:
        """Ask until the status is a good one; None where the run of the matrix is over before."""
        sent = {**(headers or {}), "Authorization": f"Bearer {self.token}"}
        while not self.over.is_set():
            try:
                async with self.http.request(method, f"{self.url}{path}", json=json, headers=sent) as answer:
                    content = await answer.json(content_type=None)
                    if answer.status in good:
                        return answer.status, content
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                pass  # killed before, while or after it did what was asked
            await pause(self.over, RETRY_S)
        return None

    async def until_ended(self, post: str) -> str | None:
        """The status of the post once its latest run has ended."""
        while (answered := await self.insist("GET", f"/posts/{post}", frozenset({200}))) is not None:
            status = str(answered[1]["status"])
            if status in ENDED:
                return status
            await pause(self.over, RETRY_S)
        return None


Act = Callable[[Api, PostEvidence, random.Random], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Way:
    """What becomes of a post. `over` tells from what a reader shows whether there is more to come."""

    name: str
    weight: float
    act: Act
    over: Callable[[Snapshot], bool]
    deleted: bool = False


async def _leave_it(_api: Api, _evidence: PostEvidence, _rng: random.Random) -> None:
    """Nothing: the post is written to its end."""


async def _cancel(api: Api, evidence: PostEvidence, rng: random.Random) -> None:
    """At some time in its life; the end may be faster."""
    evidence.ends = {1: frozenset({"published", "cancelled"})}
    await pause(api.over, rng.uniform(0.2, 6.0))
    await api.insist("POST", f"/posts/{evidence.post}/cancel?run=1", frozenset({200, 202}))


async def _cancel_and_retry(api: Api, evidence: PostEvidence, rng: random.Random) -> None:
    """Cancelled once, then tried again until it is there; said twice, because people do."""
    await _cancel(api, evidence, rng)
    if await api.until_ended(evidence.post) != "cancelled":
        evidence.ends = {1: frozenset({"published"})}
        return
    evidence.ends = {1: frozenset({"cancelled"}), 2: frozenset({"published"})}
    for _ in range(2):
        await api.insist("POST", f"/posts/{evidence.post}/retry?run=1", frozenset({200, 202}))


async def _delete(api: Api, evidence: PostEvidence, rng: random.Random) -> None:
    """While it is written, or after its end."""
    evidence.ends = {1: frozenset({"published", "cancelled"})}
    await pause(api.over, rng.uniform(1.0, 12.0))
    await api.insist("DELETE", f"/posts/{evidence.post}", frozenset({204, 410}))


def _is_final(snapshot: Snapshot) -> bool:
    return snapshot.is_final


def _is_written(snapshot: Snapshot) -> bool:
    return snapshot.status == "published" or (snapshot.is_final and snapshot.run > 1)


def _is_deleted(snapshot: Snapshot) -> bool:
    return snapshot.status == "deleted"


LEFT_ALONE: Final = Way("left alone", 6, _leave_it, _is_final)
WAYS: Final = (
    LEFT_ALONE,
    Way("cancelled", 1, _cancel, _is_final),
    Way("cancelled and tried again", 2, _cancel_and_retry, _is_written),
    Way("deleted", 1.5, _delete, _is_deleted, deleted=True),
)


def draw_way(rng: random.Random) -> Way:
    """What becomes of one post."""
    return rng.choices(WAYS, weights=[way.weight for way in WAYS])[0]
