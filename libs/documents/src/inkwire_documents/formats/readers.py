"""Which reader reads which kind, and what becomes of what it gives or raises."""

from collections.abc import Iterable, Iterator
from typing import Literal

from inkwire_documents.blocks import Block, clean
from inkwire_documents.chunking import BETWEEN, chunk
from inkwire_documents.formats.html import read_html
from inkwire_documents.formats.pdf import read_pdf
from inkwire_documents.formats.plain import read_markdown, read_text
from inkwire_documents.formats.reading import Progress, Reader, Reading, TooManyPagesError, UnreadableError
from inkwire_documents.formats.word import read_docx
from inkwire_documents.kinds import Kind
from inkwire_documents.limits import Limits
from inkwire_documents.wire import Refusal, Result

READERS: dict[Kind, Reader] = {
    Kind.TEXT: read_text,
    Kind.MARKDOWN: read_markdown,
    Kind.HTML: read_html,
    Kind.PDF: read_pdf,
    Kind.DOCX: read_docx,
}


class _TooLongError(Exception):
    """More text than allowed."""


def read(kind: Kind, data: bytes, limits: Limits, progress: Progress) -> Result | Refusal:
    """A file's passages, or why there are none. A parser may raise whatever it likes; running out of memory passes."""
    try:
        return _passages(READERS[kind](data, limits, progress), limits)
    except UnreadableError as error:
        return refusal("document_unreadable", detail=str(error))
    except TooManyPagesError:
        return refusal("document_too_long", limit=limits.max_pages, unit="pages")
    except _TooLongError:
        return refusal("document_too_long", limit=limits.max_chars, unit="characters")
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - hostile files make parsers raise anything, and a person is told of it
        return refusal("document_unreadable", detail="It is damaged.")


def refusal(
    code: Literal["document_unreadable", "document_empty", "document_too_long"], **params: str | int
) -> Refusal:
    """The end of an extraction without a result."""
    return Refusal(code=code, params=params)


def _passages(reading: Reading, limits: Limits) -> Result | Refusal:
    passages = chunk(_bounded(reading.blocks, limits.max_chars))
    if not passages:
        return refusal("document_empty")
    if len(passages) > limits.max_passages_count:
        return refusal("document_too_long", limit=limits.max_passages_count, unit="separate sections")
    chars = sum(len(passage.text) for passage in passages)
    return Result(pages=reading.pages, chars=chars, passages=tuple(passages))


def _bounded(blocks: Iterable[Block], max_chars: int) -> Iterator[Block]:
    """The blocks that say something, cleaned, and no more of them than allowed."""
    chars = -len(BETWEEN)
    for block in blocks:
        text = clean(block.text)
        if not text.strip():
            continue
        chars += len(BETWEEN) + len(text)
        if chars > max_chars:
            raise _TooLongError
        yield Block(text, block.page, block.heading)
