"""What every reader gives and raises."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from inkwire_documents.blocks import Block
from inkwire_documents.limits import Limits

Progress = Callable[[int, int], None]


class Reading(NamedTuple):
    """A document while it is read: how many pages it has (None: its kind has none), and its blocks one by one."""

    pages: int | None
    blocks: Iterator[Block]


Reader = Callable[[bytes, Limits, Progress], Reading]


class UnreadableError(Exception):
    """The file cannot be read; the message is a sentence that its owner understands."""


class TooManyPagesError(Exception):
    """More pages than allowed."""
