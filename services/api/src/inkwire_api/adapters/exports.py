"""Finished posts as files: which format is which, and a bound on what making them may take."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from inkwire_api.adapters.docx import as_docx
from inkwire_api.adapters.html import POLICY, as_html
from inkwire_api.articles import Article, ExportFormat, as_json, as_markdown
from inkwire_contracts.errors import InkwireError

MAX_RENDERED_CHARS: Final = 400_000
"""Of a text that is taken apart: some 60,000 words. Markdown and JSON carry it as it is, and know no limit."""
RENDERINGS_AT_ONCE: Final = 2
RENDERING_WAIT_S: Final = 10.0
"""How long a request waits for its turn."""


@dataclass(frozen=True, slots=True)
class Form:
    """A format: its media type, the end of its files' names, and headers beyond the usual."""

    media_type: str
    extension: str
    render: Callable[[Article], bytes]
    takes_apart: bool = False
    headers: Mapping[str, str] | None = None


FORMS: Final[Mapping[ExportFormat, Form]] = {
    "markdown": Form("text/markdown; charset=utf-8", "md", as_markdown),
    "html": Form("text/html; charset=utf-8", "html", as_html, True, {"Content-Security-Policy": f"sandbox; {POLICY}"}),
    "json": Form("application/json", "json", as_json),
    "docx": Form("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx", as_docx, True),
}


class Exports:
    """Makes files, a few at a time and beside the event loop."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(RENDERINGS_AT_ONCE)

    async def file(self, found: Article, form: Form) -> bytes:
        """An article in a format.

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
