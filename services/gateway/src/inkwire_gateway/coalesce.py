"""Neighbouring chunks of one section become one contiguous range: fewer frames, the same text."""

from collections.abc import Sequence
from typing import Any

import orjson


def merge_chunks(raws: Sequence[bytes]) -> tuple[bytes, int]:
    """Join as many of the given chunk events as fit together, from the first on.

    Events fit while run, attempt and section stay the same, ``seq`` is contiguous and each text begins where the one
    before ends. The result covers ``[first_seq, seq]``; a single event comes back as its own bytes.

    Args:
        raws: JSON of ``chunk`` events as it stands in the log, in order; at least one.

    Returns:
        The JSON and how many events it covers.
    """
    first = orjson.loads(raws[0])
    texts = [first["data"]["text"]]
    last = first
    for raw in raws[1:]:
        event = orjson.loads(raw)
        if not _continues(last, event):
            break
        texts.append(event["data"]["text"])
        last = event
    if len(texts) == 1:
        return raws[0], 1
    data = {**first["data"], "end": last["data"]["end"], "text": "".join(texts)}
    return orjson.dumps({**last, "first_seq": first["seq"], "data": data}), len(texts)


def _continues(last: dict[str, Any], event: dict[str, Any]) -> bool:
    return bool(
        event["seq"] == last["seq"] + 1
        and event["run"] == last["run"]
        and event["attempt"] == last["attempt"]
        and event["data"]["section"] == last["data"]["section"]
        and event["data"]["start"] == last["data"]["end"]
    )
