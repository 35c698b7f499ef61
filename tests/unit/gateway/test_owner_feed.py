"""An owner's channel tells of articles, and of answers nothing; what is not known is looked up first."""

import json
from typing import Any

from inkwire_gateway import owner_feed
from inkwire_gateway.owner_feed import Happening, OwnerFeed


def happening(kind: str, post: str, turn: Any = None) -> Happening:
    return Happening(kind, f"post.{kind}", json.dumps({"post": post, "data": {"turn": turn}}).encode())


def test_a_request_tells_what_its_post_is() -> None:
    """Events of an article go out, those of an answer never, from the request on."""
    feed = OwnerFeed()
    article, answer = happening("requested", "a"), happening("requested", "r", {"conversation": "c"})
    assert feed.take(article) == [article] and feed.take(answer) == []
    end = happening("published", "a")
    assert feed.take(end) == [end] and feed.take(happening("published", "r")) == []
    assert feed.unknown == []


def test_unknown_posts_wait_in_order() -> None:
    """Of a post that is not known nothing goes out before it is, then all in order; others do not wait for it."""
    feed = OwnerFeed()
    events = [happening("started", "x"), happening("started", "y"), happening("failed", "x")]
    assert [feed.take(event) for event in events] == [[], [], []]
    assert feed.unknown == ["x", "y"]
    known = happening("requested", "a")
    assert feed.take(known) == [known]
    assert feed.learn("x", is_reply=False) == [events[0], events[2]]
    assert feed.learn("y", is_reply=True) == [] and feed.unknown == []


def test_a_request_frees_what_waited() -> None:
    """A retry's request says what the post is for the events before it, too."""
    feed = OwnerFeed()
    early = happening("failed", "x")
    assert feed.take(early) == []
    again = happening("requested", "x")
    assert feed.take(again) == [early, again]


def test_bounds() -> None:
    """Too much held: the oldest is told unasked. Too much known: the oldest is looked up again."""
    feed = OwnerFeed()
    events = [happening("started", f"p{n}") for n in range(owner_feed.MAX_HELD + 1)]
    told = [out for event in events for out in feed.take(event)]
    assert told == events[:1]
    feed = OwnerFeed()
    for n in range(owner_feed.MAX_KNOWN + 1):
        feed.learn(f"p{n}", is_reply=False)
    assert feed.take(happening("failed", "p0")) == [] and feed.unknown == ["p0"]


def test_what_cannot_be_read_is_not_told() -> None:
    """Bytes that are no event go nowhere."""
    feed = OwnerFeed()
    for raw in (b"", b"[]", b"{}", b'{"post": "a", "data": 3}', b"\xff"):
        assert feed.take(Happening("requested", "generate.requested", raw)) == []
    assert feed.unknown == []
