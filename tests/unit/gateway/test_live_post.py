"""History and live messages become one gapless sequence, or a verdict that says what to read."""

import pytest

from inkwire_contracts.fold import document
from inkwire_gateway import live_log
from inkwire_gateway.live_log import Phase, Verdict
from inkwire_gateway.live_post import LivePost
from inkwire_gateway.ring import Ring
from tests.unit.gateway.builders import EPOCH, POST, Script


def live_post(max_buffer: int = 100) -> LivePost:
    """A post that nothing is known of."""
    return LivePost(POST, Ring(100, 1_000_000), max_buffer=max_buffer)


def offer(post: LivePost, script: Script, *seqs: int) -> list[Verdict]:
    """Deliver events by seq."""
    return [post.offer(script.events[n - 1].raw, script.events[n - 1].stream_seq) for n in seqs]


@pytest.fixture
def script() -> Script:
    """Seven events: three to begin, then text."""
    script = Script().begin()
    for text in ("He", "llo", " \U0001f600", "!"):
        script.chunk(text)
    return script


def test_buffer_is_merged_with_history(script: Script) -> None:
    """What came while history was read is added once, whatever overlaps."""
    post = live_post()
    assert offer(post, script, 4, 5, 6, 7) == [Verdict.OK] * 4
    assert post.phase is Phase.BUFFERING and post.seq == 0
    assert post.start(script.loaded(5)) is Verdict.OK
    assert (post.phase, post.seq, post.epoch, post.stream_seq) == (Phase.LIVE, 7, EPOCH, 70)
    assert document(post.snapshot) == "Hello \U0001f600!"
    assert post.ring.head == 7 and post.ring.covers(0)


def test_gap_between_history_and_buffer(script: Script) -> None:
    """If the buffer begins later than history ends, the log is asked for the middle; nothing is skipped."""
    post = live_post()
    offer(post, script, 6)
    assert post.start(script.loaded(4)) is Verdict.GAP
    assert (post.phase, post.seq, post.stream_seq) == (Phase.BUFFERING, 4, 40)
    offer(post, script, 7)
    assert post.refill(script.events[4:5]) is Verdict.OK
    assert (post.phase, post.seq) == (Phase.LIVE, 7)


def test_live_gap_and_refill(script: Script) -> None:
    """A lost live message stops the fold until the log has filled the hole."""
    post = live_post()
    post.start(script.loaded(3))
    assert offer(post, script, 4, 6) == [Verdict.OK, Verdict.GAP]
    assert post.seq == 4
    assert offer(post, script, 7) == [Verdict.OK], "buffered"
    assert post.refill(script.events[4:]) is Verdict.OK
    assert post.seq == 7 and document(post.snapshot) == document(script.truth)


def test_key_event_does_not_jump_over_lost_chunks(script: Script) -> None:
    """A live key event would fold without the chunks before it; readers still get those, from the log."""
    script.publish()
    post = live_post()
    post.start(script.loaded(3))
    assert offer(post, script, 8) == [Verdict.GAP]
    assert post.refill(script.events[3:]) is Verdict.OK
    assert len(post.ring) == 9 and post.ring.covers(0) and document(post.snapshot) == document(script.truth)


def test_duplicates_change_nothing(script: Script) -> None:
    """An event that comes twice is folded once and offered to readers once."""
    post = live_post()
    post.start(script.loaded(5))
    assert offer(post, script, 5, 6, 6, 4) == [Verdict.OK] * 4
    assert (post.seq, len(post.ring)) == (6, 6)


def test_duplicate_stored_later_does_not_hide_what_is_missing(script: Script) -> None:
    """A second copy of an old event, stored behind events that were lost here, does not move the place to read from."""
    post = live_post()
    post.start(script.loaded(5))
    post.offer(script.events[2].raw, 990)
    assert post.stream_seq == 50


def test_buffer_is_bounded(script: Script) -> None:
    """What the buffer does not hold counts as a gap, even if what it holds fits."""
    post = live_post(max_buffer=1)
    assert offer(post, script, 4, 5, 6) == [Verdict.OK, Verdict.GAP, Verdict.OK], "told once"
    assert post.start(script.loaded(3)) is Verdict.GAP
    assert post.seq == 4
    assert post.refill(script.events[4:]) is Verdict.OK
    assert post.seq == 7


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"type":"chunk"}', b'{"type":"published","data":{}}', b"\xff"])
def test_unreadable_message_is_damage(script: Script, raw: bytes) -> None:
    """What cannot be read is never skipped: the post is loaded anew."""
    post = live_post()
    post.start(script.loaded(5))
    assert post.offer(raw, 60) is Verdict.DAMAGED
    assert (post.phase, post.seq) == (Phase.BUFFERING, 5)


def test_contradiction_is_damage(script: Script) -> None:
    """A next event that does not fit the state asks for a new load, and history that does not fold does too."""
    other = Script().begin()
    other.chunk("x")
    other.publish()
    post = live_post()
    post.start(script.loaded(5))
    assert post.offer(other.events[5].raw, 60) is Verdict.DAMAGED
    assert post.refill(other.events[5:]) is Verdict.DAMAGED


def test_an_event_that_follows_but_is_stored_before_is_of_another_log(script: Script) -> None:
    """A stream that was made anew counts from one: a number that happens to fit adds nothing to the old log's text."""
    post = live_post()
    post.start(script.loaded(5))
    assert post.offer(script.events[5].raw, 7) is Verdict.DAMAGED
    assert (post.phase, post.seq, document(post.snapshot)) == (Phase.BUFFERING, 5, "Hello")
    again = live_post()
    again.start(script.loaded(5))
    assert again.offer(script.events[4].raw, 7) is Verdict.OK, "what is known already changes nothing, wherever it was"


def test_start_again_forgets_the_old_log(script: Script) -> None:
    """After a reload nothing of the ring before is offered any more."""
    post = live_post()
    post.start(script.loaded(7))
    other = Script().begin()
    other.chunk("new")
    assert post.start(other.loaded(4, recent=1)) is Verdict.OK
    assert (post.seq, post.ring.floor, post.ring.head) == (4, 3, 4)
    assert document(post.snapshot) == "new"


def test_buffer_is_bounded_in_bytes(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large messages fill it before many do; the one that fills it is kept, and once it is read there is room again."""
    monkeypatch.setattr(live_log, "MAX_BUFFER_BYTES", 1)
    post = live_post()
    for seq in (4, 6):
        assert offer(post, script, seq, seq + 1) == [Verdict.OK, Verdict.GAP]
        assert post.start(script.loaded(seq - 1)) is Verdict.GAP
        assert post.seq == seq
        post.suspend()


def test_capture_holds_texts_apart(script: Script) -> None:
    """The head has no texts but their lengths; texts come finished sections first."""
    script.add("section_completed", section="s", text="Hello \U0001f600!")
    script.add("section_started", section="t")
    script.add("chunk", section="t", start=0, end=1, text="x")
    post = live_post()
    post.start(script.loaded())
    capture = post.capture()
    assert [(s["section"], s["text"], s["length"]) for s in capture.head["sections"]] == [("s", "", 8), ("t", "", 1)]
    assert capture.texts == (("s", "Hello \U0001f600!"), ("t", "x"))
    script.add("chunk", section="t", start=1, end=2, text="y")
    offer(post, script, len(script.events))
    assert post.capture().texts == (("s", "Hello \U0001f600!"), ("t", "xy"))
    assert capture.texts[1] == ("t", "x"), "a capture is a moment"


def test_open_section_before_finished_ones_comes_last() -> None:
    """Finished sections come first even where an earlier one is being rewritten."""
    script = Script().begin()
    script.add("section_completed", section="s", text="")
    script.add("section_started", section="t")
    script.add("chunk", section="t", start=0, end=1, text="t")
    script.add("section_completed", section="t", text="t")
    script.add("section_started", section="s")
    script.add("chunk", section="s", start=0, end=1, text="s")
    post = live_post()
    post.start(script.loaded())
    assert [name for name, _ in post.capture().texts] == ["t", "s"]


def test_closed_post_takes_nothing(script: Script) -> None:
    """After its last reader left, late messages are dropped."""
    post = live_post()
    post.start(script.loaded(5))
    post.close()
    assert offer(post, script, 6) == [Verdict.OK] and post.seq == 5
