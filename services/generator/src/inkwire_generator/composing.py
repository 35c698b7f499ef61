"""The next event of a post, from its snapshot: sequence, predecessor and offsets are counted here. Pure."""

from dataclasses import dataclass

from inkwire_contracts.data import Data
from inkwire_contracts.events import ChunkData, ChunkProduced, Event, KeyEvent
from inkwire_contracts.fold import Snapshot


@dataclass(frozen=True, slots=True)
class Author:
    """What all events of one attempt share."""

    owner: str
    run: int
    attempt: int
    traceparent: str | None = None


def next_event(snapshot: Snapshot, author: Author, event_type: type[Event], data: Data, time: str) -> Event:
    """The event that follows ``snapshot``. Key events carry the trace; chunks stay small."""
    envelope = {
        "post": snapshot.post,
        "owner": author.owner,
        "run": author.run,
        "attempt": author.attempt,
        "seq": snapshot.seq + 1,
        "time": time,
        "data": data,
    }
    if issubclass(event_type, KeyEvent):
        envelope |= {"prev": snapshot.key_seq, "traceparent": author.traceparent}
    return event_type.model_validate(envelope)


def next_chunk(snapshot: Snapshot, author: Author, section: str, text: str, time: str) -> Event:
    """Text at the end of a section."""
    known = snapshot.section(section)
    start = known.length if known is not None else 0
    data = ChunkData(section=section, start=start, end=start + len(text), text=text)
    return next_event(snapshot, author, ChunkProduced, data, time)
