"""From a delivered message to an event in its place, or to the reason why it is none: pure."""

from dataclasses import dataclass

from inkwire_contracts.events import Event, KeyEvent, UnknownEvent, parse_event
from inkwire_contracts.subjects import parse_post_event

RETRY_FIRST_S = 0.5


class Undecodable(Exception):
    """The message is no key event of the post that its subject names; the text says why, without its content."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event and its place in the EVENTS stream."""

    event: Event
    stream_seq: int


def decode(subject: str, payload: bytes, stream_seq: int) -> Delivery:
    """The key event that a message carries.

    Raises:
        Undecodable: it carries none, or one of another post, owner or type than its subject says.
    """
    try:
        place = parse_post_event(subject)
        event = parse_event(payload)
    except (ValueError, TypeError) as error:
        raise Undecodable(type(error).__name__) from None
    if (event.owner, event.post, event.type) != (place.owner, place.post, place.type):
        raise Undecodable("the event belongs to another subject")
    if not is_key(event):
        raise Undecodable("not a key event")
    return Delivery(event, stream_seq)


def is_key(event: Event) -> bool:
    """Whether it is a key event, one of a type yet unknown included."""
    return isinstance(event, KeyEvent) or (isinstance(event, UnknownEvent) and event.prev is not None)


def retry_delay_s(deliveries: int, longest_s: float) -> float:
    """How long a message waits that could not be stored, by how often it was delivered; doubles up to a longest."""
    return float(min(longest_s, RETRY_FIRST_S * 2 ** min(max(deliveries - 1, 0), 20)))
