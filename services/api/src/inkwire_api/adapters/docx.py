"""An article, or a conversation, as a Word file (OOXML), made from the Markdown's tokens with Word's own styles."""

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from docx import Document
from docx.document import Document as WordDocument
from docx.enum.style import WD_STYLE_TYPE
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Pt, RGBColor
from docx.text.paragraph import Paragraph
from docx.text.run import Run
from markdown_it.token import Token

from inkwire_api.adapters import markup
from inkwire_api.articles import Article
from inkwire_api.transcripts import Transcript

MAX_COLUMNS = 63
"""Word's own limit; what is beyond it stands in the last cell."""
MAX_LIST_LEVEL = 3
"""Of the template's list styles; deeper ones look like the third."""
MAX_PROPERTY_CHARS = 255
MONOSPACED = "Consolas"
CODE_STYLE = "Inkwire Code"
FILE_TIME = (1980, 1, 1, 0, 0, 0)
"""Of the parts inside the file: the same article is the same bytes, always."""

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ALIGNMENTS = {"center": WD_ALIGN_PARAGRAPH.CENTER, "right": WD_ALIGN_PARAGRAPH.RIGHT}


def as_docx(found: Article) -> bytes:
    """The whole file."""
    word = _new()
    _describe(word, found.title, f"sha256:{found.sha256}", found.date)
    word.core_properties.subject = _property(found.description)
    word.core_properties.keywords = _property(", ".join(found.tags))
    _write(word, found.text)
    return _saved(word)


def transcript_as_docx(found: Transcript) -> bytes:
    """A conversation: each message under a heading with the name of who said it."""
    word = _new()
    _describe(word, found.title, f"conversation:{found.id}", found.updated_at)
    _add_run(word.add_heading(level=1), found.title)
    for turn in found.turns:
        _add_run(word.add_heading(level=2), turn.heading)
        _write(word, turn.shown_text, below=2)
    return _saved(word)


def _new() -> WordDocument:
    word = Document()
    code = word.styles.add_style(CODE_STYLE, WD_STYLE_TYPE.PARAGRAPH)
    code.font.name, code.font.size = MONOSPACED, Pt(9)
    return word


def _write(word: WordDocument, text: str, *, below: int = 0) -> None:
    _Writer(word).write(markup.tokens(_NOT_IN_XML.sub("\ufffd", text), below=below))


def _saved(word: WordDocument) -> bytes:
    raw = BytesIO()
    word.save(raw)
    return _at_fixed_time(raw)


def _describe(word: WordDocument, title: str, identifier: str, date: str) -> None:
    about = word.core_properties
    about.title = _property(title)
    about.identifier = identifier
    about.subject = about.keywords = ""
    about.author = about.last_modified_by = about.comments = ""
    at = _time(date)
    about.created = about.modified = at


def _property(text: str) -> str:
    return _NOT_IN_XML.sub("", text)[:MAX_PROPERTY_CHARS]


def _time(date: str) -> datetime:
    try:
        return datetime.fromisoformat(date).astimezone(UTC).replace(tzinfo=None)
    except ValueError:
        return datetime(*FILE_TIME)


def _at_fixed_time(raw: BytesIO) -> bytes:
    fixed = BytesIO()
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.infolist():
            target.writestr(zipfile.ZipInfo(part.filename, FILE_TIME), source.read(part), zipfile.ZIP_DEFLATED)
    return fixed.getvalue()


@dataclass
class _List:
    """An open list: ``number`` is its numbering's id, None for bullets."""

    number: int | None


@dataclass
class _Table:
    """An open table, its last row, and how many cells of it are written."""

    table: Any = None
    columns: int = 0
    rows: int = 0
    column: int = 0
    row: Sequence[Any] = ()


@dataclass
class _Look:
    """How the next piece of a paragraph is set."""

    bold: int = 0
    italic: int = 0
    strike: int = 0
    url: str | None = None


@dataclass
class _Writer:
    """Turns blocks into paragraphs, one after the other."""

    word: WordDocument
    lists: list[_List] = field(default_factory=list)
    quotes: int = 0
    heading: int = 0
    item_begins: bool = False
    table: _Table = field(default_factory=_Table)
    cell: Paragraph | None = None

    def write(self, found: Sequence[Token]) -> None:
        for index, token in enumerate(found):
            if token.type == "table_open":
                self._open_table(found, index)
            else:
                self._block(token)

    def _block(self, token: Token) -> None:
        match token.type:
            case "inline":
                self._inline(self.cell or self._paragraph(), token.children or ())
            case "fence" | "code_block":
                _add_run(self.word.add_paragraph(style=CODE_STYLE), token.content.rstrip("\n"))
            case "hr":
                _rule(self.word.add_paragraph())
            case "tr_open" | "th_open" | "td_open" | "table_close":
                self._table_part(token)
            case _:
                self._nest(token)

    def _nest(self, token: Token) -> None:
        match token.type:
            case "heading_open":
                self.heading = int(token.tag[1:])
            case "heading_close":
                self.heading = 0
            case "bullet_list_open":
                self.lists.append(_List(None))
            case "ordered_list_open":
                self.lists.append(_List(self._numbering(int(token.attrGet("start") or 1))))
            case "bullet_list_close" | "ordered_list_close":
                self.lists.pop()
            case "list_item_open":
                self.item_begins = True
            case "blockquote_open" | "blockquote_close":
                self.quotes += token.nesting
            case _:
                pass

    def _paragraph(self) -> Paragraph:
        if self.heading:
            heading: Paragraph = self.word.add_heading(level=self.heading)
            return heading
        if self.lists:
            return self._item()
        return self.word.add_paragraph(style="Quote" if self.quotes else None)

    def _item(self) -> Paragraph:
        level = min(len(self.lists), MAX_LIST_LEVEL)
        number = self.lists[-1].number
        begins, self.item_begins = self.item_begins, False
        kind = "List Continue" if not begins else "List Bullet" if number is None else "List Number"
        paragraph: Paragraph = self.word.add_paragraph(style=kind if level == 1 else f"{kind} {level}")
        if begins and number is not None:
            numbered: Any = paragraph._p.get_or_add_pPr().get_or_add_numPr()  # python-docx has no way to begin anew
            numbered.get_or_add_ilvl().val = 0
            numbered.get_or_add_numId().val = number
        return paragraph

    def _numbering(self, start: int) -> int:
        """A numbering of its own, so that each list counts from its own beginning."""
        level = min(len(self.lists) + 1, MAX_LIST_LEVEL)
        style: Any = self.word.styles["List Number" if level == 1 else f"List Number {level}"]
        numbering: Any = self.word.part.numbering_part.element
        of_style = style.element.pPr.numPr.numId.val
        number = numbering.add_num(numbering.num_having_numId(of_style).abstractNumId.val)
        number.add_lvlOverride(ilvl=0).add_startOverride(start)
        return int(number.numId)

    def _open_table(self, found: Sequence[Token], index: int) -> None:
        columns = 0
        for token in found[index:]:
            if token.type == "tr_close":
                break
            columns += token.type == "th_open"
        columns = min(max(columns, 1), MAX_COLUMNS)
        table = self.word.add_table(rows=0, cols=columns)
        table.style = self.word.styles["Table Grid"]
        self.table = _Table(table, columns=columns)

    def _table_part(self, token: Token) -> None:
        table = self.table
        if token.type == "table_close":
            self.cell = None
            self.word.add_paragraph()  # or the next table would grow together with this one
        elif token.type == "tr_open":
            table.row = table.table.add_row().cells
            table.column, table.rows = 0, table.rows + 1
        else:
            beyond = table.column >= table.columns
            cell = table.row[min(table.column, table.columns - 1)]
            self.cell = cell.add_paragraph() if beyond else cell.paragraphs[0]
            style = str(token.attrGet("style") or "")
            self.cell.alignment = _ALIGNMENTS.get(style.removeprefix("text-align:"))
            table.column += 1

    def _inline(self, paragraph: Paragraph, children: Sequence[Token]) -> None:
        look = _Look(bold=int(self.cell is not None and self.table.rows == 1))
        for child in children:
            match child.type:
                case "strong_open" | "strong_close":
                    look.bold += child.nesting
                case "em_open" | "em_close":
                    look.italic += child.nesting
                case "s_open" | "s_close":
                    look.strike += child.nesting
                case "link_open":
                    look.url = str(child.attrGet("href"))
                case "link_close":
                    look.url = None
                case "softbreak":
                    self._run(paragraph, " ", look)
                case "hardbreak":
                    paragraph.add_run().add_break()
                case _:
                    run = self._run(paragraph, child.content, look)
                    if child.type == "code_inline":
                        run.font.name = MONOSPACED

    def _run(self, paragraph: Paragraph, text: str, look: _Look) -> Run:
        run = _add_run(paragraph, text)
        run.bold, run.italic = look.bold > 0 or None, look.italic > 0 or None
        run.font.strike = look.strike > 0 or None
        if look.url is not None:
            _link(paragraph, run, look.url)
        return run


def _add_run(paragraph: Paragraph, text: str) -> Run:
    return paragraph.add_run(_NOT_IN_XML.sub("\ufffd", text))  # an entity may have brought one back


def _link(paragraph: Paragraph, run: Run, url: str) -> None:
    relation = paragraph.part.relate_to(_NOT_IN_XML.sub("", url), RELATIONSHIP_TYPE.HYPERLINK, is_external=True)
    link: Any = OxmlElement("w:hyperlink")
    link.set(qn("r:id"), relation)
    run.font.underline = True
    run.font.color.rgb = RGBColor(0x0B, 0x57, 0xD0)
    paragraph._p.append(link)  # python-docx writes no hyperlinks
    link.append(run._r)


def _rule(paragraph: Paragraph) -> None:
    borders: Any = OxmlElement("w:pBdr")
    line: Any = OxmlElement("w:bottom")
    for name, value in (("val", "single"), ("sz", "6"), ("space", "1"), ("color", "auto")):
        line.set(qn(f"w:{name}"), value)
    borders.append(line)
    paragraph._p.get_or_add_pPr().append(borders)
