"""What an upload is."""

import pytest

from inkwire_contracts.errors import InkwireError
from inkwire_documents.kinds import Kind, kind_of
from tests.support.documents import docx_of, pdf

DOCX = docx_of("x")
PDF = pdf(["x"])
ZIP = b"PK\x03\x04" + b"another archive"
OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


@pytest.mark.parametrize(
    ("data", "name", "media_type", "kind"),
    [
        (b"text", "notes.txt", "text/plain", Kind.TEXT),
        (b"text", "notes", None, Kind.TEXT),
        (b"a,b", "data.csv", "text/csv", Kind.TEXT),
        (b"print()", "code.py", "application/octet-stream", Kind.TEXT),
        (b"# t", "README.MD", "", Kind.MARKDOWN),
        (b"# t", "notes", "text/markdown; charset=utf-8", Kind.MARKDOWN),
        (b"# t", "notes.md", "text/plain", Kind.MARKDOWN),
        (b"<p>x", "page.html", None, Kind.HTML),
        (b"<p>x", "page", "text/html", Kind.HTML),
        (b"<?xml version='1.0'?><!-- x --> <!DOCTYPE HTML><p>x", "page.txt", "text/plain", Kind.HTML),
        ("<html ><p>x".encode("utf-16"), "page", None, Kind.HTML),
        (b"<html> is how pages begin", "about-html.md", None, Kind.MARKDOWN),
        ("Größe".encode("utf-16"), "notes.txt", None, Kind.TEXT),
        ("plain".encode("utf-16-le"), "notes.txt", None, Kind.TEXT),
        ("Größe".encode("latin-1"), "notes.txt", None, Kind.TEXT),
        ("日本語".encode("iso2022_jp"), "notes.txt", None, Kind.TEXT),
        (PDF, "a.pdf", "application/pdf", Kind.PDF),
        (PDF, "a.txt", "text/plain", Kind.PDF),
        (b"mail header\r\n" + PDF, "a.pdf", None, Kind.PDF),
        (b"about %PDF- files", "a.txt", None, Kind.TEXT),
        (DOCX, "a.docx", Kind.DOCX.value, Kind.DOCX),
        (DOCX, "a", "application/octet-stream", Kind.DOCX),
        (DOCX, "a.zip", "application/zip", Kind.DOCX),
    ],
)
def test_type_name_and_content_agree_on_a_kind(data: bytes, name: str, media_type: str | None, kind: Kind) -> None:
    """What packed formats are is in their bytes; what a text is meant as, in its name, its type, its beginning."""
    assert kind_of(data, name, media_type) is kind


@pytest.mark.parametrize(
    ("data", "name", "media_type"),
    [
        (PNG, "a.png", "image/png"),
        (PNG, "a.txt", "text/plain"),
        (b"\0\0\0", "a.txt", None),
        (ZIP, "a.zip", "application/zip"),
        (OLE2, "a.doc", "application/msword"),
        (b"{\\rtf1 text}", "a.txt", None),
        (b"%!PS-Adobe", "a.ps", None),
        (b"old words", "a.doc", None),
    ],
)
def test_other_kinds_are_not_supported(data: bytes, name: str, media_type: str | None) -> None:
    """Binary content is no text, whatever it is called; and some names promise what nobody here can read."""
    with pytest.raises(InkwireError) as caught:
        kind_of(data, name, media_type)
    assert caught.value.code == "unsupported_document"


@pytest.mark.parametrize(
    ("data", "name", "media_type", "part"),
    [
        (b"plain text", "a.pdf", None, "says PDF"),
        (b"plain text", "a", "application/pdf", "says PDF"),
        (b"<html>", "a.docx", None, "says Word document"),
        (ZIP, "a.docx", None, "ZIP archive"),
        (OLE2, "a.docx", None, "password"),
    ],
)
def test_a_false_promise_is_told(data: bytes, name: str, media_type: str | None, part: str) -> None:
    """A file that is not what it is called cannot be read, and its owner learns what it is not."""
    with pytest.raises(InkwireError) as caught:
        kind_of(data, name, media_type)
    assert caught.value.code == "document_unreadable"
    assert part in str(caught.value)


def test_nothing_is_empty() -> None:
    """A file without a byte has no kind."""
    with pytest.raises(InkwireError) as caught:
        kind_of(b"", "a.pdf", "application/pdf")
    assert caught.value.code == "document_empty"


def test_a_beginning_of_comments_costs_nothing() -> None:
    """What looks for the start of a page does not try again and again."""
    assert kind_of(b"<!-- a -->" * 6_000 + b"<p>", "a.txt") is Kind.TEXT
    assert kind_of(b"<!-- a --" * 6_000, "a.txt") is Kind.TEXT
