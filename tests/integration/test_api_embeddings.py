"""Documents become vectors when they are uploaded: over the simulator, and over servers that answer anything."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from inkwire_api.adapters import embeddings as adapter
from inkwire_api.adapters.embeddings import BATCH_CHARS, BATCH_TEXTS, PassageEmbeddings
from inkwire_stores import open_document_store
from tests.support.api import make_settings, open_api
from tests.support.documents import ACCESS_CONTROL, REMOTE_WORK
from tests.support.sim import SimServer

MODEL = "embed-x"
Reply = Callable[[list[str]], Any]


@pytest.fixture
def sim() -> Iterator[SimServer]:
    with SimServer() as server:
        yield server


def unpacked(vectors: bytes, dimensions: int) -> list[tuple[float, ...]]:
    return list(struct.iter_unpack(f"<{dimensions}f", vectors))


async def test_an_upload_is_embedded_and_one_without_the_provider_is_stored_all_the_same(
    nats_url: str, tmp_path: Path, sim: SimServer
) -> None:
    """A vector of unit length for each passage; where the provider refuses, words alone do, and the upload is fine."""
    access = {"embedding_model": MODEL, "openai_base_url": sim.base_url, "openai_api_key": "sk-simulator"}
    async with open_api(nats_url, tmp_path, **access) as api:
        text = f"# Home\n\n{REMOTE_WORK}\n\n# Access\n\n{ACCESS_CONTROL}".encode()
        first = await api.ask("POST", "/documents?name=a.md", data=text)
        sim.add_fault("not_json", count=None, endpoint="embeddings")
        second = await api.ask("POST", "/documents?name=b.md", data=text)
        assert (first.json["embedded"], second.json["embedded"], second.status) == (True, False, 201)
    async with open_document_store(make_settings(nats_url, tmp_path).store_url) as store:
        stored = await store.get("ana", first.json["id"])
        bare = await store.get("ana", second.json["id"])
    assert stored is not None and stored.embeddings is not None and bare is not None and bare.embeddings is None
    vectors = unpacked(stored.embeddings.vectors, stored.embeddings.dimensions)
    assert len(vectors) == len(stored.passages) == 2 and stored.embeddings.model == MODEL
    assert all(math.isclose(math.hypot(*vector), 1.0, rel_tol=1e-5) for vector in vectors)
    assert vectors[0] != vectors[1]


@asynccontextmanager
async def provider(reply: Reply) -> AsyncIterator[tuple[PassageEmbeddings, list[list[str]]]]:
    """A server that answers what ``reply`` makes of the texts, and how many it was asked for at once."""
    asked: list[list[str]] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        asked.append((await request.json())["input"])
        made = reply(asked[-1])
        return made if isinstance(made, web.StreamResponse) else web.json_response(made)

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/embeddings", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (address,) = runner.addresses
    embedder = PassageEmbeddings(base_url=f"http://127.0.0.1:{address[1]}/v1", api_key="", model=MODEL)
    try:
        yield embedder, asked
    finally:
        await embedder.close()
        await runner.cleanup()


def given(*vectors: Any, **changes: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    return {"object": "list", "model": MODEL, "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}, **changes}


async def test_texts_go_in_bounded_batches_and_come_back_in_order() -> None:
    """Neither too many nor too long texts in one request, and each vector belongs to its text."""
    texts = [f"{n:04d}" + "x" * (BATCH_CHARS // 3 if n < 9 else 10) for n in range(200)]

    def reply(batch: list[str]) -> dict[str, Any]:
        answer = given(*([float(int(text[:4]) + 1), 1.0] for text in batch))
        answer["data"].reverse()  # the index says which, not the order
        return answer

    async with provider(reply) as (embedder, asked):
        found = await embedder.embed(texts)
    assert [text for batch in asked for text in batch] == texts
    assert all(len(batch) <= BATCH_TEXTS and sum(map(len, batch)) <= BATCH_CHARS for batch in asked)
    assert found is not None and (found.model, found.dimensions) == (MODEL, 2)
    directions = [round(x / y) for x, y in unpacked(found.vectors, 2)]
    assert directions == list(range(1, 201))


@pytest.mark.parametrize(
    "reply",
    [
        given([1.0, 2.0]),
        given([1.0], [2.0, 3.0]),
        given([], []),
        given([0.0], [1.0]),
        given([float("nan")], [1.0]),
        given([1e308, 1e308], [1.0, 1.0]),
        given(["a"], ["b"]),
        given("AACAPw==", "AACAPw=="),
        given(None, None),
        given([1.0], [1.0], data=None),
        given([1.0] * 9_000, [1.0] * 9_000),
        given(*([1.0] * 2,) * 2, data=[{"embedding": [1.0]}, {"embedding": [1.0]}]),
        [],
        {"error": "no"},
        "text",
        None,
        *(
            web.Response(body=body, content_type="application/json")
            for body in (
                b"",
                b"{not json",
                b'{"data":"\xff"}',
                b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
                b'{"data":[{"index":0,"embedding":[%s]},{"index":1,"embedding":[1]}]}' % (b"9" * 400),
                b'{"data":[{"index":0,"embedding":[%s]},{"index":1,"embedding":[1]}]}' % (b"9" * 5_000),
                b'{"data":[{"index":[0],"embedding":[1]},{"index":{},"embedding":[1]}]}',
            )
        ),
    ],
)
async def test_answers_that_cannot_be_used(reply: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a server says in place of vectors: there are none, and one line of the log says why."""
    async with provider(lambda _batch: reply) as (embedder, _asked):
        assert await embedder.embed(["one", "two"]) is None
    logged = capsys.readouterr().out
    assert logged.count("searched by words alone") == 1


async def test_a_silent_or_refusing_provider_costs_an_upload_bounded_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is given up, and the log names no key, address or text."""
    monkeypatch.setattr(adapter, "TOTAL_TIMEOUT_S", 0.2)
    silent = asyncio.Event()

    async def never(_request: web.Request) -> web.Response:
        await silent.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/embeddings", never)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    embedder = PassageEmbeddings(base_url=url, api_key="sk-very-secret", model=MODEL)
    try:
        assert await embedder.embed(["private words"]) is None
    finally:
        silent.set()
        await embedder.close()
        await runner.cleanup()
    logged = capsys.readouterr().out
    assert "TimeoutError" in logged
    assert not any(word in logged for word in ("sk-very-secret", "private words", url))
