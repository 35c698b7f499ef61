"""The simulator's embeddings, asked for with the real `openai` client."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from tests.support.sim import SimServer
from tests.support.wait import eventually

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
async def client(sim: SimServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=sim.base_url, api_key="sk-any", max_retries=0) as client:
        yield client


def dot(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


async def test_vectors_of_a_list(client: AsyncOpenAI, sim: SimServer) -> None:
    """One unit vector for each text in its order, usage, and a record in the log."""
    texts = ["Queues for slow work", "Slow work belongs on a queue", "Tomatoes want sun"]
    got = await client.embeddings.create(model=MODEL, input=texts)
    assert (got.object, got.model, [item.index for item in got.data]) == ("list", MODEL, [0, 1, 2])
    assert {(item.object, len(item.embedding)) for item in got.data} == {("embedding", 1_536)}
    first, second, third = (item.embedding for item in got.data)
    assert dot(first, first) == pytest.approx(1, abs=1e-5)
    assert dot(first, second) > dot(first, third) + 0.3
    assert got.usage.prompt_tokens == got.usage.total_tokens == sum(-(-len(text) // 4) for text in texts)
    record = sim.requests()[-1]
    assert (record["endpoint"], record["model"], record["status"]) == ("embeddings", MODEL, 200)
    assert (record["close_reason"], record["prompt_tokens"]) == ("done", got.usage.prompt_tokens)


async def test_both_encodings_and_fewer_dimensions(client: AsyncOpenAI) -> None:
    """The client's own choice (base64) and floats give the same numbers; dimensions are as asked for."""
    text = "Ünïcode 🖋️ titles"
    packed = await client.embeddings.create(model="text-embedding-3-large", input=text)
    plain = await client.embeddings.create(model="text-embedding-3-large", input=text, encoding_format="float")
    assert packed.data[0].embedding == plain.data[0].embedding
    assert len(plain.data[0].embedding) == 3_072
    few = await client.embeddings.create(model=MODEL, input=text, dimensions=64)
    assert len(few.data[0].embedding) == 64


async def test_models_are_listed_and_kept_apart(client: AsyncOpenAI) -> None:
    """An embedding model is listed; it does not chat, and a chat model does not embed."""
    assert MODEL in [model.id async for model in client.models.list()]
    with pytest.raises(openai.PermissionDeniedError):
        await client.embeddings.create(model="gpt-4o-mini", input="x")
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}])


async def test_wrong_requests_are_refused_in_openai_form(client: AsyncOpenAI, sim: SimServer) -> None:
    """400 with message, type, param and code; the log has the refusal."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(model=MODEL, input=[""])
    assert (caught.value.type, caught.value.param) == ("invalid_request_error", "input")
    async with aiohttp.ClientSession() as session, session.post(f"{sim.base_url}/embeddings", data=b"{") as got:
        assert (got.status, set((await got.json())["error"])) == (400, {"message", "type", "param", "code"})
    assert [record["close_reason"] for record in sim.requests()] == ["error", "error"]


async def test_faults_that_have_a_meaning_here_work(client: AsyncOpenAI, sim: SimServer) -> None:
    """Too many requests, a server's error, silence, and a connection that ends before or in the middle of an answer."""
    sim.add_fault("429", retry_after_s=2)
    with pytest.raises(openai.RateLimitError) as limited:
        await client.embeddings.create(model=MODEL, input="x")
    assert limited.value.response.headers["retry-after"] == "2"
    sim.add_fault("500", status=503)
    with pytest.raises(openai.InternalServerError):
        await client.embeddings.create(model=MODEL, input="x")
    for kind, error in (("hang", openai.APITimeoutError), ("stall", openai.APITimeoutError)):
        sim.add_fault(kind)
        with pytest.raises(error):
            await client.embeddings.create(model=MODEL, input="x", timeout=0.3)
    breaks: list[tuple[str, dict[str, Any]]] = [("reset", {}), ("cut", {}), ("cut", {"reset": True})]
    for kind, params in breaks:
        sim.add_fault(kind, **params)
        with pytest.raises(openai.APIConnectionError):
            await client.embeddings.create(model=MODEL, input="x")

    def reasons() -> list[Any] | None:
        found = [record["close_reason"] for record in sim.requests()]
        return found if None not in found else None

    closed = await eventually(reasons, what="every exchange ended")
    assert closed == ["error", "error", "client_closed", "client_closed", "cut", "cut", "cut"]
    assert len((await client.embeddings.create(model=MODEL, input="x")).data) == 1


async def test_faults_of_texts_and_of_the_other_endpoint_leave_embeddings_alone(
    client: AsyncOpenAI, sim: SimServer
) -> None:
    """A rule for streams or texts, or for chat only, waits for a chat; one for embeddings waits for embeddings."""
    asked: list[Any] = [{"role": "user", "content": "Title: Queues"}]
    sim.add_fault("truncate")
    sim.add_fault("length", after_chunks=1)
    sim.add_fault("500", endpoint="chat")
    sim.add_fault("429", endpoint="embeddings")
    with pytest.raises(openai.RateLimitError):
        await client.embeddings.create(model=MODEL, input="x")
    await client.embeddings.create(model=MODEL, input="x")
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(model="m", messages=asked)
    assert [rule["hits"] for rule in sim.faults()] == [0, 1, 1, 1]
    with pytest.raises(RuntimeError, match="endpoint"):
        sim.add_fault("500", endpoint="images")


async def test_enforced_limits_count_embedded_tokens(client: AsyncOpenAI, sim: SimServer) -> None:
    """With limits on, a second large request is told to wait."""
    sim.set_limits(tokens_per_min=1_000, enforce=True)
    await client.embeddings.create(model=MODEL, input="abcd" * 900)
    with pytest.raises(openai.RateLimitError) as caught:
        await client.embeddings.create(model=MODEL, input="abcd" * 900)
    assert caught.value.type == "tokens"


async def test_a_large_batch_beside_a_stream(client: AsyncOpenAI, sim: SimServer) -> None:
    """Five hundred passages are answered, and so is a stream that was asked for at the same time."""
    asked: list[Any] = [{"role": "user", "content": "Title: Queues\nWrite about 100 words."}]
    texts = [f"Passage {number} about subject {number % 17} " * 8 for number in range(500)]

    async def stream() -> int:
        chunks = await client.chat.completions.create(model="m", messages=asked, stream=True)
        return len([chunk async for chunk in chunks])

    got, chunks = await asyncio.gather(
        client.embeddings.create(model=MODEL, input=texts, dimensions=128), stream()
    )  # fmt: skip
    assert (len(got.data), {len(item.embedding) for item in got.data}) == (500, {128})
    assert chunks > 50
