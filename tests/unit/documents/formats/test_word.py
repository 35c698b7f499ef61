"""DOCX: text, headings, tables, notes; and archives made to do harm."""

from io import BytesIO

import docx
import pytest

from inkwire_documents.formats.reading import UnreadableError
from inkwire_documents.formats.word import read_docx
from inkwire_documents.limits import Limits
from tests.support.documents import ACCESS_CONTROL, REMOTE_WORK, blocks_of, docx_of, with_members

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
BOMB = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9)
)


def _body(xml: str) -> bytes:
    return with_members(
        docx_of("x"), {"word/document.xml": f"<w:document {W}><w:body>{xml}</w:body></w:document>".encode()}
    )


def _texts(data: bytes) -> list[str]:
    return [block.text for block in blocks_of(read_docx, data)]


def test_paragraphs_headings_lists_and_tables_in_order() -> None:
    """Styles make headings; list items and tables are told as text."""
    made = docx_of(
        ("Title", "Handbook"),
        REMOTE_WORK,
        ("Heading 2", "Access"),
        ("List Bullet", "first"),
        [["a", "b"], ["1", "2"]],
        "end",
    )
    assert [(block.heading, block.text.removeprefix("- ")) for block in blocks_of(read_docx, made)] == [
        ("Handbook", "Handbook"),
        ("Handbook", REMOTE_WORK),
        ("Access", "Access"),
        ("Access", "first"),
        ("Access", "a | b\n1 | 2"),
        ("Access", "end"),
    ]


def test_a_style_built_on_a_heading_is_a_heading() -> None:
    """Templates of companies have styles of their own."""
    made = docx.Document()
    style = made.styles.add_style("Company section", 1)
    style.base_style = made.styles["Heading 1"]  # type: ignore[attr-defined]
    made.add_paragraph("Ours", style="Company section")
    out = BytesIO()
    made.save(out)
    assert [block.heading for block in blocks_of(read_docx, out.getvalue())] == ["Ours"]


def test_what_word_does_not_show_is_not_text() -> None:
    """Deleted and hidden text goes; inserted text, fields' results, links and form fields stay."""
    xml = (
        "<w:p><w:r><w:t>kept </w:t></w:r><w:del><w:r><w:delText>gone</w:delText><w:t>gone</w:t></w:r></w:del>"
        "<w:ins><w:r><w:t>new </w:t></w:r></w:ins><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>"
        '<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>shown </w:t></w:r>'
        "<w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>a form's</w:t><w:tab/><w:t>field</w:t><w:br/></w:r></w:p></w:sdtContent>"
        "</w:sdt>"
    )
    assert _texts(_body(xml)) == ["kept new shown link", "a form's\tfield\n"]


def test_a_document_without_styles_is_read() -> None:
    """Programs that write no styles write documents all the same; nothing of ours is opened in their place."""
    package = docx.Document(BytesIO(docx_of("plain words"))).part.package
    part = package.main_document_part
    (styles,) = [key for key, relation in part.rels.items() if relation.reltype.endswith("/styles")]
    del part.rels[styles]
    out = BytesIO()
    package.save(out)
    assert _texts(out.getvalue()) == ["plain words"]


def test_a_table_in_a_table_stays_in_its_cell() -> None:
    """Nested tables are flattened into the outer one, and lose nothing."""
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p>{}</w:tc>"
    inner = f"<w:tbl><w:tr>{cell.format('in', '')}{cell.format('ner', '')}</w:tr></w:tbl>"
    assert _texts(_body(f"<w:tbl><w:tr>{cell.format('a', inner)}{cell.format('b', '')}</w:tr></w:tbl>")) == [
        "a in ner | b"
    ]


def test_text_boxes_are_read_once() -> None:
    """What Word writes a second time for older programs is not read twice."""
    box = "<w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent>"
    mc = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    both = (
        f"<mc:AlternateContent {mc}><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    )
    assert _texts(_body(f"<w:p><w:r><w:t>around</w:t></w:r><w:r>{both}</w:r></w:p>")) == ["box", "around"]


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (docx_of(ACCESS_CONTROL)[:3_000], "It is damaged or cut off."),
        (with_members(docx_of("x"), {"word/media/a.bin": bytes(2_000_000)}), "It unpacks to more than 1 MiB."),
        (with_members(docx_of("x"), {f"word/{n}": b"" for n in range(60)}), "It packs more than 50 files."),
        (with_members(docx_of("x"), {"word/document.xml": BOMB.encode()}), "It declares entities"),
        (with_members(docx_of("x"), {"word/styles.xml": b" " * 70_000 + BOMB.encode()}), "It declares entities"),
        (with_members(docx_of("x"), {"word/document.xml": BOMB.encode("utf-16")}), "It declares entities"),
        (with_members(docx_of("x"), {"word/document.xml": b"<a><b>"}), "It is damaged, or no Word document"),
        (with_members(docx_of("x"), {"[Content_Types].xml": b"<Types/>"}), "It is damaged, or no Word document"),
    ],
)
def test_archives_that_are_not_what_they_should_be(data: bytes, detail: str) -> None:
    """Bombs are refused by what they declare, before anything is unpacked whole."""
    limits = Limits(max_unpacked_bytes=1024 * 1024, max_members_count=50)
    with pytest.raises(UnreadableError, match=detail):
        blocks_of(read_docx, data, limits)


def test_sizes_that_lie_give_no_more_than_they_declare() -> None:
    """A member that unpacks to more than its declared size is damaged, not a way around the limit."""
    packed = with_members(docx_of("x"), {"word/media/zeros.xml": bytes(500_000)})
    assert (500_000).to_bytes(4, "little") in packed
    lying = packed.replace((500_000).to_bytes(4, "little"), (500).to_bytes(4, "little"))
    with pytest.raises(UnreadableError, match="damaged"):
        blocks_of(read_docx, lying)
