"""The simulator as a process, driven by the real `openai` client and by bare sockets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk

from tests.support.sim import SimServer
from tests.support.wait import eventually, scaled_s

SECTION = (
    "Title: Top 10 Laravel tips\nSection: Push slow work onto queues\nWrite about 180 words.\nTopic number {number}"
)
OUTLINE_FORMAT: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "outline",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "title": {"type": "string"},
                "sections": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"title": {"type": "string"}, "target_words": {"type": "integer"}},
                        "required": ["title", "target_words"],
                        "additionalProperties": False,
                    },
                },
            },
            "required": ["title", "sections"],
            "additionalProperties": False,
        },
    },
}


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


def messages(number: int = 1) -> list[Any]:
    return [{"role": "user", "content": SECTION.format(number=number)}]


async def open_stream(client: AsyncOpenAI, number: int = 1, **extra: Any) -> AsyncStream[ChatCompletionChunk]:
    stream: AsyncStream[ChatCompletionChunk] = await client.chat.completions.create(
        model="m", messages=messages(number), stream=True, **extra
    )
    return stream


async def collect(client: AsyncOpenAI, number: int = 1, **extra: Any) -> list[ChatCompletionChunk]:
    return [chunk async for chunk in await open_stream(client, number, **extra)]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


async def closed_record(sim: SimServer, place: int = -1) -> dict[str, Any]:
    """The record of a request once its socket is closed."""

    def probe() -> dict[str, Any] | None:
        records = sim.requests()
        return records[place] if records and records[place]["closed_at_ms"] is not None else None

    return await eventually(probe, what="the socket of the request is closed")


async def test_stream_has_the_shape_of_openai(client: AsyncOpenAI, sim: SimServer) -> None:
    """Role first, then content, then the finish reason, then usage with empty choices; the log counts the same."""
    chunks = await collect(client, stream_options={"include_usage": True})
    assert (chunks[0].choices[0].delta.role, chunks[0].choices[0].delta.content) == ("assistant", "")
    assert all(chunk.choices[0].delta.content for chunk in chunks[1:-2])
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens == len(chunks) - 3
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1
    record = sim.requests()[-1]
    assert (record["close_reason"], record["chunks_sent"]) == ("done", usage.completion_tokens)
    assert record["chars_sent"] == len(text_of(chunks))
    assert record["received_at_ms"] <= record["first_chunk_at_ms"] <= record["finished_at_ms"]


async def test_streamed_and_whole_answer_are_equal(client: AsyncOpenAI, sim: SimServer) -> None:
    """Without `stream` the same text comes in one piece, and a second request gives it again."""
    whole = await client.chat.completions.create(model="m", messages=messages())
    assert whole.choices[0].message.content == text_of(await collect(client)) == text_of(await collect(client))
    assert whole.usage is not None
    assert whole.usage.completion_tokens == sim.requests()[-1]["chunks_sent"]


async def test_every_event_is_one_data_line(sim: SimServer) -> None:
    """On the wire: `data: ` + JSON + blank line for each delta, `[DONE]` last, and OpenAI's headers."""
    body = {"model": "m", "messages": messages(), "stream": True, "stream_options": {"include_obfuscation": False}}
    async with aiohttp.ClientSession() as session, session.post(f"{sim.base_url}/chat/completions", json=body) as got:
        raw = await got.read()
    assert got.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert got.headers["x-request-id"] == sim.requests()[-1]["id"]
    for name in ("openai-processing-ms", "x-ratelimit-remaining-requests", "x-ratelimit-reset-tokens"):
        assert name in got.headers
    events = raw.split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    values = [json.loads(event.removeprefix(b"data: ")) for event in events[:-2]]
    assert len(values) == sim.requests()[-1]["chunks_sent"] + 2
    assert not any("obfuscation" in value for value in values)
    assert values[1]["choices"][0] == {
        "index": 0,
        "delta": {"content": values[1]["choices"][0]["delta"]["content"]},
        "logprobs": None,
        "finish_reason": None,
    }


async def test_structured_output_is_an_outline_of_ten_tips(client: AsyncOpenAI) -> None:
    """Streamed JSON is valid for the schema and plans ten different tips for "Top 10 Laravel tips"."""
    asked: list[Any] = [{"role": "user", "content": "Plan an article.\nTitle: Top 10 Laravel tips"}]
    stream = await client.chat.completions.create(
        model="m", messages=asked, stream=True, response_format=OUTLINE_FORMAT
    )  # fmt: skip
    outline = json.loads(text_of([chunk async for chunk in stream]))
    assert outline["title"] == "Top 10 Laravel tips"
    assert len({section["title"] for section in outline["sections"]}) == 10


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_token_limit_ends_with_length(client: AsyncOpenAI, name: str) -> None:
    """A limit below the length of the text cuts it there and says so."""
    chunks = await collect(client, stream_options={"include_usage": True}, **{name: 7})
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7


async def test_models(client: AsyncOpenAI) -> None:
    """The list of models and one model can be read; an unknown one is a 404."""
    names = [model.id async for model in client.models.list()]
    assert "gpt-4o-mini" in names
    assert (await client.models.retrieve("gpt-4o-mini")).id == "gpt-4o-mini"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("no-such-model")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"messages": [{"role": "user", "content": "x"}]}', None),
        (b'{"model": "m"}', "messages"),
        (b'{"model": "m", "messages": []}', "messages"),
        (b'{"model": "m", "messages": [{"role": "boss", "content": "x"}]}', "messages[0].role"),
        (b'{"model": "m", "messages": [{"role": "user"}]}', "messages[0].content"),
        (b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}', "max_tokens"),
        (b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}', "stream"),
        (b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "stream_options": {}}', "stream_options"),
        (b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 3}', "temperature"),
        (
            b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": {"type": "xml"}}',
            "response_format.type",
        ),
        (
            b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_schema",'
            b'"json_schema": {"name": "a", "strict": true, "schema": {"type": "object", "properties": {}}}}}',
            "response_format",
        ),
    ],
)
async def test_wrong_bodies_are_refused_in_openai_form(sim: SimServer, body: bytes, param: str | None) -> None:
    """Each wrong body is a 400 with message, type, param and code."""
    async with aiohttp.ClientSession() as session, session.post(f"{sim.base_url}/chat/completions", data=body) as got:
        answer = await got.json()
    assert got.status == 400
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert (answer["error"]["type"], answer["error"]["param"]) == ("invalid_request_error", param)
    record = sim.requests()[-1]
    assert (record["status"], record["close_reason"]) == (400, "error")


@pytest.mark.parametrize("hard", [False, True])
async def test_cut_breaks_the_stream(client: AsyncOpenAI, sim: SimServer, hard: bool) -> None:
    """A cut after 5 chunks reaches the client as a broken connection; the rule is used up by it."""
    sim.add_fault("cut", after_chunks=5, reset=hard)
    chunks: list[ChatCompletionChunk] = []
    with pytest.raises(openai.APIConnectionError):
        async for chunk in await open_stream(client):
            chunks.append(chunk)
    assert hard or len(chunks) == 6
    record = await closed_record(sim)
    assert (record["close_reason"], record["chunks_sent"], record["fault"]) == ("cut", 5, "cut")
    assert len(await collect(client)) > 20
    assert sim.faults()[0]["hits"] == 1


async def test_stall_ends_in_a_read_timeout_and_is_seen_in_the_log(client: AsyncOpenAI, sim: SimServer) -> None:
    """A client that gives up on a silent stream closes its socket, and the log says that the client did it."""
    sim.add_fault("stall", after_chunks=3)
    with pytest.raises(openai.APITimeoutError):
        async for _ in await open_stream(client, timeout=0.3):
            pass
    record = await closed_record(sim)
    assert (record["close_reason"], record["chunks_sent"], record["finish_reason"]) == ("client_closed", 3, None)


async def test_comments_keep_a_stalled_stream_alive(client: AsyncOpenAI, sim: SimServer) -> None:
    """Comment frames reset the read timeout; after the stall the text goes on and is complete."""
    complete = text_of(await collect(client))
    sim.add_fault("stall", after_chunks=3, seconds=4, comments_every_s=0.1)
    assert text_of(await collect(client, timeout=2.5)) == complete


@pytest.mark.parametrize("when", ["before the first token", "in mid-stream", "during a stall"])
async def test_a_client_that_leaves_is_noticed(client: AsyncOpenAI, sim: SimServer, when: str) -> None:
    """Closing the socket ends the request at once, wherever it stands, and nothing more is sent."""
    sim.set_speed(tokens_per_s=20, ttft_ms=60_000 if when == "before the first token" else 0)
    if when == "during a stall":
        sim.add_fault("stall", after_chunks=2)
    stream = await open_stream(client)
    if when != "before the first token":
        await anext(aiter(stream))
    await stream.close()
    record = await closed_record(sim)
    assert (record["close_reason"], record["finish_reason"]) == ("client_closed", None)
    assert record["chunks_sent"] < 20


async def test_rate_limit_carries_retry_after(client: AsyncOpenAI, sim: SimServer) -> None:
    """429 with its headers, as often as the rule says; a client that retries then succeeds."""
    sim.add_fault("429", count=2, retry_after_s=3, retry_after_ms=10)
    with pytest.raises(openai.RateLimitError) as caught:
        await open_stream(client)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "3"
    retrying = client.with_options(max_retries=2)
    got = await retrying.chat.completions.with_raw_response.create(model="m", messages=messages())
    assert got.retries_taken == 1
    assert [record["status"] for record in sim.requests()] == [429, 429, 200]


async def test_quota_is_told_apart_from_rate(client: AsyncOpenAI, sim: SimServer) -> None:
    """429 with code insufficient_quota has the type that OpenAI gives it."""
    sim.add_fault("429", code="insufficient_quota", should_retry=False)
    with pytest.raises(openai.RateLimitError) as caught:
        await open_stream(client.with_options(max_retries=2))
    assert (caught.value.code, caught.value.type) == ("insufficient_quota", "insufficient_quota")
    assert len(sim.requests()) == 1


async def test_enforced_limits_refuse_and_recover(client: AsyncOpenAI, sim: SimServer) -> None:
    """With limits on, the request after the last is refused with the time to wait, and the headers count down."""
    sim.set_limits(requests_per_min=2, enforce=True)
    got = await client.chat.completions.with_raw_response.create(model="m", messages=messages())
    assert got.headers["x-ratelimit-remaining-requests"] == "1"
    await collect(client)
    with pytest.raises(openai.RateLimitError) as caught:
        await collect(client)
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 30
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"


@pytest.mark.parametrize("status", [500, 503, 408])
async def test_server_errors(client: AsyncOpenAI, sim: SimServer, status: int) -> None:
    """Any status can be asked for, for one request only."""
    sim.add_fault("500", status=status)
    with pytest.raises(openai.APIStatusError) as caught:
        await open_stream(client)
    assert caught.value.status_code == status
    assert len(await collect(client)) > 20


async def test_faults_before_any_byte(client: AsyncOpenAI, sim: SimServer) -> None:
    """A reset, a server that never answers and a proxy's HTML page look to the client as such."""
    sim.add_fault("reset")
    with pytest.raises(openai.APIConnectionError):
        await open_stream(client)
    sim.add_fault("hang")
    with pytest.raises(openai.APITimeoutError):
        await open_stream(client, timeout=0.3)
    assert (await closed_record(sim))["close_reason"] == "client_closed"
    sim.add_fault("not_json")
    assert await collect(client) == []


@pytest.mark.parametrize(
    ("kind", "params", "error"),
    [
        ("truncate", {}, None),
        ("truncate", {"done": True}, None),
        ("error_data", {"message": "overloaded", "done": True}, openai.APIError),
        ("error_with_choices", {}, openai.APIError),
        ("error_event", {}, None),
        ("error_field", {}, None),
        ("bad_json", {}, ValueError),
    ],
)
async def test_broken_ends_look_as_the_fault_table_says(
    client: AsyncOpenAI, sim: SimServer, kind: str, params: dict[str, Any], error: type[Exception] | None
) -> None:
    """The client raises, or ends as if all were well and without a finish reason, as it does with real servers."""
    sim.add_fault(kind, after_chunks=4, **params)
    chunks: list[ChatCompletionChunk] = []
    with pytest.raises(error) if error else contextlib.nullcontext():
        async for chunk in await open_stream(client):
            chunks.append(chunk)
    with_choices = [chunk for chunk in chunks if chunk.choices]  # the data of `event: error` looks like a chunk
    assert len(with_choices) == 5
    assert all(chunk.choices[0].finish_reason is None for chunk in with_choices)
    assert sim.requests()[-1]["fault"] == kind


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_early_finish_reasons(client: AsyncOpenAI, sim: SimServer, reason: str) -> None:
    """The text ends early and the finish reason says why."""
    sim.add_fault(reason, after_chunks=4)
    chunks = await collect(client)
    assert (chunks[-1].choices[0].finish_reason, sim.requests()[-1]["chunks_sent"]) == (reason, 4)


async def test_surrogates_can_be_split_between_deltas(client: AsyncOpenAI, sim: SimServer) -> None:
    """With the modifier on, halves of an emoji arrive in two deltas that join to the same text; it may be combined."""
    number, complete = await _text_with_astral(client)
    sim.add_fault("split_surrogates", count=None)
    sim.add_fault("style", count=None, fragment_bytes=7, crlf=True, usage="every")
    chunks = await collect(client, number)
    ends = [(chunk.choices[0].delta.content or " ")[-1] for chunk in chunks if chunk.choices]
    assert any(0xD800 <= ord(end) <= 0xDBFF for end in ends)
    joined = text_of(chunks).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    assert joined == complete
    assert sim.requests()[-1]["fault"] == "split_surrogates+style"


async def _text_with_astral(client: AsyncOpenAI) -> tuple[int, str]:
    for number in range(100):
        text = text_of(await collect(client, number))
        if any(ord(char) > 0xFFFF for char in text):
            return number, text
    raise AssertionError("no text with an emoji among 100")


async def test_match_and_seeded_probability(client: AsyncOpenAI, sim: SimServer) -> None:
    """A rule meets only prompts that hold its text, and a seeded share of them, the same after a reset."""
    sim.add_fault("500", count=None, match="number 7")
    await collect(client, 6)
    with pytest.raises(openai.InternalServerError):
        await collect(client, 7)

    async def faulted() -> list[bool]:
        sim.clear_faults()
        sim.add_fault("length", count=None, probability=0.4, after_chunks=1)
        results = [(await collect(client, number))[-1].choices[0].finish_reason for number in range(30)]
        return [reason == "length" for reason in results]

    first = await faulted()
    assert 3 <= sum(first) <= 24
    rules = [rule["hits"] for rule in sim.faults()]
    assert rules == [sum(first)]


async def test_connections_are_refused_for_a_while(sim: SimServer) -> None:
    """While the listener is closed a client is refused; afterwards the same port answers again."""
    sim.refuse(0.5)
    with pytest.raises(openai.APIConnectionError):
        async with AsyncOpenAI(base_url=sim.base_url, api_key="k", max_retries=0) as fresh:
            await fresh.models.list()

    def answers() -> bool:
        return isinstance(sim.requests(), list)

    assert await eventually(answers, what="the port answers again", ignoring=(OSError,))


async def test_many_paced_streams_at_once_are_whole(client: AsyncOpenAI, sim: SimServer) -> None:
    """Forty streams of 50 tokens a second are all complete, and the log knows the time of each of their chunks."""
    complete = {n: text_of(await collect(client, n)) for n in range(40)}
    sim.set_speed(tokens_per_s=50)
    sim.clear_requests()
    sim.record_chunk_times()
    texts = await asyncio.gather(*(collect(client, number, max_tokens=60) for number in range(40)))
    sim.record_chunk_times(False)
    for number, chunks in enumerate(texts):
        assert complete[number].startswith(text_of(chunks))
        assert len(text_of(chunks)) > 100
    for record in sim.requests():
        times, chars = sim.chunk_times(record["id"])
        assert len(times) == len(chars) == record["chunks_sent"]
        assert times == sorted(times)


async def test_speed_changes_running_streams(client: AsyncOpenAI, sim: SimServer) -> None:
    """A stream that would take an hour ends soon after the speed was raised."""
    sim.set_speed(tokens_per_s=0.05)
    stream = aiter(await open_stream(client))
    await anext(stream)
    sim.set_speed(tokens_per_s=0)
    async with asyncio.timeout(scaled_s(10)):
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    "call",
    [
        lambda sim: sim.add_fault("nothing"),
        lambda sim: sim.add_fault("cut", after_chunks=-1),
        lambda sim: sim.add_fault("cut", colour="red"),
        lambda sim: sim.add_fault("cut", probability=2),
        lambda sim: sim.add_fault("500", status=200),
        lambda sim: sim.add_fault("style", fragment_bytes=0),
        lambda sim: sim.set_speed(tokens_per_s=-1),
        lambda sim: sim.set_limits(requests_per_min="x"),
        lambda sim: sim.control("PUT", "speed", {"pace": 1}),
        lambda sim: sim.control("POST", "refuse", {}),
    ],
)
def test_wrong_control_calls_are_refused_and_change_nothing(sim: SimServer, call: Callable[[SimServer], Any]) -> None:
    """The control API says what is wrong and leaves rules and speed as they were."""
    before = (sim.faults(), sim.control("GET", "speed"), sim.control("GET", "limits"))
    with pytest.raises(RuntimeError, match="/control/"):
        call(sim)
    assert (sim.faults(), sim.control("GET", "speed"), sim.control("GET", "limits")) == before
