"""DOCX: paragraphs, lists and tables in order, headings by style, footnotes at the end; nothing hidden or deleted."""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import docx
from docx.document import Document
from docx.opc.constants import RELATIONSHIP_TYPE
from lxml import etree  # type: ignore[import-untyped]

from inkwire_documents.blocks import Block, clean_heading
from inkwire_documents.formats.reading import Progress, Reading, UnreadableError
from inkwire_documents.limits import MIB, Limits

MAX_BASE_STYLES = 10
SCAN_BYTES = 65_536
PROGRESS_EVERY = 500
"""Paragraphs between two reports."""

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SKIPPED = frozenset({f"{_W}del", f"{_W}moveFrom", f"{_W}pPr", f"{_W}rPr", f"{_W}tblPr", _FALLBACK})
_SAID = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_NOTES = {"/word/footnotes.xml": "Footnotes", "/word/endnotes.xml": "Endnotes"}
_DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")


def read_docx(data: bytes, limits: Limits, progress: Progress) -> Reading:
    """A Word document.

    Raises:
        UnreadableError: damaged, locked, or made to grow beyond the limits when unpacked.
    """
    _guard(data, limits)
    try:
        document = docx.Document(BytesIO(data))
    except (AttributeError, KeyError, ValueError, zipfile.BadZipFile, etree.XMLSyntaxError) as error:
        raise UnreadableError("It is damaged, or no Word document (DOCX).") from error
    return Reading(None, _blocks(document, progress))


def _guard(data: bytes, limits: Limits) -> None:
    """Counts and sizes of the archive before anything is unpacked, and no XML that declares a document type.

    zipfile gives no more of a member than it declares, so that the declared sizes can be believed.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > limits.max_members_count:
                raise UnreadableError(f"It packs more than {limits.max_members_count} files.")
            if sum(member.file_size for member in members) > limits.max_unpacked_bytes:
                raise UnreadableError(f"It unpacks to more than {limits.max_unpacked_bytes // MIB} MiB.")
            if any(member.flag_bits & 1 for member in members):
                raise UnreadableError("It is locked with a password.")
            for member in members:
                if member.filename.endswith((".xml", ".rels")) and _declares(archive, member):
                    raise UnreadableError("It declares entities, which no Word document does.")
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise UnreadableError("It is damaged or cut off.") from error


def _declares(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    behind = b""
    with archive.open(member) as stream:
        while piece := stream.read(SCAN_BYTES):
            seen = behind + piece.replace(b"\0", b"")  # UTF-16 hides nothing
            if any(word in seen for word in _DECLARATIONS):
                return True
            behind = seen[-16:]
    return False


def _blocks(document: Document, progress: Progress) -> Iterator[Block]:
    headings = _heading_styles(document)
    yield from _Walk(headings, progress).through(document.element.body)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    for part in document.part.package.iter_parts():
        title = _NOTES.get(str(part.partname))
        if title is not None:
            for block in _Walk(headings, progress).through(etree.fromstring(part.blob, parser)):
                yield Block(block.text, heading=title)


def _heading_styles(document: Document) -> frozenset[str]:
    """The ids of the styles that make headings, those built on them included."""
    found = set()
    if not any(relation.reltype == RELATIONSHIP_TYPE.STYLES for relation in document.part.rels.values()):
        return frozenset()  # python-docx would open a file of its own
    for style in document.styles:
        base: Any = style
        for _ in range(MAX_BASE_STYLES):
            name = (getattr(base, "name", None) or "").lower()
            if name.startswith("heading ") or name in {"title", "subtitle"}:
                found.add(style.style_id)
            base = getattr(base, "base_style", None)
            if base is None:
                break
    return frozenset(found)


class _Walk:
    """One pass through a part's XML without recursion."""

    def __init__(self, heading_styles: frozenset[str], progress: Progress) -> None:
        self._heading_styles = heading_styles
        self._progress = progress
        self._heading = ""
        self._open: list[list[str]] = []  # paragraphs, one inside the other where a text box is
        self._rows: list[list[list[str]]] = []  # of the outermost table: rows of cells of paragraphs
        self._tables = 0

    def through(self, root: Any) -> Iterator[Block]:
        """The blocks below an element."""
        total = sum(1 for _ in root.iter(f"{_W}p"))
        done = 0
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag
            if event == "start":
                if tag in _SKIPPED or (tag == f"{_W}r" and _vanished(element)):
                    walk.skip_subtree()
                else:
                    self._enter(tag, element)
                continue
            if tag == f"{_W}p":
                done += 1
                if done % PROGRESS_EVERY == 0:
                    self._progress(done, total)
            yield from self._leave(tag, element)

    def _enter(self, tag: Any, element: Any) -> None:
        if tag == f"{_W}t" and self._open:
            self._open[-1].append(element.text or "")
        elif tag in _SAID and self._open:
            self._open[-1].append(_SAID[tag])
        elif tag == f"{_W}p":
            self._open.append(["- "] if element.find(f"{_W}pPr/{_W}numPr") is not None else [])
        elif tag == f"{_W}tbl":
            self._tables += 1
        elif self._tables == 1 and tag == f"{_W}tr":
            self._rows.append([])
        elif self._tables == 1 and tag == f"{_W}tc" and self._rows:
            self._rows[-1].append([])

    def _leave(self, tag: Any, element: Any) -> Iterator[Block]:
        if tag == f"{_W}p" and self._open:
            yield from self._paragraph("".join(self._open.pop()), element)
        elif tag == f"{_W}tbl":
            self._tables -= 1
            if not self._tables:
                rows = (" | ".join(" ".join(cell) for cell in row) for row in self._rows)
                yield Block("\n".join(row for row in rows if row.strip(" |")), heading=self._heading)
                self._rows.clear()

    def _paragraph(self, text: str, element: Any) -> Iterator[Block]:
        if not text.strip(" -"):
            return
        if self._tables:
            if self._rows and self._rows[-1]:
                self._rows[-1][-1].append(text)
            return
        if self._is_heading(element):
            text = self._heading = clean_heading(text.removeprefix("- "))
        yield Block(text, heading=self._heading)

    def _is_heading(self, paragraph: Any) -> bool:
        style = paragraph.find(f"{_W}pPr/{_W}pStyle")
        level = paragraph.find(f"{_W}pPr/{_W}outlineLvl")
        named = style is not None and style.get(f"{_W}val") in self._heading_styles
        return named or (level is not None and level.get(f"{_W}val") in set("012345678"))


def _vanished(run: Any) -> bool:
    hidden = run.find(f"{_W}rPr/{_W}vanish")
    return hidden is not None and hidden.get(f"{_W}val") not in {"0", "false", "off"}
