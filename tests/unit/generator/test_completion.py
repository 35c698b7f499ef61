"""A chat completion's stream, from bytes to text."""

import json
from typing import Any

import pytest

from inkwire_contracts.events import MAX_USAGE_TOKENS
from inkwire_generator.completion import CompletionStream
from inkwire_generator.errors import ProviderError
from inkwire_generator.ports import Finish


def chunk(content: str | None = None, finish: str | None = None, **fields: Any) -> bytes:
    """One event of a well-behaved server."""
    choice = {"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}
    return b"data: " + json.dumps({"model": "m-1", "choices": [choice], **fields}).encode() + b"\n\n"


USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}\n\n'
DONE = b"data: [DONE]\n\n"


def read(*received: bytes) -> tuple[str, Finish]:
    """The whole text and how it ended."""
    stream = CompletionStream("asked-for", prompt_chars=40)
    text = "".join(stream.feed(piece) for piece in received)
    last, finish = stream.end()
    return text + last, finish


def test_a_usual_stream() -> None:
    """Role chunk, text, finish reason, usage, [DONE]: text, reported usage and the model that answered."""
    role = b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'
    text, finish = read(role, chunk("Hel"), chunk("lo"), chunk(finish="stop"), USAGE, DONE)
    assert (text, finish.model) == ("Hello", "m-1")
    assert (finish.usage.tokens_in, finish.usage.tokens_out, finish.usage.source) == (7, 2, "reported")


def test_usage_may_come_in_any_chunk() -> None:
    """Usage on the finish chunk, or on every chunk, is taken; the newest counts."""
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    _, finish = read(chunk("a", usage={"prompt_tokens": 9, "completion_tokens": 1}), chunk(finish="stop", usage=usage))
    assert (finish.usage.tokens_in, finish.usage.tokens_out) == (9, 3)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"total_tokens": 12},
        {"prompt_tokens": 5},
        {"prompt_tokens": None, "completion_tokens": 4},
        {"prompt_tokens": -1, "completion_tokens": 4},
        {"prompt_tokens": "5", "completion_tokens": 4},
    ],
)
def test_a_count_that_is_none_is_estimated(usage: dict[str, Any]) -> None:
    """Half a report would make the post look free, and exact."""
    _, finish = read(chunk("x" * 9), chunk(finish="stop", usage=usage), DONE)
    assert (finish.usage.tokens_in, finish.usage.tokens_out, finish.usage.source) == (10, 3, "estimated")


def test_absurd_counts_are_bounded() -> None:
    """A server's mistake must not make an event that nobody can read."""
    usage = {"prompt_tokens": 2**60, "completion_tokens": 4}
    _, finish = read(chunk("x"), chunk(finish="stop", usage=usage), DONE)
    assert (finish.usage.tokens_in, finish.usage.tokens_out) == (MAX_USAGE_TOKENS, 4)


def test_missing_usage_is_estimated_and_says_so() -> None:
    """A server that reports nothing gets four characters a token, labelled as an estimate."""
    _, finish = read(chunk("x" * 9), chunk(finish="stop"), DONE)
    assert (finish.usage.tokens_in, finish.usage.tokens_out, finish.usage.source) == (10, 3, "estimated")


@pytest.mark.parametrize("ending", [b"", DONE])
def test_an_end_without_finish_reason_is_a_cut(ending: bytes) -> None:
    """[DONE] or a clean end of the connection proves nothing without a finish reason."""
    with pytest.raises(ProviderError) as caught:
        read(chunk("half of it"), ending)
    assert (caught.value.code, caught.value.retryable) == ("provider_cut", True)


def test_half_a_chunk_at_the_end_is_a_cut() -> None:
    """A connection that closes in the middle of a chunk reads as cut, not as nonsense."""
    with pytest.raises(ProviderError) as caught:
        read(chunk("text"), b'data: {"choices": [{"del')
    assert caught.value.code == "provider_cut"


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("content_filter", "provider_content_filter"),
        ("error", "provider_unavailable"),
    ],
)
def test_bad_finish_reasons_are_errors(reason: str, code: str) -> None:
    """An answer that was stopped is not a whole answer."""
    with pytest.raises(ProviderError) as caught:
        read(chunk("text"), chunk(finish=reason), DONE)
    assert caught.value.code == code


def test_a_length_limit_leaves_good_text() -> None:
    """Text that ends at the length limit is good, but said to be unfinished."""
    text, finish = read(chunk("half a sen"), chunk(finish="length"), USAGE, DONE)
    assert (text, finish.truncated, finish.usage.tokens_out) == ("half a sen", True, 2)


@pytest.mark.parametrize(
    ("event", "code", "retryable"),
    [
        (b'data: {"error": {"message": "boom", "type": "server_error"}}\n\n', "provider_unavailable", True),
        (b'data: {"error": {"message": "slow", "code": 429}}\n\n', "provider_rate_limited", True),
        (b'data: {"error": {"message": "no money", "code": "insufficient_quota"}}\n\n', "provider_quota", False),
        (b'data: {"error": "just text"}\n\n', "provider_unavailable", True),
        (b'event: error\ndata: {"message": "without the key", "code": 500}\n\n', "provider_unavailable", True),
        (
            b'data: {"choices": [{"delta": {"content": "lost"}}], "error": {"message": "x"}}\n\n',
            "provider_unavailable",
            True,
        ),
        (b'data: {"choices": [{"delta": {"refusal": "I cannot"}}]}\n\n', "provider_content_filter", False),
        (b"data: {broken\n\n", "provider_invalid_output", True),
        (b"data: [1, 2]\n\n", "provider_invalid_output", True),
    ],
)
def test_errors_inside_a_stream(event: bytes, code: str, retryable: bool) -> None:
    """Each way in which servers report an error in mid-stream ends the answer with our code."""
    with pytest.raises(ProviderError) as caught:
        read(chunk("some "), event, chunk("more"), chunk(finish="stop"), DONE)
    assert (caught.value.code, caught.value.retryable) == (code, retryable)


def test_halves_of_a_character_pass_through() -> None:
    """A character escaped over two chunks arrives as its two halves, for the assembler to join."""
    text, _ = read(
        b'data: {"choices": [{"delta": {"content": "a\\ud83d"}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "\\ude80b"}}]}\n\n',
        chunk(finish="stop"),
    )
    assert text == "a\ud83d\ude80b"


def test_odd_chunks_are_tolerated() -> None:
    """Empty choices, null deltas, absent keys and text after [DONE] change nothing."""
    text, _ = read(
        b'data: {"choices": null}\n\ndata: {"choices": [null]}\n\ndata: {"choices": [{"delta": null}]}\n\n',
        chunk("ok"),
        chunk(finish="stop"),
        DONE,
        chunk("late"),
    )
    assert text == "ok"
