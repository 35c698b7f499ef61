"""Views: a summary is made from the folded post alone."""

import pytest

from inkwire_contracts.events import Metrics, Turn
from inkwire_contracts.fold import PostStatus, Problem, Progress, Snapshot
from inkwire_contracts.views import summary

POST = "aaaabbbbccccddddeeeeffff22"


def test_summary_of_a_running_post() -> None:
    """While a post is written its summary tells the progress."""
    line = summary(
        Snapshot(
            post=POST,
            title="Tips",
            recipe="blog",
            status="generating",
            run=1,
            seq=9,
            created_at="a",
            updated_at="b",
            progress=Progress(percent=40, message="Writing section 2 of 5"),
        )
    )
    assert line.model_dump() == {
        "id": POST,
        "title": "Tips",
        "recipe": "blog",
        "status": "generating",
        "priority": "normal",
        "run": 1,
        "seq": 9,
        "percent": 40,
        "message": "Writing section 2 of 5",
        "words": None,
        "sha256": None,
        "created_at": "a",
        "updated_at": "b",
        "conversation": None,
    }


def test_summary_of_a_reply() -> None:
    """A reply's summary names its conversation."""
    turn = Turn(conversation="c" * 26, message="m" * 26, reply="r" * 26)
    assert summary(Snapshot(post=POST, turn=turn)).conversation == "c" * 26


def test_summary_of_a_published_post() -> None:
    """A published post's summary has its words and its digest."""
    line = summary(Snapshot(post=POST, status="published", sha256="ab", metrics=Metrics(words=812)))
    assert (line.words, line.sha256) == (812, "ab")


@pytest.mark.parametrize("status", ["published", "cancelled"])
def test_nothing_is_being_done_once_a_post_has_ended(status: PostStatus) -> None:
    """What was done last is not told any more: it was "Finishing..." for ever."""
    progress = Progress(percent=100, code="finishing", message="Finishing...")
    line = summary(Snapshot(post=POST, status=status, progress=progress))
    assert (line.percent, line.message) == (100, "")


def test_summary_of_a_failed_post() -> None:
    """A failed post's summary says why, instead of how far it came."""
    progress = Progress(percent=60, message="Writing section 3 of 5")
    error = Problem(code="poison", message="It failed 5 times.")
    line = summary(Snapshot(post=POST, status="failed", progress=progress, error=error))
    assert (line.percent, line.message) == (60, "It failed 5 times.")
