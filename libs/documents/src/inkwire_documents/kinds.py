"""What an upload is, by its declared type, its name and its bytes together: none of the three is trusted alone."""

import codecs
import re
from enum import StrEnum

from inkwire_contracts.errors import InkwireError

SNIFF_BYTES = 65_536
MAX_CONTROL_SHARE = 0.02
"""Of a text's first characters, control characters beyond this share mean that it is none."""

_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


class Kind(StrEnum):
    """The kinds that can be read; the value is the media type that is stored."""

    TEXT = "text/plain"
    MARKDOWN = "text/markdown"
    HTML = "text/html"
    PDF = "application/pdf"
    DOCX = _DOCX


_BY_ENDING = {
    "md": Kind.MARKDOWN, "markdown": Kind.MARKDOWN, "mdown": Kind.MARKDOWN, "mkd": Kind.MARKDOWN,
    "html": Kind.HTML, "htm": Kind.HTML, "xhtml": Kind.HTML,
    "txt": Kind.TEXT, "text": Kind.TEXT, "log": Kind.TEXT, "csv": Kind.TEXT, "tsv": Kind.TEXT, "rst": Kind.TEXT,
    "pdf": Kind.PDF, "docx": Kind.DOCX,
}  # fmt: skip
_BY_TYPE = {
    "text/markdown": Kind.MARKDOWN, "text/x-markdown": Kind.MARKDOWN,
    "text/html": Kind.HTML, "application/xhtml+xml": Kind.HTML,
    "text/plain": Kind.TEXT,
    "application/pdf": Kind.PDF, "application/x-pdf": Kind.PDF,
    _DOCX: Kind.DOCX,
}  # fmt: skip
_OTHER_ENDINGS = frozenset("doc dot docm odt rtf pages xls xlsx ppt pptx epub mobi djvu ps eps xps zip".split())
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # old Word, and any Office file with a password
_TEXTUAL_BUT_NO_TEXT = (b"{\\rtf", b"%!PS")
# Atomic and possessive: a file cannot make it try again and again.
_HTML_START = re.compile(
    rb"\s*+(?>(?:<!--.*?-->|<\?xml.*?\?>)\s*+)*+<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE | re.DOTALL
)
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def kind_of(data: bytes, name: str, media_type: str | None = None) -> Kind:
    """The kind of an upload.

    Args:
        data: the whole file.
        name: the name it was uploaded under.
        media_type: what the client says it is, parameters allowed; None if it says nothing.

    Raises:
        InkwireError: ``unsupported_document``; ``document_unreadable`` where name or type promise another kind than
            the bytes are; ``document_empty`` for no byte at all.
    """
    if not data:
        raise InkwireError("document_empty")
    claims = _claims(name, media_type)
    packed = _packed(data, claims)
    if packed is not None:
        return packed
    _refuse_binary(data)
    for kind, word in ((Kind.PDF, "PDF"), (Kind.DOCX, "Word document (DOCX)")):
        if kind in claims:
            raise InkwireError("document_unreadable", detail=f"Its name or type says {word}, but its content is none.")
    if _ending(name) in _OTHER_ENDINGS:
        raise InkwireError("unsupported_document")
    return _textual(data, claims)


def _textual(data: bytes, claims: list[Kind]) -> Kind:
    """By name, else by type, else by content; but what starts as HTML is HTML, unless it is called Markdown."""
    if claims and claims[0] is not Kind.TEXT:
        return claims[0]
    return Kind.HTML if _HTML_START.match(_without_bom(data[:SNIFF_BYTES])) else Kind.TEXT


def _claims(name: str, media_type: str | None) -> list[Kind]:
    """What name and declared type say, the name first; nothing where they say nothing that we know."""
    declared = (media_type or "").partition(";")[0].strip().lower()
    said = (_BY_ENDING.get(_ending(name)), _BY_TYPE.get(declared))
    return [kind for kind in said if kind is not None]


def _ending(name: str) -> str:
    return name.rpartition(".")[2].strip().lower() if "." in name else ""


def _packed(data: bytes, claims: list[Kind]) -> Kind | None:
    """PDF or DOCX by their bytes; None for everything else.

    Raises:
        InkwireError: another packed format.
    """
    start = _without_bom(data[:1024])
    if start.lstrip().startswith(b"%PDF-") or (Kind.PDF in claims and b"%PDF-" in start):
        return Kind.PDF
    if data.startswith(b"PK\x03\x04"):
        if b"[Content_Types].xml" in data and b"word/" in data:
            return Kind.DOCX
        if Kind.DOCX in claims:
            raise InkwireError("document_unreadable", detail="It is a ZIP archive, but no Word document (DOCX).")
        raise InkwireError("unsupported_document")
    if data.startswith(_OLE2):
        if Kind.DOCX in claims:
            raise InkwireError(
                "document_unreadable", detail="It has a password, or is in Word's format of before 2007."
            )
        raise InkwireError("unsupported_document")
    return None


def _refuse_binary(data: bytes) -> None:
    """Let text of any encoding pass, and nothing else."""
    head = data[:SNIFF_BYTES]
    if head.startswith(_TEXTUAL_BUT_NO_TEXT):
        raise InkwireError("unsupported_document")
    if head.startswith(_BOMS[1:]) or utf16_without_bom(head) is not None:
        return
    controls = sum(head.count(byte) for byte in range(32) if byte not in b"\t\n\r\x0c\x1b")
    if controls > max(len(head) * MAX_CONTROL_SHARE, 1):
        raise InkwireError("unsupported_document")


def utf16_without_bom(head: bytes) -> str | None:
    """The codec of UTF-16 that does not say so: nearly every second byte is zero, and nearly none of the others."""
    pairs = len(head) // 2
    if pairs < 2:
        return None
    even, odd = head[0 : pairs * 2 : 2].count(0), head[1 : pairs * 2 : 2].count(0)
    for zeros, others, codec in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros > pairs * 0.4 and others < pairs * 0.05:
            return codec
    return None


def _without_bom(head: bytes) -> bytes:
    for mark in _BOMS:
        if head.startswith(mark):
            rest = head[len(mark) :]
            return rest.replace(b"\0", b"") if mark is not codecs.BOM_UTF8 else rest
    return head
