"""A long post's history as it comes, for who folds it meanwhile: all of it, or what there is no doing without."""

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

from inkwire_chassis.event_log import BATCH_MESSAGES, MAX_BATCHES, EventLog, LogDamaged, batch_query
from inkwire_chassis.jetstream import Stored, StoredMessage
from inkwire_contracts import subjects
from inkwire_contracts.events import KEY_TYPES, parse_event
from inkwire_contracts.topology import EVENTS

PART_MESSAGES = 500
"""Of a batch, so many are waited for before they are handed on."""

Parts = AsyncGenerator[list[Stored], None]
"""Close it where you stop before its end."""

_KEEP_OPEN_TEXT = frozenset({"planned"})
"""Key types after which a section may be open with text of chunks before them."""


async def whole(log: EventLog, owner: str, post: str, *, after_stream_seq: int = 0) -> Parts:
    """All of :meth:`EventLog.read`, not decoded yet.

    Raises:
        BrokerError: the broker did not answer.
        LogDamaged: there are more than can be read.
    """
    subject, start = subjects.post_events(owner, post), after_stream_seq + 1
    for _ in range(MAX_BATCHES):
        begun = start
        async with log.jetstream.direct_parts(EVENTS, batch_query(start, subject), messages=PART_MESSAGES) as batch:
            while part := await batch.part():
                start = part[-1][1] + 1
                yield part
        if batch.left == 0 or start == begun:
            return
    raise LogDamaged(f"{subject} has more than {MAX_BATCHES * BATCH_MESSAGES} events")


async def unfinished(log: EventLog, owner: str, post: str, *, newest_seq: int, recent: int) -> Parts:
    """What folds like :func:`whole`, without the chunks of finished sections that nobody asks for.

    These are key events, and everything after the last of them that has at least ``recent`` events and the newest
    progress behind it. A hole among key events shows when they are folded, by their ``prev``, and one after them
    as a gap; one among the chunks that were left out does not.

    Args:
        log: where.
        owner: whose post.
        post: which one.
        newest_seq: ``seq`` of its newest event, or of one shortly before.
        recent: how many events at its end must be complete.

    Yields:
        Nothing where there is no such place; then everything has to be read.

    Raises:
        BrokerError: the broker did not answer.
        LogDamaged: there are more than can be read.
        ValueError, TypeError: a key event cannot be decoded.
    """
    last = await log.last_of_types(owner, post, (*KEY_TYPES, "progress"))
    progress = subjects.post_event(owner, post, "progress")
    before = min((m.seq for m in last if m.subject == progress), default=sys.maxsize)
    keys: list[StoredMessage] = []
    found, seq = 0, 0
    for message in await log.all_of([m.subject for m in last if m.subject != progress], 0):
        event = parse_event(message.payload)
        if event.seq <= seq:  # a late copy
            continue
        if event.seq > newest_seq - recent or message.seq > before:
            break
        seq = event.seq
        keys.append(message)
        found = len(keys) if event.type not in _KEEP_OPEN_TEXT else found
    if not found:
        return
    yield [(message.payload, message.seq) for message in keys[:found]]
    rest = whole(log, owner, post, after_stream_seq=keys[found - 1].seq)
    async with aclosing(rest):
        async for part in rest:
            yield part
