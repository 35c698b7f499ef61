"""MongoDB's documents: pure conversion."""

from typing import Any

import pytest

from inkwire_contracts.fold import Snapshot, fold_all
from inkwire_stores.mongo_post import from_document, summary_of, to_document
from inkwire_stores.ports import StoredPost
from tests.support.post_logs import PostLog, whole_post


def stored(log: PostLog) -> StoredPost:
    """A log's fold."""
    snapshot = Snapshot(post=log.post)
    fold_all(snapshot, log.events)
    return StoredPost(snapshot, 7, "epoch", "text", corrupt=False)


def keys_of(value: Any) -> set[str]:
    """All names anywhere in a document."""
    if isinstance(value, dict):
        return set(value).union(*(keys_of(inner) for inner in value.values()))
    return set().union(*(keys_of(inner) for inner in value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("end", ["published", "failed", "cancelled"])
def test_there_and_back(end: Any) -> None:
    """A post comes back from its document as it was, whatever its end."""
    post = stored(whole_post(end=end))
    assert from_document(to_document(post)) == post


def test_foreign_keys_are_not_field_names() -> None:
    """Names with dots and dollars, chosen outside, do not become names in the database."""
    document = to_document(stored(whole_post(end="failed")))
    assert not any("." in key or key.startswith("$") for key in keys_of(document))


def test_fields_of_a_newer_version_are_ignored() -> None:
    """A document written by a newer release is still read."""
    document = to_document(stored(whole_post()))
    document["later"] = 1
    document["snapshot"]["later"] = {"a": 1}
    assert from_document(document) == stored(whole_post())


def test_the_summary_is_in_the_document() -> None:
    """A list needs nothing but the summary."""
    document = to_document(stored(whole_post()))
    assert summary_of({"summary": document["summary"]}).status == "published"
