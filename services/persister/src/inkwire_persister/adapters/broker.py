"""Where the broker's exceptions stop."""

from collections.abc import Iterator
from contextlib import contextmanager

from inkwire_chassis.event_log import LogDamaged
from inkwire_chassis.jetstream import BrokerError
from inkwire_persister.ports import LogUnavailable, LogUnreadable


@contextmanager
def asking() -> Iterator[None]:
    """Around a question to the broker.

    Raises:
        LogUnavailable: it did not answer.
    """
    try:
        yield
    except BrokerError as error:
        raise LogUnavailable(str(error)) from None


@contextmanager
def reading() -> Iterator[None]:
    """Around a question whose answer is decoded.

    Raises:
        LogUnavailable: the broker did not answer.
        LogUnreadable: what it answered cannot be decoded; the text says why, without its content.
    """
    with asking():
        try:
            yield
        except (LogDamaged, ValueError, TypeError) as error:
            raise LogUnreadable(type(error).__name__) from None
