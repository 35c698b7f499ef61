"""Finished posts and whole conversations as files: which format is which, and a bound on what making them may take."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from inkwire_api.adapters.docx import as_docx, transcript_as_docx
from inkwire_api.adapters.html import POLICY, as_html, transcript_as_html
from inkwire_api.articles import Article, ExportFormat, as_json, as_markdown
from inkwire_api.transcripts import Transcript, transcript_as_json, transcript_as_markdown
from inkwire_contracts.errors import InkwireError

MAX_RENDERED_CHARS: Final = 400_000
"""Of a text that is taken apart: some 60,000 words. Markdown and JSON carry it as it is, and know no limit."""
RENDERINGS_AT_ONCE: Final = 2
RENDERING_WAIT_S: Final = 10.0
"""How long a request waits for its turn."""


class Readable(Protocol):
    """What can be taken away."""

    @property
    def text(self) -> str:
        """All that is taken apart for it."""
        ...


T = TypeVar("T", bound=Readable)


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """A format: its media type, the end of its files' names, and headers beyond the usual."""

    media_type: str
    extension: str
    render: Callable[[T], bytes]
    takes_apart: bool = False
    headers: Mapping[str, str] | None = None


MARKDOWN_TYPE: Final = "text/markdown; charset=utf-8"
HTML_TYPE: Final = "text/html; charset=utf-8"
DOCX_TYPE: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML_HEADERS: Final = {"Content-Security-Policy": f"sandbox; {POLICY}"}

FORMS: Final[Mapping[ExportFormat, Form[Article]]] = {
    "markdown": Form(MARKDOWN_TYPE, "md", as_markdown),
    "html": Form(HTML_TYPE, "html", as_html, True, HTML_HEADERS),
    "json": Form("application/json", "json", as_json),
    "docx": Form(DOCX_TYPE, "docx", as_docx, True),
}
TRANSCRIPT_FORMS: Final[Mapping[ExportFormat, Form[Transcript]]] = {
    "markdown": Form(MARKDOWN_TYPE, "md", transcript_as_markdown),
    "html": Form(HTML_TYPE, "html", transcript_as_html, True, HTML_HEADERS),
    "json": Form("application/json", "json", transcript_as_json),
    "docx": Form(DOCX_TYPE, "docx", transcript_as_docx, True),
}


class Exports:
    """Makes files, a few at a time and beside the event loop."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(RENDERINGS_AT_ONCE)

    async def file(self, found: T, form: Form[T]) -> bytes:
        """An article or a conversation in a format.

        Raises:
            InkwireError: ``too_long_to_render``, or ``rate_limited`` where others take too long.
        """
        if form.takes_apart and len(found.text) > MAX_RENDERED_CHARS:
            raise InkwireError("too_long_to_render", limit=MAX_RENDERED_CHARS)
        try:
            async with asyncio.timeout(RENDERING_WAIT_S):
                await self._turns.acquire()
        except TimeoutError:
            raise InkwireError("rate_limited", retry_after_s=int(RENDERING_WAIT_S)) from None
        try:
            return await asyncio.to_thread(form.render, found)
        finally:
            self._turns.release()
