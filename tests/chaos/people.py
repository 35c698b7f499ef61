"""Those who use Inkwire during a run: they ask for posts until they are accepted, and read them to the end.

What a person does after the 202 is a list of `Step`s. Some cancel, retry or delete their post (steering.py).
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from inkwire_chassis.event_log import EventLog
from inkwire_contracts.fold import Snapshot
from inkwire_stores.ports import PostStore, StoredPost, StoreUnavailable
from tests.chaos.cluster import Cluster
from tests.chaos.oracle import PostEvidence, Sight, view
from tests.chaos.pacing import pause
from tests.chaos.readers import AFTER, Manner, Reader
from tests.chaos.steering import LEFT_ALONE, Api, Way, draw_way

OWNERS: Final = ("ada", "grace", "edsger")
REQUEST_TIMEOUT_S: Final = 15.0
RETRY_S: Final = 0.2
STORE_LOOK_S: Final = 0.15
SUBJECTS: Final = ("Laravel tips", "sourdough mistakes", "night trains", "uses of a whiteboard", "rules of chess")


@dataclass(slots=True)
class Person:
    """One accepted post, who asked for it, and its readers."""

    number: int
    owner: str
    token: str
    key: str
    body: dict[str, Any]
    rng: random.Random
    evidence: PostEvidence
    way: Way
    readers: list[Reader] = field(default_factory=list)
    done: bool = False


class People:
    """Keeps so many posts open at once until enough were written and the faults are over."""

    def __init__(
        self,
        cluster: Cluster,
        store: PostStore,
        seed: int,
        over: asyncio.Event,
        manners: Sequence[Manner],
        *,
        steering: bool = True,
    ) -> None:
        self.all: list[Person] = []
        self.never_accepted: list[str] = []
        self._cluster = cluster
        self._store = store
        self._seed = seed
        self._over = over
        self._manners = manners
        self._steering = steering
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S), trust_env=False)

    @property
    def steps(self) -> int:
        """Grows whenever anybody comes forward: a post is accepted, a reader sees more, the store holds more."""
        return sum(
            1 + len(person.evidence.store_sights) + sum(len(reader.history.sights) for reader in person.readers)
            for person in self.all
        )

    async def close(self) -> None:
        await self._http.close()

    async def keep_writing(self, posts: int, storm: asyncio.Event) -> None:
        """One slot: write post after post until there are `posts` in all and the storm is over."""
        while not self._over.is_set() and (len(self.all) < posts or not storm.is_set()):
            await self._one(len(self.all))

    async def _one(self, number: int) -> None:
        rng = random.Random(f"{self._seed}.{number}")
        title = f"{rng.randint(5, 12)} {rng.choice(SUBJECTS)}, number {number}"
        body = {"title": title, "recipe": "blog", "options": {"length": "short"}}
        owner = rng.choice(OWNERS)
        key = f"matrix-{self._seed}-{number}"
        way = draw_way(rng) if self._steering else LEFT_ALONE
        evidence = PostEvidence("", way=way.name, deleted=way.deleted)
        person = Person(number, owner, self._cluster.token(owner), key, body, rng, evidence, way)
        self.all.append(person)
        accepted = await self._ask_until_accepted(person)
        if accepted is None:
            self.all.remove(person)
            self.never_accepted.append(title)
            return
        person.evidence.post = accepted
        await asyncio.gather(*(step(self, person) for step in STEPS), self._watch_store(person))
        person.done = True

    async def read(self, owner: str, post: str, rng: random.Random) -> None:
        """Read a post that somebody else has asked for, to its end, like those of this class."""
        own = random.Random(rng.random())
        person = Person(len(self.all), owner, self._cluster.token(owner), "", {}, own, PostEvidence(post), LEFT_ALONE)
        self.all.append(person)
        await asyncio.gather(self.read_to_the_end(person), self._watch_store(person))
        person.done = True

    # -- steps -------------------------------------------------------------------------------------------------

    async def read_to_the_end(self, person: Person) -> None:
        """Readers of every manner, and one more when the others have seen the end."""
        live = [self._reader(person, manner) for manner in self._manners]
        await asyncio.gather(*(reader.run() for reader in live))
        await self._reader(person, AFTER).run()

    async def repeat_the_request(self, person: Person) -> None:
        """Some do not trust the 202 and ask again, with the same key, at another time."""
        if person.number % 3 or person.way.deleted or await pause(self._over, person.rng.uniform(0.5, 8.0)):
            return
        answered = await self._ask_until_accepted(person)
        if answered is not None:
            person.evidence.repeated_ids = [*person.evidence.repeated_ids, answered]

    async def steer(self, person: Person) -> None:
        """Cancel it, try it again, delete it, or leave it alone."""
        api = Api(self._http, self._cluster.api_url, person.token, self._over)
        await person.way.act(api, person.evidence, random.Random(person.rng.random()))

    def _reader(self, person: Person, manner: Manner) -> Reader:
        rng = random.Random(person.rng.random())
        reader = Reader(
            f"{manner.name}-{len(person.readers)}",
            person.evidence.post,
            manner,
            self._cluster.gateways,
            person.token,
            rng,
            self._over,
            person.way,
        )
        person.readers.append(reader)
        person.evidence.readers = [each.history for each in person.readers]
        return reader

    async def _ask_until_accepted(self, person: Person) -> str | None:
        """POST, with one Idempotency-Key, until 202; None where it never came."""
        headers = {"Authorization": f"Bearer {person.token}", "Idempotency-Key": person.key}
        url = f"{self._cluster.api_url}/posts"
        while not self._over.is_set():
            try:
                async with self._http.post(url, json=person.body, headers=headers) as answer:
                    content = await answer.json(content_type=None)
                    if answer.status == 202:
                        return str(content["id"])
                    if answer.status < 500 and answer.status != 429:
                        self.never_accepted.append(f"{person.body['title']}: {answer.status} {content}")
                        return None
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                pass  # killed before, while or after it committed: ask again
            await pause(self._over, RETRY_S)
        return None

    async def download(self, person: Person) -> bytes | None:
        """The finished document as the api serves it."""
        url = f"{self._cluster.api_url}/posts/{person.evidence.post}/markdown"
        async with self._http.get(url, headers={"Authorization": f"Bearer {person.token}"}) as answer:
            return await answer.read() if answer.status == 200 else None

    # -- the store ---------------------------------------------------------------------------------------------

    async def _watch_store(self, person: Person) -> None:
        """Look at the stored post again and again: whatever it shows must have been true of the log."""
        sights: list[Sight] = []
        person.evidence.store_sights = sights
        while not self._over.is_set():
            stored = await self._stored(person.evidence.post)
            if stored is not None and (not sights or (sights[-1].seq, sights[-1].view) != _place(stored.snapshot)):
                sights.append(Sight(time.time(), "stored", *_place(stored.snapshot)))
            if stored is not None and person.way.over(stored.snapshot):
                return
            await pause(self._over, STORE_LOOK_S)

    async def _stored(self, post: str) -> StoredPost | None:
        try:
            return await self._store.get(post)
        except StoreUnavailable:
            return None


Step = Callable[[People, Person], Awaitable[None]]
STEPS: Final[tuple[Step, ...]] = (People.read_to_the_end, People.repeat_the_request, People.steer)


def _place(snapshot: Snapshot) -> tuple[int, str]:
    return snapshot.seq, view(snapshot)


async def owner_of(log: EventLog, post: str) -> str | None:
    """The owner's token in the subjects of a post, from its log."""
    found, _, _ = await log.jetstream.direct_batch("EVENTS", {"multi_last": [f"posts.*.{post}.*"], "batch": 64})
    return found[0].subject.split(".")[1] if found else None
