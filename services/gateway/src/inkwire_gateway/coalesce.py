"""Neighbouring chunks of one section become one contiguous range: fewer frames, one step of the fold, the same text."""

from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter
from typing import Any

import orjson

_envelope = itemgetter("type", "post", "owner", "run", "attempt")
_range = itemgetter("section", "start", "end", "text")


SHARED_COUNT = 64
"""Merges kept for the next reader at the same place, as when all of a post come back; each holds 128 KiB at most."""


@lru_cache(maxsize=SHARED_COUNT)
def merge_chunks(raws: tuple[bytes, ...], first_seq: int) -> tuple[bytes, int]:
    """Join as many of the given chunk events as fit together, from the first on, as :func:`run_of_chunks` does.

    A single event comes back as its own bytes.

    Args:
        raws: JSON of ``chunk`` events as it stands in the log, in order; at least one.
        first_seq: the first one's.

    Returns:
        The JSON and how many events it covers.
    """
    run, count = run_of_chunks(raws, first_seq)
    return (orjson.dumps(run), count) if count > 1 else (raws[0], 1)


def run_of_chunks(raws: Iterable[bytes], first_seq: int) -> tuple[dict[str, Any], int]:
    """One chunk that covers ``[first_seq, seq]`` and is what the first of these events are one by one; and how many.

    Events fit while all but time, ``seq`` and range stays the same, ``seq`` is contiguous from ``first_seq`` on and
    each text begins where the one before ends. Whatever is not as it should be ends the run; it may be empty.
    """
    last: dict[str, Any] = {}
    texts: list[str] = []
    envelope = of_section = trace = begin = end = None
    seq = first_seq
    try:
        for raw in raws:
            event = orjson.loads(raw)
            section, start, stop, text = _range(event["data"])
            if not texts:
                envelope, of_section, trace, begin, end = (
                    _envelope(event),
                    section,
                    event.get("traceparent"),
                    start,
                    start,
                )
            if (
                event["seq"] != seq
                or start != end
                or stop - start != len(text)
                or section != of_section
                or _envelope(event) != envelope
                or event.get("traceparent") != trace
                or "first_seq" in event
                or not (type(text) is type(event["time"]) is str)
            ):
                break
            texts.append(text)
            seq, end, last = seq + 1, stop, event
    except (AttributeError, KeyError, TypeError, ValueError):
        pass  # this one is not what it should be: taken by itself, it shows
    if not texts:
        return {}, 0
    data = {**last["data"], "start": begin, "text": "".join(texts)}
    return {**last, "first_seq": first_seq, "data": data}, len(texts)
