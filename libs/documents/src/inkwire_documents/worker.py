"""The process that reads one file: an order and the file come in, progress and passages go out, a line each.

It is started for one file, confines itself, and holds nothing worth stealing: no environment, no key, no connection.
"""

import codecs
import contextlib
import encodings
import os
import pkgutil
import sys
import time
from typing import BinaryIO

from inkwire_documents.confinement import close_doors, limit_resources
from inkwire_documents.wire import Order, Refusal, Result, Step

MAX_ORDER_BYTES = 4_096
PROGRESS_INTERVAL_S = 0.1


def main() -> int:
    """Read an order and its file from standard input, write lines to standard output."""
    out = _private_output()
    order = Order.model_validate_json(sys.stdin.buffer.readline(MAX_ORDER_BYTES))
    limit_resources(order.limits)
    try:
        end = _answer(order, out)
    except MemoryError:
        end = Refusal(code="document_unreadable", params={"detail": "Reading it takes more memory than is allowed."})
    out.write(end.model_dump_json().encode() + b"\n")
    out.flush()
    return 0


def _private_output() -> BinaryIO:
    """Standard output for our lines alone; what a library prints goes nowhere."""
    private = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return os.fdopen(private, "wb")


def _answer(order: Order, out: BinaryIO) -> Result | Refusal:
    from inkwire_documents.formats.readers import read  # parsers come after the limits

    reporter = _Reporter(out)
    reporter.tell(0, 0)  # from here on a death is the file's doing
    data = sys.stdin.buffer.read(order.size_bytes)
    _load_codecs()
    close_doors()
    return read(order.kind, data, order.limits, reporter.progress)


def _load_codecs() -> None:
    """Every text codec: Python loads them from files when they are first asked for."""
    for module in pkgutil.iter_modules(encodings.__path__):
        with contextlib.suppress(LookupError):  # no codec, or one of another platform
            codecs.lookup(module.name)


class _Reporter:
    """Tells how far it is, not oftener than anybody can see."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._told_s = 0.0

    def tell(self, done: int, total: int) -> None:
        self._out.write(Step(done=done, total=total).model_dump_json().encode() + b"\n")
        self._out.flush()

    def progress(self, done: int, total: int) -> None:
        now_s = time.monotonic()
        if done == total or now_s - self._told_s >= PROGRESS_INTERVAL_S:
            self._told_s = now_s
            self.tell(done, total)


if __name__ == "__main__":
    raise SystemExit(main())
