"""HTML: what its reader would see."""

from inkwire_documents.formats.html import html_blocks, read_html
from tests.support.documents import blocks_of


def _texts(source: str) -> list[str]:
    return [block.text for block in html_blocks(source)]


def test_headings_paragraphs_and_breaks_are_blocks_in_order() -> None:
    """Inline elements stay in their paragraph; each block knows the heading above it."""
    source = "before<h1>Hand <em>book</em></h1><p>One <b>two</b>\n  three<br>four</p><div>five</div><h2>Next</h2>six"
    assert [(block.heading, block.text) for block in html_blocks(source)] == [
        ("", "before"),
        ("Hand book", "Hand book"),
        ("Hand book", "One two three\nfour"),
        ("Hand book", "five"),
        ("Next", "Next"),
        ("Next", "six"),
    ]


def test_what_is_not_shown_is_not_text() -> None:
    """Scripts, styles, comments, templates, hidden elements and what hides by style are left out, with all inside."""
    hidden = (
        "<script>a</script>", "<style>b</style>", "<!-- c -->", "<template>d</template>", "<noscript>e</noscript>",
        "<span hidden>f<b>g</b></span>", "<span style='color:red; DISPLAY : none'><b>h</b></span>",
        "<span style='visibility:hidden'>i</span>", "<span style='font-size:0px'>j</span>", 
        "<svg><text>l</text></svg>", "<iframe>m</iframe>", "<span style='opacity:0.0'>n</span>",
    )  # fmt: skip
    assert _texts("a<dialog><p>no</p></dialog><div style='display:none'><h1>no</h1></div>b") == ["ab"]
    shown = "<span style='opacity:0.5;font-size:0.8em'>all</span>"
    assert _texts(f"<head><title>t</title></head><p>seen {''.join(hidden)}{shown}</p>") == ["seen all"]


def test_lists_are_one_block() -> None:
    """Items are lines, inner ones indented, whether their ends are written or not."""
    assert _texts("<ul><li>a<li>b <i>c</i><ul><li>d</ul><li><p>e</p></ul>after") == ["- a\n- b c\n  - d\n- e", "after"]


def test_tables_are_rows_of_cells() -> None:
    """A table is one block, a row one line, whatever stands in its cells."""
    source = "<table><caption>Fees</caption><tr><th>Name<th>Days<tr><td><p>Ann</p><p>Lee</p><td>3<tr><td><td></table>x"
    assert _texts(source) == ["Fees\nName | Days\nAnn Lee | 3", "x"]


def test_preformatted_text_keeps_its_lines() -> None:
    """Line ends and indentation inside pre are text."""
    assert _texts("<pre>if a:\n    b()\n</pre>") == ["if a:\n    b()"]


def test_entities_become_characters() -> None:
    """Named and numbered ones, and one that no text can hold is replaced."""
    assert _texts("<p>&lt;b&gt; &auml;&#x4e2d;&#xD800;&#0;</p>") == ["<b> ä中��"]


def test_broken_and_deep_markup_is_read_to_its_end() -> None:
    """Unclosed, wrongly nested and thousands of levels deep: the text is there."""
    assert _texts("<p>a<b>b<p>c</i>d</b><table><tr>e") == ["ab", "cde"]
    assert _texts("<div>" * 5_000 + "deep" + "</div>" * 20 + "less") == ["deep", "less"]


def test_the_named_encoding_is_used_if_it_fits() -> None:
    """A meta element names the encoding; where the bytes contradict it, they win."""
    said = '<meta charset="%s"><p>Größe</p>'
    assert [b.text for b in blocks_of(read_html, (said % "iso-8859-1").encode("iso-8859-1"))] == ["Größe"]
    assert [b.text for b in blocks_of(read_html, (said % "ascii").encode())] == ["Größe"]
    assert [b.text for b in blocks_of(read_html, (said % "no-such").encode("utf-16"))] == ["Größe"]
