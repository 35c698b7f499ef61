"""A post as MongoDB's document and back: pure.

Everything known has a field of its own, so that people can query it. What comes from outside with keys of its own
choice (options, metadata, structured output, parameters) is kept as JSON text: BSON's names and integers are narrower
than JSON's, and a post must come back as it went in.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from inkwire_contracts.fold import Snapshot
from inkwire_contracts.views import PostSummary, summary
from inkwire_stores.ports import StoredPost
from inkwire_stores.usage import Group, Sample, spending

_SUMMED: Final = ("tokens_in", "tokens_out", "tokens_wasted", "tokens_estimated", "cost_usd", "words")
SUMS: Final[Mapping[str, int | str]] = {"posts": 1, **{name: f"$usage_{name}" for name in _SUMMED}}
"""What MongoDB adds up for each group, by name."""
INDEXED: Final = tuple(f"usage_{name}" for name in ("group", *_SUMMED, "first_text_ms", "run_ms"))
"""The fields that totals read."""


def to_document(stored: StoredPost) -> dict[str, Any]:
    """The document of a post."""
    snapshot = stored.snapshot
    return {
        "_id": snapshot.post,
        "owner": snapshot.owner,
        "seq": snapshot.seq,
        "status": snapshot.status,
        "created_at": snapshot.created_at,
        "reply": snapshot.turn is not None,
        "corrupt": stored.corrupt,
        "stream_seq": stored.stream_seq,
        "updated_at": snapshot.updated_at,
        "purged": False,
        "epoch": stored.epoch,
        "summary": summary(snapshot).model_dump(),
        **_usage(snapshot),
        "snapshot": _convert(snapshot.model_dump(), json.dumps),
        "markdown": stored.markdown,
    }


def from_document(document: dict[str, Any]) -> StoredPost:
    """The post of a document; fields that a newer version added are ignored."""
    return StoredPost(
        snapshot=Snapshot.model_validate(_convert(document["snapshot"], json.loads)),
        stream_seq=int(document["stream_seq"]),
        epoch=str(document["epoch"]),
        markdown=document["markdown"],
        corrupt=bool(document["corrupt"]),
        proven_seq=int(document.get("proven_seq", 0)),
        purged=bool(document.get("purged", False)),
    )


def summary_of(document: dict[str, Any]) -> PostSummary:
    """The summary in a document."""
    return PostSummary.model_validate(document["summary"])


def groups_of(sums: Mapping[str, Mapping[str, float]]) -> list[Group]:
    """MongoDB's sums, by name and then by group. Posts of an older version have no group: their status is unknown.

    The sums were asked one after the other; a group that a later one does not know (yet) counts as empty there.
    """
    groups = []
    for group, posts in sums["posts"].items():
        status, priced, model = (group or "unknown priced ").split(" ", 2)
        numbers = {name: int(found.get(group, 0)) for name, found in sums.items() if name not in {"posts", "cost_usd"}}
        cost_usd = float(sums["cost_usd"].get(group, 0.0))
        groups.append(Group(status, model, priced == "unpriced", int(posts), cost_usd=cost_usd, **numbers))
    return groups


def sample_of(document: dict[str, Any]) -> Sample:
    """The times of a document."""
    return Sample(document.get("usage_first_text_ms"), document.get("usage_run_ms"))


def _usage(snapshot: Snapshot) -> dict[str, Any]:
    """What totals need. ``usage_group`` is one text, made to be grouped by."""
    spent = spending(snapshot)
    priced = "unpriced" if spent.unpriced else "priced"
    numbers = {f"usage_{name}": value for name, value in asdict(spent).items() if name != "model"}
    return {"usage_group": f"{snapshot.status} {priced} {spent.model}", **numbers}


def _convert(snapshot: dict[str, Any], convert: Any) -> dict[str, Any]:
    changed = dict(snapshot)
    for field in ("options", "metadata"):
        changed[field] = convert(snapshot[field])
    changed["sections"] = [_with(section, "data", convert) for section in snapshot["sections"]]
    for field in ("progress", "error"):
        changed[field] = _with(snapshot[field], "params", convert)
    return changed


def _with(value: dict[str, Any] | None, field: str, convert: Any) -> dict[str, Any] | None:
    if value is None or value.get(field) is None:
        return value
    return {**value, field: convert(value[field])}
