"""Plain text and Markdown."""

from inkwire_documents.formats.plain import read_markdown, read_text
from tests.support.documents import blocks_of

HANDBOOK = """\
Before it all.

# Hand*book* of `work`

One
two.

    # not a heading

```
# neither
```

Section two
-----------

- a
- b

  c

| Name | Days |
|------|------|
| Ann  | 3    |

[link]: https://example.org "defined"
"""


def test_plain_text_is_its_paragraphs() -> None:
    """Blank lines part paragraphs; nothing else is changed."""
    blocks = blocks_of(read_text, b"One\r\ntwo\r\n \r\n\r\n# three\r\n")
    assert [block.text for block in blocks] == ["One\ntwo", "# three"]


def test_markdown_keeps_its_source_under_its_headings() -> None:
    """Headings are told as people see them, code is no heading, and definitions are not lost."""
    assert [(block.heading, block.text) for block in blocks_of(read_markdown, HANDBOOK.encode()) if block.text] == [
        ("", "Before it all."),
        ("Handbook of work", "Handbook of work"),
        ("Handbook of work", "One\ntwo."),
        ("Handbook of work", "    # not a heading"),
        ("Handbook of work", "```\n# neither\n```"),
        ("Section two", "Section two"),
        ("Section two", "- a\n- b\n\n  c"),
        ("Section two", "| Name | Days |\n|------|------|\n| Ann  | 3    |"),
        ("Section two", '[link]: https://example.org "defined"'),
    ]


def test_html_in_markdown_is_read_as_html() -> None:
    """What a page would not show is not there: comments, scripts, hidden elements."""
    source = b"<div hidden>no</div>\n\n<table><tr><td>a<td>b</table>\n\nText<!-- no --> here.\n\n<!-- no\n\nno -->"
    assert [block.text for block in blocks_of(read_markdown, source) if block.text] == ["a | b", "Text here."]


def test_an_empty_text_says_nothing() -> None:
    """Blanks make no blocks with text."""
    for reader in (read_text, read_markdown):
        assert not any(block.text.strip() for block in blocks_of(reader, b" \n\t\n \n"))
