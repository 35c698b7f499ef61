"""A post as MongoDB's document and back: pure.

Everything known has a field of its own, so that people can query it. What comes from outside with keys of its own
choice (options, metadata, structured output, parameters) is kept as JSON text: BSON's names and integers are narrower
than JSON's, and a post must come back as it went in.
"""

import json
from typing import Any

from inkwire_contracts.fold import Snapshot
from inkwire_contracts.views import PostSummary, summary
from inkwire_stores.ports import StoredPost


def to_document(stored: StoredPost) -> dict[str, Any]:
    """The document of a post."""
    snapshot = stored.snapshot
    return {
        "_id": snapshot.post,
        "owner": snapshot.owner,
        "seq": snapshot.seq,
        "status": snapshot.status,
        "created_at": snapshot.created_at,
        "corrupt": stored.corrupt,
        "stream_seq": stored.stream_seq,
        "updated_at": snapshot.updated_at,
        "purged": False,
        "epoch": stored.epoch,
        "summary": summary(snapshot).model_dump(),
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
