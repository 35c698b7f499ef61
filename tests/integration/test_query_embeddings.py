"""A query as a vector, from a server that works, and from servers that do not."""

import math
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import web

from inkwire_generator.adapters import query_embeddings
from inkwire_generator.adapters.provider_openai import ProviderConfig
from inkwire_generator.adapters.query_embeddings import QueryEmbeddings
from tests.support.sim import SimServer

MODEL = "text-embedding-3-small"


@pytest.fixture(scope="module")
def shared() -> Iterator[SimServer]:
    with SimServer() as server:
        yield server


@pytest.fixture
def sim(shared: SimServer) -> SimServer:
    shared.reset()
    return shared


@pytest.fixture
async def queries(sim: SimServer) -> AsyncIterator[QueryEmbeddings]:
    made = QueryEmbeddings(ProviderConfig(sim.base_url, "sk-simulator", "any"), MODEL)
    yield made
    await made.close()


async def test_a_query_becomes_a_vector(queries: QueryEmbeddings, sim: SimServer) -> None:
    """Of unit length, by one request of the model that is named; nobody is asked about nothing."""
    vector = await queries.vector("Who keeps the keys?")
    assert vector is not None and math.isclose(math.hypot(*vector), 1.0)
    assert await queries.vector("") is None
    assert [(one["endpoint"], one["model"]) for one in sim.requests()][-1:] == [("embeddings", MODEL)]


@pytest.mark.parametrize("kind", ["429", "500", "not_json", "reset", "hang"])
async def test_without_an_answer_there_is_no_vector(
    queries: QueryEmbeddings, sim: SimServer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, broken or silent: asked once, said once, and words alone must do."""
    monkeypatch.setattr(query_embeddings, "TIMEOUT_S", 0.3)
    sim.clear_requests()
    sim.add_fault(kind, endpoint="embeddings", **({"seconds": 30} if kind == "hang" else {}))
    assert await queries.vector("Who keeps the keys?") is None
    assert len(sim.requests()) == 1, "there is no retry"
    assert await queries.vector("Who keeps the keys?") is not None


async def test_a_server_that_is_not_there() -> None:
    """Nothing listens at that port."""
    made = QueryEmbeddings(ProviderConfig("http://127.0.0.1:9/v1", "", "any"), MODEL)
    assert await made.vector("keys") is None
    await made.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"data":"\xff"}',
        b'{"data":[{"embedding":["a"]}]}',
        b'{"data":[{"embedding":[%s]}]}' % (b"9" * 400),
        b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
async def test_answers_that_are_no_vector(body: bytes) -> None:
    """Whatever a server says: words alone must do, and the attempt does not end."""

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/embeddings", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made = QueryEmbeddings(ProviderConfig(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", "", "any"), MODEL)
    try:
        assert await made.vector("keys") is None
    finally:
        await made.close()
        await runner.cleanup()


@pytest.mark.parametrize("value", [[], [0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_a_vector_without_direction_is_none(value: list[float]) -> None:
    """It would make every passage equally near, or none."""
    with pytest.raises(ValueError, match="direction"):
        query_embeddings._unit(value)
