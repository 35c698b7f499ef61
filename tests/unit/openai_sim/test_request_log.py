"""The request log: bounded, discreet, and honest about who ended what."""

from inkwire_openai_sim.request_log import MAX_CHUNK_TIMES, REQUEST_LOG_CAP, RequestLog, preview


def test_log_is_bounded() -> None:
    """The oldest records are dropped and counted; a reset forgets all."""
    log = RequestLog()
    for number in range(REQUEST_LOG_CAP + 3):
        log.open(f"r{number}", {})
    listed = log.as_json()
    assert (len(listed["requests"]), listed["total"], listed["dropped"]) == (REQUEST_LOG_CAP, REQUEST_LOG_CAP + 3, 3)
    assert listed["requests"][0]["id"] == "r3"
    assert (log.find("r2"), log.find("r3") is None) == (None, False)
    log.clear()
    assert log.as_json() == {"requests": [], "total": 0, "dropped": 0}


def test_keys_are_not_kept() -> None:
    """Of the headers only our own kind is kept, cut to a bound."""
    record = RequestLog().open(
        "r", {"Authorization": "Bearer sk-x", "X-Attempt-Id": "a" * 999, "X-Stainless-OS": "Linux", "Cookie": "c"}
    )
    assert record.headers == {"x-attempt-id": "a" * 200}


def test_first_end_counts() -> None:
    """A finished request is not closed by the client afterwards; an unfinished one is."""
    log = RequestLog()
    done, left = log.open("a", {}), log.open("b", {})
    done.finish("done")
    done.connection_lost()
    left.connection_lost()
    left.finish("error")
    assert (done.close_reason, left.close_reason) == ("done", "client_closed")
    assert done.closed_at_ms is not None
    assert left.closed_at_ms is not None
    assert left.finished_at_ms is not None


def test_chunk_times_are_bounded() -> None:
    """With recording on each delta has a time and a length, up to a cap; the counters go on."""
    log = RequestLog()
    assert log.open("off", {}).chunk_times_ms is None
    log.chunk_times = True
    record = log.open("on", {})
    record.sent(["ab", "c"], 5.0)
    assert (record.chunk_times_ms, record.chunk_chars, record.first_chunk_at_ms) == ([5.0, 5.0], [2, 1], 5.0)
    record.sent(["x"] * (MAX_CHUNK_TIMES + 10), 6.0)
    assert record.chunk_times_ms is not None
    assert record.chunk_chars is not None
    assert len(record.chunk_times_ms) == len(record.chunk_chars) == MAX_CHUNK_TIMES
    assert record.chunks_sent == MAX_CHUNK_TIMES + 12


def test_preview_shows_both_ends() -> None:
    """A long prompt is shown by its beginning and its end, a short one whole."""
    assert preview("short") == "short"
    long = preview("a" * 1000 + "z" * 1000)
    assert long.startswith("aaa")
    assert long.endswith("zzz")
    assert len(long) < 500
