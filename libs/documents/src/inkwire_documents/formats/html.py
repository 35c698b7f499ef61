"""HTML as its reader would see it: blocks in order, headings, lists and tables as text, nothing that is hidden."""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from inkwire_documents.blocks import Block, clean_heading
from inkwire_documents.formats.decoding import decode_html
from inkwire_documents.formats.reading import Progress, Reading
from inkwire_documents.limits import Limits

_NEVER_SHOWN = frozenset(
    "script style template noscript head iframe frameset object embed applet canvas audio video svg math select"
    " datalist textarea".split()
)
_HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
_BLOCKS = _HEADINGS | frozenset(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure"
    " footer form header hgroup hr html legend li main menu nav ol p pre section summary table tbody tfoot thead tr ul"
    " optgroup search".split()
)
_ITEM = "- "
_CELLS = frozenset({"td", "th"})
_LISTS = frozenset({"ul", "ol", "menu", "dir"})
_HIDDEN_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|(?:font-size|opacity)\s*:\s*0(?![.\d]*[1-9])",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"[ \t\n\r\f]+")


def read_html(data: bytes, limits: Limits, progress: Progress) -> Reading:
    """HTML in whatever encoding it is or says it is."""
    return Reading(None, html_blocks(decode_html(data)))


def html_blocks(source: str) -> Iterator[Block]:
    """The blocks of a page or a piece of one."""
    try:
        root = LexborHTMLParser(source.replace("\0", "").encode("utf-8", "replace")).root
    except SelectolaxError as error:
        raise MemoryError from error  # nothing else makes it give up: to HTML every text is a page
    return iter(()) if root is None else _Walk().through(root)


class _Walk:
    """One pass through the tree without recursion, however deep it is."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._heading = ""
        self._preformatted = self._tables = self._lists = 0
        self._cells: list[int] = []  # where the text of each open cell begins

    def through(self, root: LexborNode) -> Iterator[Block]:
        node: LexborNode | None = root
        entering = True
        while node is not None:
            child = None
            if entering:
                yield from self._enter(node)
                child = node.first_child if _shown(node) else None
            if child is not None:
                node = child
                continue
            yield from self._leave(node)
            if node.mem_id == root.mem_id:  # equality would compare all below
                break
            following = node.next
            entering = following is not None
            node = following if following is not None else node.parent
        yield from self._flush()

    def _enter(self, node: LexborNode) -> Iterator[Block]:
        if node.is_text_node:
            self._say(node.text_content or "")
            return
        tag = node.tag or ""
        if tag in _NEVER_SHOWN or not _shown(node):
            return
        if tag == "br":
            self._text.append("\n")
        elif tag in _BLOCKS:
            yield from self._border(tag)
        self._count(tag, 1)
        if tag == "li":
            self._text.append("\n" + "  " * (self._lists - 1) + _ITEM)
        elif tag in _CELLS:
            self._cells.append(len(self._text))

    def _leave(self, node: LexborNode) -> Iterator[Block]:
        if not node.is_element_node or not _shown(node):
            return
        tag = node.tag or ""
        self._count(tag, -1)
        if tag in _CELLS and self._cells:
            start = self._cells.pop()
            self._text[start:] = [" ".join("".join(self._text[start:]).split()), " | "]
        elif tag in _HEADINGS and not self._tables:
            heading = clean_heading("".join(self._text))
            self._heading = heading or self._heading
            yield from self._flush()
        elif tag in _BLOCKS:
            yield from self._border(tag)

    def _border(self, tag: str) -> Iterator[Block]:
        """A block begins or ends: inside a table or list that is a blank or a line, elsewhere a new block."""
        if self._tables:
            self._text.append("\n" if tag in {"tr", "caption"} else " ")
        elif self._lists:
            if self._text and not self._text[-1].endswith(_ITEM):
                self._text.append("\n")
        else:
            yield from self._flush()

    def _count(self, tag: str, by: int) -> None:
        if tag == "pre":
            self._preformatted = max(self._preformatted + by, 0)
        elif tag == "table":
            self._tables = max(self._tables + by, 0)
        elif tag in _LISTS:
            self._lists = max(self._lists + by, 0)

    def _say(self, text: str) -> None:
        self._text.append(text if self._preformatted else _BLANKS.sub(" ", text))

    def _flush(self) -> Iterator[Block]:
        if not self._text:
            return
        text = "".join(self._text)
        self._text.clear()
        text = "\n".join(line for line in map(_whole_row, text.split("\n")) if line.strip(" |") not in {"", "-"})
        if text:
            yield Block(text, heading=self._heading)


def _whole_row(line: str) -> str:
    """Without the mark behind a row's last cell."""
    line = line.rstrip(" ")
    return line.removesuffix("|").strip(" ") if line.endswith(" |") else line


def _shown(node: LexborNode) -> bool:
    if not node.is_element_node:
        return not node.is_comment_node
    tag = node.tag or ""
    if tag in _NEVER_SHOWN:
        return False
    said = node.attributes
    if "hidden" in said or (tag == "dialog" and "open" not in said):
        return False
    return not _HIDDEN_STYLE.search(said.get("style") or "")
