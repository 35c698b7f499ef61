"""Exports of whatever a model may write: markup of ours only, and files that open."""

import zipfile
from html.parser import HTMLParser
from io import BytesIO

import yaml
from docx import Document
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwire_api.adapters import html
from inkwire_api.adapters.docx import as_docx
from inkwire_api.articles import Article, as_markdown

PIECES = (
    "# ", "- ", "1. ", "> ", "    ", "\n", "\n\n", "```", "`", "*", "**", "_", "~~", "|", "\n|-|-|\n", "[", "](",
    ")", "![", "<", ">", "</", "<script>", "<img src=x onerror=alert(1)>", "javascript:", "data:text/html,",
    "http://a.example/", "&#", "&lt;", ";", '"', "'", " style=", " onclick=", "<!--", "-->", "]]>", "---", "\\",
    "\u0000", "\u000b", "\u202e", "\ufffe", "word ",
)  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=60).map("".join)
ALLOWED_ATTRIBUTES = {"href", "title", "start", "class", "rel"}


def made(text: str, title: str = "T") -> Article:
    return Article("p", "blog", "published", title, title, (title,), "2026-01-02T03:04:05.678Z", text, "0" * 64, 1)


class Checked(HTMLParser):
    """Fails at the first element or attribute that is not ours."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in html.TAGS
        for name, value in attrs:
            assert name in ALLOWED_ATTRIBUTES
            assert name != "href" or (value or "").startswith(("http://", "https://", "mailto:"))


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_html_of_any_text_is_harmless(text: str) -> None:
    """No element, attribute or address but those that Markdown may have."""
    parser = Checked()
    parser.feed(html.body(text))
    parser.close()


@settings(max_examples=40, deadline=None)
@given(TEXTS, st.text(max_size=300))
def test_a_word_file_of_any_text_opens(text: str, title: str) -> None:
    """Whatever the text and the title hold; and the same article is the same file."""
    raw = as_docx(made(text, title))
    assert zipfile.ZipFile(BytesIO(raw)).testzip() is None
    Document(BytesIO(raw))


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.text(max_size=40))
def test_front_matter_of_any_title_is_yaml(text: str, title: str) -> None:
    """It reads back as it was, and the text follows byte for byte."""
    whole = as_markdown(made(text, title)).decode()
    front, _, body = whole.removeprefix("---\n").partition("\n---\n\n")
    assert yaml.safe_load(front)["title"] == title
    assert body == text
