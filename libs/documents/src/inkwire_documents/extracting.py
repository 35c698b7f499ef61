"""Extraction as the api sees it: bytes in, passages out, or an error that their owner understands.

The bytes are read by a process of their own (:mod:`inkwire_documents.worker`), which is killed when its time is over
or its caller goes away. Nothing that a file does to its reader reaches this process.
"""

import asyncio
import os
import signal
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError

from inkwire_contracts.documents import Passage
from inkwire_contracts.errors import InkwireError
from inkwire_documents.kinds import Kind, kind_of
from inkwire_documents.limits import DEFAULT_LIMITS, MIB, Limits
from inkwire_documents.wire import LINE, Order, Refusal, Result, Step

MAX_AT_ONCE = 2
MAX_WAITING = 16
RETRY_AFTER_S = 10
MAX_LINE_BYTES = 48 * MIB
"""Two million characters of any script, escaped, with the places of as many passages as are allowed."""

# What an interpreter may need to start at all; nothing else of the environment reaches the worker, keys least of all.
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL", "TZ")

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Extracted:
    """A document's text. ``media_type`` is what it proved to be; ``pages`` is None where the kind has none."""

    media_type: str
    pages: int | None
    chars: int
    passages: tuple[Passage, ...]


class WorkerError(RuntimeError):
    """The worker could not do its work for a reason that is not the file's; the message says which, for the log."""


class Extractor:
    """Reads uploads, a few at once; the next ones wait in order, and those for whom there is no room are told so.

    Args:
        at_once: files that are read at the same time, each by a process of its own.
        max_waiting: files that may wait for their turn.
    """

    def __init__(self, *, at_once: int = MAX_AT_ONCE, max_waiting: int = MAX_WAITING) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._room = at_once + max_waiting
        self._here = 0

    async def extract(
        self,
        data: bytes,
        name: str,
        media_type: str | None = None,
        limits: Limits = DEFAULT_LIMITS,
        on_progress: OnProgress | None = None,
    ) -> Extracted:
        """The passages of an upload.

        Args:
            data: the whole file.
            name: the name it was uploaded under; only its ending counts.
            media_type: what the client says it is; None if it says nothing.
            limits: what it may take and give.
            on_progress: told how many of how many steps (a PDF's pages) are done, often, from this task.

        Raises:
            InkwireError: ``unsupported_document``, ``document_too_large``, ``document_too_long``,
                ``document_unreadable``, ``document_empty``; ``rate_limited`` if too many wait already.
            WorkerError: a fault of this installation.
        """
        if len(data) > limits.max_bytes:
            raise InkwireError("document_too_large", limit_bytes=limits.max_bytes)
        kind = kind_of(data, name, media_type)
        if self._here >= self._room:
            raise InkwireError("rate_limited", retry_after_s=RETRY_AFTER_S)
        self._here += 1
        try:
            async with self._slots:
                return await _extracted(data, kind, limits, on_progress)
        finally:
            self._here -= 1


async def _extracted(data: bytes, kind: Kind, limits: Limits, on_progress: OnProgress | None) -> Extracted:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-m", "inkwire_documents.worker",
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=MAX_LINE_BYTES, env=_environment(),
    )  # fmt: skip
    try:
        async with asyncio.timeout(limits.wall_s):
            await _hand_over(worker, Order(kind=kind, size_bytes=len(data), limits=limits), data)
            end = await _followed(worker, on_progress)
    except TimeoutError:
        raise _unreadable("Reading it takes too long.") from None
    finally:
        if worker.returncode is None:
            worker.kill()
        await worker.wait()
    if isinstance(end, Refusal):
        raise InkwireError(end.code, **end.params)
    _check(end, limits)
    return Extracted(kind.value, end.pages, end.chars, end.passages)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


async def _hand_over(worker: Process, order: Order, data: bytes) -> None:
    """Everything in one go: the worker says next to nothing before it has all of it."""
    stdin = cast(StreamWriter, worker.stdin)
    try:
        stdin.write(order.model_dump_json().encode() + b"\n")
        stdin.write(data)
        await stdin.drain()
        stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return  # it is dead; what it died of is found at the end of its output


async def _followed(worker: Process, on_progress: OnProgress | None) -> Result | Refusal:
    """What the worker says at its end."""
    stdout = cast(StreamReader, worker.stdout)
    began = False
    try:
        while line := await stdout.readline():
            said = LINE.validate_json(line)
            if not isinstance(said, Step):
                return said
            if began and on_progress is not None:
                on_progress(said.done, said.total)
            began = True
    except (ValueError, ValidationError) as error:  # ValueError: a line beyond all limits
        if not began:
            raise WorkerError("the worker says what it should not") from error
        raise _unreadable("It breaks its reader.") from error
    code = await worker.wait()
    if not began:
        raise WorkerError(f"the worker ended with {code} before it had begun")
    raise _unreadable(_cause_of_death(code))


def _cause_of_death(code: int) -> str:
    too_long = {-signal.SIGALRM, -signal.SIGXCPU, -signal.SIGKILL} if sys.platform != "win32" else set[int]()
    return "Reading it takes too long." if code in too_long else "It breaks its reader."


def _check(result: Result, limits: Limits) -> None:
    """The limits once more: a file that has taken over its reader could have said anything."""
    chars = sum(len(passage.text) for passage in result.passages)
    fits = chars == result.chars <= limits.max_chars and 0 < len(result.passages) <= limits.max_passages_count
    if not fits or [passage.index for passage in result.passages] != list(range(len(result.passages))):
        raise _unreadable("It breaks its reader.")


def _unreadable(detail: str) -> InkwireError:
    return InkwireError("document_unreadable", detail=detail)
