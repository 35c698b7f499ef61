"""HTML and Word files of hostile and of ordinary Markdown."""

import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from typing import Any

import pytest
from docx import Document
from lxml import etree

from inkwire_api.adapters import exports, html, markup
from inkwire_api.adapters.docx import MAX_COLUMNS, as_docx
from inkwire_api.adapters.exports import FORMS, Exports
from inkwire_api.articles import Article
from inkwire_contracts.errors import InkwireError

TRICKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](<java\nscript:alert(1)>)",
    "[x](javascript&colon;alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](%6aavascript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "![x](data:image/svg+xml;base64,PHN2Zy9vbmxvYWQ9YWxlcnQoMSk+)",
    "![x](javascript:alert(1))",
    "![x](http://tracker.example/pixel.png)",
    '[x](http://a.example/" onmouseover="alert(1))',
    "[x](http://a.example 'title\" onclick=\"alert(1)')",
    "[x]: javascript:alert(1)\n\n[x]",
    "<javascript:alert(1)>",
    "<data:text/html,x>",
    "[x](//evil.example)",
    "[x](file:///etc/passwd)",
    "`<script>alert(1)</script>`",
    "```html\n<script>alert(1)</script>\n```",
    '```" onclick="alert(1)\nx\n```',
    "| <script>alert(1)</script> |\n|---|\n| <img src=x onerror=alert(1)> |",
    "</main></body><script>alert(1)</script>",
    "<style>@import 'http://evil.example'</style>",
    "<base href='http://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<form action=http://evil.example><input name=a></form>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<x onclick=alert(1) style=position:fixed;inset:0>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
)
ALLOWED = html.TAGS | {"html", "head", "meta", "title", "style", "body", "header", "main", "footer"}
ALLOWED_ATTRIBUTES = {"href", "title", "start", "class", "rel"}


class Elements(HTMLParser):
    """What a browser would make of a page, as far as a tokenizer can tell."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def made(text: str, **fields: Any) -> Article:
    known: dict[str, Any] = {
        "id": "p",
        "recipe": "blog",
        "status": "published",
        "title": "T",
        "description": "D",
        "tags": ("a",),
        "date": "2026-01-02T03:04:05.678Z",
        "sha256": "0" * 64,
        "target_words": 100,
    }
    return Article(text=text, **{**known, **fields})


def word(text: str, **fields: Any) -> Any:
    return Document(BytesIO(as_docx(made(text, **fields))))


def addresses(raw: bytes) -> Iterator[str]:
    """Where a Word file's links lead."""
    with zipfile.ZipFile(BytesIO(raw)) as file:
        tree = etree.fromstring(file.read("word/_rels/document.xml.rels"))
    yield from (one.get("Target") for one in tree if one.get("TargetMode") == "External")


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_becomes_markup(trick: str) -> None:
    """Only elements of Markdown, no handler, no class but alignment, links to allowed places, nothing loaded."""
    for text in (trick, f"# {trick}", f"> - {trick}", f"a {trick} b"):
        page = Elements(html.body(text))
        for tag, attributes in page.found:
            assert tag in html.TAGS
            assert attributes.keys() <= ALLOWED_ATTRIBUTES
            assert set((attributes.get("class") or "").split()) <= html.ALIGNMENTS
            href = attributes.get("href")
            assert href is None or href.startswith(("http://", "https://", "mailto:"))


def test_no_trick_becomes_a_bad_link_in_word() -> None:
    """All of them in one file: it opens, and its links lead to allowed places only."""
    text = "\n\n".join(line for trick in TRICKS for line in (trick, f"> - {trick}"))
    found = list(addresses(as_docx(made(f"[good](https://a.example)\n\n{text}"))))
    assert "https://a.example" in found
    assert all(address.startswith(("http://", "https://", "mailto:")) for address in found)


@pytest.mark.parametrize("trick", TRICKS)
def test_a_hostile_title_is_text(trick: str) -> None:
    """Title, description, tags and status come from models and people too: the page's own elements stay as they are."""
    usual = [tag for tag, _ in Elements(html.as_html(made("x")).decode()).found]
    page = html.as_html(made("x", title=trick, description=trick, tags=(trick,))).decode()
    assert [tag for tag, _ in Elements(page).found] == usual
    assert set(usual) <= ALLOWED


def test_the_page_runs_nothing_and_loads_nothing() -> None:
    """Its own policy forbids scripts and other places; the one style sheet is the one that the policy knows."""
    page = html.as_html(made("# T\n"))
    assert b"default-src &#x27;none&#x27;" in page
    assert b"unsafe" not in page and b"<script" not in page and b"<link" not in page
    assert FORMS["html"].headers == {"Content-Security-Policy": f"sandbox; {html.POLICY}"}


def test_ordinary_markdown_becomes_html() -> None:
    """Headings, lists, emphasis, code, quotes, tables with alignment, links; an image is a link to it."""
    text = (
        "# H\n\n*e* **s** ~~d~~ `c` [l](https://a.example)\n\n3. x\n4. y\n\n> q\n\n```py\n<b>\n```\n\n"
        "| a | b |\n|---|--:|\n| 1 | 2 |\n\n![alt](https://a.example/i.png)\n"
    )
    shown = html.body(text)
    for part in (
        "<h1>H</h1>",
        "<em>e</em> <strong>s</strong> <s>d</s> <code>c</code>",
        '<a href="https://a.example" rel="noopener noreferrer nofollow">l</a>',
        '<ol start="3">',
        "<blockquote>\n<p>q</p>",
        "<pre><code>&lt;b&gt;\n</code></pre>",
        '<td class="right">2</td>',
        '<a href="https://a.example/i.png" rel="noopener noreferrer nofollow">alt</a>',
    ):
        assert part in shown
    assert "<img" not in shown


@pytest.mark.parametrize("url", ["", "x", "/x", "#x", "http:", "http:///x", "mailto:", "http://[", "ftp://a", "//a"])
def test_where_a_link_must_not_lead(url: str) -> None:
    """Only absolute addresses of the three kinds."""
    assert markup.safe_url(url) is None


def test_ordinary_markdown_becomes_a_word_file() -> None:
    """Word's own styles, so that its navigation and themes work; facts are in the file's properties."""
    text = (
        "# H\n\n## I\n\n*e* **s** `c` [l](https://a.example)\nsoft\n\n"
        "- a\n  - b\n\n  more\n\n> q\n\n```py\nx = 1\ny\n```\n\n"
        "| a | b |\n|---|:-:|\n| **1** | 2 |\n\n---\n"
    )
    file = word(text)
    assert [(p.style.name, p.text) for p in file.paragraphs if p.text] == [
        ("Heading 1", "H"),
        ("Heading 2", "I"),
        ("Normal", "e s c l soft"),
        ("List Bullet", "a"),
        ("List Bullet 2", "b"),
        ("List Continue", "more"),
        ("Quote", "q"),
        ("Inkwire Code", "x = 1\ny"),
    ]
    runs = {run.text: run for run in file.paragraphs[2].runs}
    assert runs["e"].italic and runs["s"].bold and runs["c"].font.name == "Consolas"
    [link] = file.paragraphs[2].hyperlinks
    assert (link.text, link.address) == ("l", "https://a.example")
    [table] = file.tables
    assert [[cell.text for cell in row.cells] for row in table.rows] == [["a", "b"], ["1", "2"]]
    about = file.core_properties
    assert (about.title, about.subject, about.keywords, about.created.year) == ("T", "D", "a", 2026)


def test_each_numbered_list_begins_anew() -> None:
    """Two lists in one file have numberings of their own, and their own beginnings."""
    file = word("1. a\n2. b\n\nx\n\n7. c\n8. d\n")
    items = [p for p in file.paragraphs if p.style.name == "List Number"]
    numbers = [p._p.pPr.numPr.numId.val for p in items]
    assert numbers[0] == numbers[1] != numbers[2] == numbers[3]
    starts = [
        num.lvlOverride_lst[0].startOverride.val
        for num in file.part.numbering_part.element.num_lst
        if num.numId in numbers
    ]
    assert starts == [1, 7]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00\x01\x0b\ufffe a",
        "&#1; &#0; &#xFFFF; `&#2;`",
        "- " * 40 + "x",
        "> " * 40 + "x",
        "1. a\n\n   ```\n   x\n   ```\n   > q\n",
        "- | a |\n  |---|\n  | b |\n",
        "|" + "a|" * 100 + "\n|" + "-|" * 100 + "\n|" + "b|" * 100,
        "[x](http://a.example/\u202e)\n\n***\n***\n",
        "- \n-\n\n1.\n",
        "![](http://a.example) [](http://a.example) ![[a](b)](http://a.example)",
    ],
)
def test_odd_text_still_is_a_word_file(text: str) -> None:
    """What XML cannot hold, deep nesting, very wide tables and empty parts: a file that opens, and always the same."""
    assert as_docx(made(text)) == as_docx(made(text))
    for table in word(text).tables:
        assert len(table.columns) <= MAX_COLUMNS
    Elements(html.body(text))


def test_long_properties_fit() -> None:
    """Word takes 255 characters, without what XML cannot hold."""
    about = word("x", title="t\x01" * 400, tags=("tag",) * 200, date="?").core_properties
    assert about.title == "t" * 255 and len(about.keywords) == 255


async def test_a_text_is_only_taken_apart_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it HTML and Word are refused; Markdown and JSON carry any text."""
    monkeypatch.setattr(exports, "MAX_RENDERED_CHARS", 10)
    for name, form in FORMS.items():
        made_file = Exports().file(made("x" * 11), form)
        if name in ("markdown", "json"):
            assert b"x" * 11 in await made_file
        else:
            with pytest.raises(InkwireError) as caught:
                await made_file
            assert caught.value.code == "too_long_to_render"


async def test_who_waits_too_long_for_a_turn_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are made a few at a time; the turn is given back whatever happens."""
    monkeypatch.setattr(exports, "RENDERING_WAIT_S", 0.01)
    monkeypatch.setattr(exports, "RENDERINGS_AT_ONCE", 0)
    with pytest.raises(InkwireError) as caught:
        await Exports().file(made("x"), FORMS["html"])
    assert caught.value.code == "rate_limited"
    monkeypatch.undo()
    making = Exports()
    for _ in range(3):
        with pytest.raises(AttributeError):
            await making.file(None, FORMS["markdown"])  # type: ignore[arg-type]
    assert await making.file(made("x"), FORMS["markdown"])
