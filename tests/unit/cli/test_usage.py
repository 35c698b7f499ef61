"""Totals as people read them."""

from typing import Any

from inkwire.usage import table

FOUND: dict[str, Any] = {
    "owner": "ana",
    "from": "2026-11-01T00:00:00.000Z",
    "to": None,
    "posts": 1_234,
    "by_status": {"failed": 34, "published": 1_200},
    "words": 1_000_000,
    "tokens_in": 3_000_000,
    "tokens_out": 1_000_000,
    "tokens_wasted": 40_000,
    "tokens_estimated": 4_000,
    "waste_ratio": 0.01,
    "cost_usd": 12.34567,
    "posts_without_price": 2,
    "by_model": [
        {
            "model": "gpt\x1b[31m",
            "posts": 1_232,
            "tokens_in": 3_000_000,
            "tokens_out": 999_990,
            "tokens_wasted": 40_000,
            "cost_usd": 12.34567,
            "posts_without_price": 0,
        },
        {
            "model": "own",
            "posts": 2,
            "tokens_in": 0,
            "tokens_out": 10,
            "tokens_wasted": 0,
            "cost_usd": None,
            "posts_without_price": 2,
        },
    ],
    "sampled_posts": 1_000,
    "time_to_first_token_ms": {"p50": 310, "p95": 1_250},
    "duration_ms": {"p50": 62_000, "p95": 3_600_000},
}
NOTHING: dict[str, Any] = {
    **FOUND,
    **dict.fromkeys(("posts", "words", "tokens_in", "tokens_out", "tokens_wasted", "tokens_estimated"), 0),
    "owner": "all",
    "from": None,
    "by_status": {},
    "waste_ratio": None,
    "cost_usd": 0.0,
    "posts_without_price": 0,
    "by_model": [],
    "sampled_posts": 0,
    "time_to_first_token_ms": {"p50": None, "p95": None},
    "duration_ms": {"p50": None, "p95": None},
}


def test_the_table() -> None:
    """Every figure with its unit and meaning, aligned; what a model calls itself cannot colour a terminal."""
    assert table(FOUND).split("\n") == [
        "Posts of ana, created from 2026-11-01T00:00:00.000Z on",
        "",
        "Posts            1,234  34 failed, 1,200 published",
        "Words        1,000,000",
        "Tokens       4,000,000  3,000,000 in, 1,000,000 out",
        "  wasted        40,000  1.0 % for text given up",
        "  estimated      4,000  0.1 % not reported",
        "Cost          $12.3457  2 posts without a known price left out",
        "First text       0.3 s  median of the newest 1,000 published; 95 %: 1.2 s",
        "Duration        62.0 s  median of the newest 1,000 published; 95 %: 3,600.0 s",
        "",
        "Model     Posts  Tokens in  Tokens out  Wasted      Cost",
        "gpt?[31m  1,232  3,000,000     999,990  40,000  $12.3457",
        "own           2          0          10       0   unknown",
    ]


def test_nothing_was_written_yet() -> None:
    """No division by zero, no empty table, no times that nobody measured."""
    lines = table(NOTHING).split("\n")
    assert lines[0] == "Posts of all owners, of all time"
    assert [line.split() for line in lines[2:]] == [
        ["Posts", "0"],
        ["Words", "0"],
        ["Tokens", "0", "0", "in,", "0", "out"],
        ["wasted", "0", "0", "%", "for", "text", "given", "up"],
        ["estimated", "0", "0", "%", "not", "reported"],
        ["Cost", "$0.0000"],
    ]


def test_an_unknown_price_is_said_and_is_not_zero() -> None:
    """Where no post has a price, the table says so."""
    text = table({**FOUND, "cost_usd": None, "posts_without_price": 1, "to": "2026-12-01T00:00:00.000Z"})
    assert "unknown  1 post without a known price left out" in text
    assert text.startswith("Posts of ana, created from 2026-11-01T00:00:00.000Z on and before 2026-12-01T00:00:00.000Z")
