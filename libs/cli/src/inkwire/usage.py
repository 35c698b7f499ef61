"""`inkwire usage`: what posts have cost, as a table for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inkwire.client import Client
from inkwire.refusals import asking
from inkwire.transcript import one_line

Row = tuple[str, str, str]
COLUMNS = ("Model", "Posts", "Tokens in", "Tokens out", "Wasted", "Cost")


async def fetch(client: Client, query: Mapping[str, str]) -> dict[str, Any]:
    """The totals of a period.

    Raises:
        CommandError: they were refused, or nobody answers.
    """
    async with asking(client):
        return await client.usage(**query)


def table(found: Mapping[str, Any]) -> str:
    """The totals as text. Figures stand under each other; what they mean stands beside them."""
    rows = list(_rows(found))
    name_width, figure_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = [f"{name:<{name_width}}  {figure:>{figure_width}}  {note}".rstrip() for name, figure, note in rows]
    return "\n".join([_headline(found), "", *lines, *_models(found["by_model"])])


def _headline(found: Mapping[str, Any]) -> str:
    whose = "Posts of all owners" if found["owner"] == "all" else f"Posts of {found['owner']}"
    since, until = found["from"], found["to"]
    when = " and ".join(filter(None, [since and f"from {since} on", until and f"before {until}"]))
    return f"{whose}, created {when}" if when else f"{whose}, of all time"


def _rows(found: Mapping[str, Any]) -> Iterator[Row]:
    paid = found["tokens_in"] + found["tokens_out"]
    yield "Posts", _count(found["posts"]), ", ".join(f"{count:,} {s}" for s, count in found["by_status"].items())
    yield "Words", _count(found["words"]), ""
    yield "Tokens", _count(paid), f"{_count(found['tokens_in'])} in, {_count(found['tokens_out'])} out"
    yield "  wasted", _count(found["tokens_wasted"]), f"{_share(found['tokens_wasted'], paid)} for text given up"
    yield "  estimated", _count(found["tokens_estimated"]), f"{_share(found['tokens_estimated'], paid)} not reported"
    yield "Cost", _dollars(found["cost_usd"]), _price_note(found["posts_without_price"])
    for name, times in (("First text", found["time_to_first_token_ms"]), ("Duration", found["duration_ms"])):
        if times["p50"] is not None:
            sampled = f"{found['sampled_posts']:,} published"
            note = f"median of the newest {sampled}; 95 %: {_seconds(times['p95'])}"
            yield name, _seconds(times["p50"]), note


def _models(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not models:
        return
    cells = [COLUMNS, *(_model_cells(model) for model in models)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    yield ""
    for name, *figures in cells:
        aligned = [f"{figure:>{width}}" for figure, width in zip(figures, widths[1:], strict=True)]
        yield "  ".join([f"{name:<{widths[0]}}", *aligned])


def _model_cells(model: Mapping[str, Any]) -> tuple[str, ...]:
    counts = [_count(model[key]) for key in ("posts", "tokens_in", "tokens_out", "tokens_wasted")]
    return (one_line(model["model"]) or "?", *counts, _dollars(model["cost_usd"]))


def _price_note(without: int) -> str:
    return f"{without:,} {'post' if without == 1 else 'posts'} without a known price left out" if without else ""


def _count(value: int) -> str:
    return f"{value:,}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0 %"


def _dollars(value: float | None) -> str:
    return "unknown" if value is None else f"${value:,.4f}"


def _seconds(value_ms: int) -> str:
    return f"{value_ms / 1000:,.1f} s"
