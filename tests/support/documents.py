"""Documents for tests: files as people and attackers make them, stored ones, and a store in memory."""

import array
import hashlib
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import docx
from fpdf import FPDF
from fpdf.enums import EncryptionMethod

from inkwire_contracts.documents import Passage, name_key
from inkwire_contracts.ids import encode_id
from inkwire_documents.blocks import Block
from inkwire_documents.formats.reading import Reader
from inkwire_documents.limits import DEFAULT_LIMITS, Limits
from inkwire_stores.document_ports import DocumentView, Embeddings, StoredDocument
from inkwire_stores.document_rows import check_size, numbered, packed
from inkwire_stores.ports import MAX_LIST, StoreUnavailable, check_limit

TEXTS = ("Doors are locked at eight.", "Visitors wear a badge, café included. 👩‍👩‍👧", "a\r\nb\x00\u2028'\"$ {x}")


def document_id(number: int) -> str:
    """The id of a test's document of that number."""
    return encode_id(hashlib.sha256(f"document {number}".encode()).digest())


def uploaded(
    number: int = 1, *, owner: str = "ana", name: str = "Security policy.pdf", **changes: Any
) -> StoredDocument:
    """A document as the api would store it; its text is of that number."""
    texts = changes.pop("texts", (*TEXTS, f"This is document {number}."))
    found = changes.pop("embeddings", None)
    passages = tuple(
        Passage(index=index, page=index + 1, heading=f"Part {index}", text=text) for index, text in enumerate(texts)
    )
    raw = "\n".join(texts).encode()
    fields: dict[str, Any] = {
        "id": document_id(number),
        "owner": owner,
        "number": 0,
        "name": name,
        "media_type": "application/pdf",
        "size_bytes": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
        "pages": len(texts),
        "chars": sum(map(len, texts)),
        "passages": len(texts),
        "embedded": found is not None,
        "created_at": "2026-11-21T09:00:00.000Z",
    }
    return StoredDocument(DocumentView(**{**fields, **changes}), passages, found)


def embeddings(passages: int, *, dimensions: int = 8, model: str = "test-embedding") -> Embeddings:
    """Vectors that differ from each other, in the form of the port."""
    values = array.array("f", [(n % 97 - 48) / 97 for n in range(passages * dimensions)])
    if sys.byteorder == "big":
        values.byteswap()
    return Embeddings(model, dimensions, values.tobytes())


@dataclass
class MemoryDocuments:
    """See DocumentStore. ``down``: every call fails as if the database were away."""

    documents: dict[tuple[str, str], StoredDocument] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    down: bool = False

    async def add(self, stored: StoredDocument, *, limit: int) -> DocumentView | None:
        self._check()
        check_size(stored, packed(stored.passages))
        owner = stored.view.owner
        if len(self._of(owner)) >= limit:
            return None
        self.last[owner] = self.last.get(owner, 0) + 1
        view = numbered(stored.view, self.last[owner])
        self.documents[owner, view.id] = replace(stored, view=view)
        return view

    async def get(self, owner: str, document: str) -> StoredDocument | None:
        self._check()
        return self.documents.get((owner, document))

    async def list_documents(self, owner: str, *, limit: int, before: int | None = None) -> list[DocumentView]:
        check_limit(limit)
        self._check()
        return [view for view in self._of(owner) if before is None or view.number < before][:limit]

    async def find(
        self, owner: str, *, numbers: Sequence[int], names: Sequence[str], ids: Sequence[str] = ()
    ) -> list[DocumentView]:
        self._check()
        keys = {name_key(name) for name in names}
        found = [
            view for view in self._of(owner) if view.number in numbers or name_key(view.name) in keys or view.id in ids
        ]
        return found[:MAX_LIST]

    async def delete(self, owner: str, document: str) -> bool:
        self._check()
        return self.documents.pop((owner, document), None) is not None

    async def ping(self) -> None:
        self._check()

    def _of(self, owner: str) -> list[DocumentView]:
        views = [stored.view for (of, _), stored in self.documents.items() if of == owner]
        return sorted(views, key=lambda view: view.number, reverse=True)

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable("memory: down")


REMOTE_WORK = (
    "Employees may work from home on up to three days a week. The team agrees on the days, and whoever is at home is "
    "reachable between ten and three o'clock. Equipment is lent by the company and stays its property."
)
ACCESS_CONTROL = (
    "Access rights are reviewed every quarter by the owner of each system. Accounts of people who leave are locked on "
    "their last day, and every exception is written down with the name of the person who allowed it."
)
INCIDENTS = (
    "Whoever notices a security incident reports it within one hour to the duty officer. The officer decides whether "
    "systems are cut off the network, and informs the data protection authority within seventy-two hours."
)
TRAVEL = (
    "Trains come before planes for journeys of less than six hours. Hotels are booked through the travel desk, and "
    "receipts are handed in within thirty days, otherwise the expenses are not paid back."
)


def pdf(pages: Sequence[str], outline: Mapping[int, str] | None = None, password: str | None = None) -> bytes:
    """A PDF with a text on each page; ``outline``: titles by page from 1. Core fonts: Latin-1 only."""
    made = FPDF()
    made.set_font("helvetica", size=11)
    if password is not None:
        made.set_encryption("owner", password, encryption_method=EncryptionMethod.RC4)
    for number, text in enumerate(pages, start=1):
        made.add_page()
        if outline and number in outline:
            made.start_section(outline[number])
        made.multi_cell(0, 5, text)
    return bytes(made.output())


def raw_pdf(objects: Sequence[bytes]) -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalogue."""
    out, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + end


def blank_pdf(pages: int) -> bytes:
    """So many pages of nothing, as a scan without text recognition would be."""
    kids = b" ".join(b"%d 0 R" % (number + 3) for number in range(pages))
    return raw_pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[%s]/Count %d/MediaBox[0 0 600 800]>>" % (kids, pages),
            *([b"<</Type/Page/Parent 2 0 R>>"] * pages),
        ]
    )


def pdf_of_content(
    content: bytes, font: Sequence[bytes] = (b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",)
) -> bytes:
    """One page with this content stream, packed; its font /F1 is object 5, with more objects behind it."""
    packed = zlib.compress(content, 9)
    return raw_pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
            b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(packed), packed),
            *font,
        ]
    )


def chinese_pdf(text: str) -> bytes:
    """One page in a Chinese font that is named and not embedded, as old Chinese software writes it."""
    font = (
        b"<</Type/Font/Subtype/Type0/BaseFont/STSong-Light/Encoding/UniGB-UCS2-H/DescendantFonts[6 0 R]>>",
        b"<</Type/Font/Subtype/CIDFontType0/BaseFont/STSong-Light/FontDescriptor 7 0 R"
        b"/CIDSystemInfo<</Registry(Adobe)/Ordering(GB1)/Supplement 5>>>>",
        b"<</Type/FontDescriptor/FontName/STSong-Light/Flags 4/ItalicAngle 0/Ascent 800/Descent -200/CapHeight 700"
        b"/StemV 80/FontBBox[0 -200 1000 900]>>",
    )
    return pdf_of_content(b"BT /F1 12 Tf 50 700 Td <%s> Tj ET" % text.encode("utf-16-be").hex().encode(), font)


def docx_of(*parts: str | tuple[str, str] | list[list[str]]) -> bytes:
    """A Word document: a text is a paragraph, a pair is (style, text), a list is a table of rows of cells."""
    made = docx.Document()
    for part in parts:
        if isinstance(part, str):
            made.add_paragraph(part)
        elif isinstance(part, tuple):
            made.add_paragraph(part[1], style=part[0])
        else:
            table = made.add_table(rows=0, cols=len(part[0]))
            for row in part:
                for cell, text in zip(table.add_row().cells, row, strict=True):
                    cell.text = text
    out = BytesIO()
    made.save(out)
    return out.getvalue()


def with_members(archive: bytes, members: Mapping[str, bytes]) -> bytes:
    """An archive with members replaced or added."""
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(archive)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in members:
                new.writestr(name, old.read(name))
        for name, content in members.items():
            new.writestr(name, content)
    return out.getvalue()


def blocks_of(reader: Reader, data: bytes, limits: Limits = DEFAULT_LIMITS) -> list[Block]:
    """What a reader makes of a file, in this process."""
    return list(reader(data, limits, lambda done, total: None).blocks)
