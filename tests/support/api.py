"""The api of a test: the real composition in this process, on a real broker and a SQLite file, and a client for it."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
from pydantic import SecretStr
from yarl import URL

from inkwire_api.app import running
from inkwire_api.settings import Settings
from inkwire_chassis.auth import DEFAULT_SCOPES, KeyRing
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.lifecycle import Supervisor
from inkwire_contracts.fold import Snapshot, document
from inkwire_contracts.topology import EVENTS, JOBS, Topology
from inkwire_stores import PostStore, StoredPost, open_store
from tests.support.log import SMALL, open_log

KEYS: Final = "k1:an-api-test-secret-of-more-than-32-characters"
ISSUER: Final = "inkwire"
PUBLIC_URL: Final = "http://127.0.0.1:8080"
REQUEST_TIMEOUT_S: Final = 30.0


def token(subject: str = "ana", **claims: Any) -> str:
    """A good token, but for what ``claims`` change."""
    fields: dict[str, Any] = {"now": datetime.now(UTC), "lifetime_s": 6 * 3600, "jti": "test", "scopes": DEFAULT_SCOPES}
    return KeyRing.parse(KEYS, ISSUER).mint(subject, **{**fields, **claims})


@dataclass(frozen=True)
class Answer:
    """What the api said."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any

    @property
    def code(self) -> str | None:
        """The code of a problem document; None for a good answer."""
        return self.json.get("code") if self.headers["Content-Type"] == "application/problem+json" else None


@dataclass
class Api:
    """A running api, the log and the store behind it."""

    base_url: str
    session: aiohttp.ClientSession
    log: EventLog
    store: PostStore

    async def ask(self, method: str, path: str, *, subject: str | None = "ana", **options: Any) -> Answer:
        """One request, with a token of ``subject`` unless it is None or the headers bring their own."""
        headers = dict(options.pop("headers", {}))
        if subject is not None:
            headers.setdefault("Authorization", f"Bearer {token(subject)}")
        url = URL(self.base_url + path, encoded=True)  # as it is: no dots resolved, nothing escaped again
        async with self.session.request(method, url, headers=headers, **options) as response:
            body = await response.read()
            return Answer(response.status, response.headers, body, _decoded(response, body))

    async def create(self, title: str = "Ten tips", *, key: str | None = None, **options: Any) -> Answer:
        """POST /posts."""
        headers = {**options.pop("headers", {}), **({} if key is None else {"Idempotency-Key": key})}
        body = {"title": title, **options.pop("body", {})}
        return await self.ask("POST", "/posts", json=body, headers=headers, **options)

    async def stored(self) -> tuple[int, int]:
        """How many messages JOBS and EVENTS have ever stored."""
        infos = [await self.log.jetstream.stream_info(name) for name in (JOBS, EVENTS)]
        return infos[0]["state"]["last_seq"], infos[1]["state"]["last_seq"]

    async def jobs(self) -> int:
        """How many jobs wait."""
        return int((await self.log.jetstream.stream_info(JOBS))["state"]["messages"])

    async def keep(self, snapshot: Snapshot, *, stream_seq: int, corrupt: bool = False) -> None:
        """Put a post into the store as the persister would."""
        there = await self.store.get(snapshot.post)
        stored = StoredPost(
            snapshot,
            stream_seq,
            await self.log.epoch(),
            document(snapshot) if snapshot.is_final else None,
            corrupt,
        )
        assert await self.store.put(stored, expected_seq=0 if there is None else there.snapshot.seq)


def _decoded(response: aiohttp.ClientResponse, body: bytes) -> Any:
    if not response.content_type.endswith(("/json", "+json")) or not body:
        return None
    return json.loads(body)


def make_settings(nats_url: str, folder: Path, **changes: Any) -> Settings:
    """Settings of a test's api."""
    fields: dict[str, Any] = {
        "nats_url": nats_url,
        "store_url": f"sqlite:///{folder / 'posts.sqlite3'}",
        "jwt_keys": SecretStr(KEYS),
        "port": 0,
        "public_url": PUBLIC_URL,
        "dev_sign_in": True,
    }
    return Settings(**{**fields, **changes})


@asynccontextmanager
async def open_api(nats_url: str, folder: Path, *, plan: Topology = SMALL, **changes: Any) -> AsyncIterator[Api]:
    """Provision the broker, start the api, and hand out a client."""
    settings = make_settings(nats_url, folder, **changes)
    supervisor = Supervisor()
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    async with (
        open_log(nats_url, plan) as log,
        open_store(settings.store_url) as store,
        running(settings, supervisor) as port,
        aiohttp.ClientSession(timeout=timeout) as session,
    ):
        yield Api(f"http://127.0.0.1:{port}", session, log, store)
        supervisor.request_stop("the test is over")
    assert supervisor.failure is None
