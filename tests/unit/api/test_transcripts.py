"""Conversations to take away: who said what, in forms that no message can break out of."""

import json
import re
from html import escape
from io import BytesIO
from typing import Any

import pytest
import yaml
from docx import Document
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from inkwire_api.adapters.docx import transcript_as_docx
from inkwire_api.adapters.html import POLICY, transcript_as_html
from inkwire_api.answers import Joined
from inkwire_api.ports import Folded
from inkwire_api.transcripts import Transcript, transcript, transcript_as_json, transcript_as_markdown
from inkwire_contracts.conversations import Conversation, Member, Message
from inkwire_contracts.fold import Problem, Section, Snapshot
from inkwire_contracts.ids import idempotent_post_id

TALK, POST = idempotent_post_id("ana", "talk"), idempotent_post_id("ana", "post")
AT = "2026-11-21T09:58:48.193Z"
BREAKOUTS = [
    "# A heading\n\nText\n\nAnother\n===\n\n- # in a list",
    "```python\nnever closed",
    "~~~\n```\nnever closed",
    "<!-- never closed",
    "<script>alert(1)\n\n</div></main>",
    "<pre>\nnever closed",
    "text\r# after a carriage return\r\n## and another",
    "> quoted\n\n    code",
    "[a]: https://evil.example\n\n---\ntitle: other\n---",
    "| a | b |\n| - | - |\n| 1",
    "1. a\n   1. b\n\n      c",
]


def message(number: int, role: str = "user", content: str = "", **fields: Any) -> Message:
    values = {"message": idempotent_post_id("m", str(number)), "seq": number, "role": role, "content": content}
    return Message.model_validate({"author": "ana", "created_at": AT, **values, **fields})


def answered(number: int, text: str, status: str = "published", **fields: Any) -> Joined:
    section = Section(section="reply", title="", status="done", text=text, length=len(text))
    values = {"post": POST, "owner": "ana", "status": status, "sections": [section], **fields}
    answer = message(number, "assistant", author=None, post=POST)
    return Joined(answer, Folded(Snapshot.model_validate(values), "e"))


def talk(*joined: Joined, **fields: Any) -> Transcript:
    members = [Member(user="ana", name="Ana *B*", role="owner"), Member(user="ben", name="assistant")]
    values = {"conversation": TALK, "title": "Why <b>?", "members": members, "updated_at": AT, "created_at": AT}
    return transcript(Conversation.model_validate({**values, **fields}), joined)


def said(text: str) -> Joined:
    return Joined(message(1, content=text), None)


def outline(markdown: str) -> list[tuple[str, str]]:
    """The headings that stand in the file's own structure, raw HTML allowed as most readers do."""
    found = MarkdownIt("commonmark").parse(markdown)
    return [(t.tag, found[i + 1].content) for i, t in enumerate(found) if t.type == "heading_open" and t.level == 0]


def body_of(raw: bytes) -> str:
    return raw.decode().split("---\n\n", 1)[1]


def test_markdown_tells_who_said_what() -> None:
    """Under names and times, quoted; what is missing is said."""
    whole = talk(
        said("Why?\n\nReally"),
        answered(2, "Because."),
        Joined(message(3, "system", "Be kind."), None),
        Joined(message(4, content="Hm.", author="ben"), None),
        answered(5, "Half", "cancelled"),
        answered(6, "", "failed", error=Problem(code="x", message="The provider refused.")),
        Joined(message(7, content="Bye", author="gone"), None),
        answered(8, "So far", "generating"),
    )
    text = body_of(transcript_as_markdown(whole))
    at = "2026-11-21 09:58 UTC"
    assert text.startswith("# Why \\<b\\>?\n\n## Ana \\*B\\* \u00b7 " + at + "\n\n> Why?\n>\n> Really\n")
    headings = [heading for _, heading in outline(text)][1:]
    assert [re.split(r" \u00b7 ", h)[0] for h in headings] == [
        "Ana \\*B\\*",
        "Assistant",
        "Note",
        "assistant (member)",
        "Assistant",
        "Assistant",
        "gone",
        "Assistant",
    ]
    assert [h.rpartition(" \u00b7 ")[2] for h in headings[4:6]] == ["stopped", "failed"]
    assert headings[7].endswith("being written") and "> The provider refused." in text


def test_front_matter_is_yaml() -> None:
    """Whatever the title is."""
    raw = transcript_as_markdown(talk(said("x"), title='"---\n: #'))
    facts = yaml.safe_load(raw.decode().split("---\n", 2)[1])
    assert (facts["title"], facts["conversation"], facts["messages"]) == ('"---\n: #', TALK, 1)
    assert facts["members"] == ["Ana *B*", "assistant"]


@pytest.mark.parametrize("text", BREAKOUTS)
def test_no_message_reaches_beyond_its_end(text: str) -> None:
    """Its headings are none of the file's, and what it leaves open is closed by its end; in every form."""
    whole = talk(said(text), answered(2, text), said("The end."))
    headings = outline(body_of(transcript_as_markdown(whole)))
    assert [tag for tag, _ in headings] == ["h1", "h2", "h2", "h2"]
    html = transcript_as_html(whole).decode()
    main = html.split("<main", 1)[1].split("</main>", 1)[0]
    assert html.count("</main>") == 1 and "<script" not in html and main.count("<article>") == 3
    assert len(re.findall("<h[12]>", main)) == 4
    assert re.findall(r"<h2>[^<]*</h2>\n<p>The end.</p>\n</article>", main)
    word = Document(BytesIO(transcript_as_docx(whole)))
    styles = [p.style.name for p in word.paragraphs if p.style is not None and p.style.name.startswith("Heading")]
    assert styles.count("Heading 1") == 1 and styles.count("Heading 2") == 3
    assert word.paragraphs[-1].text == "The end."


@given(st.lists(st.text(st.sampled_from("ab#>-`~<!\n\r\t ='\"[]|1.*"), max_size=30), min_size=1, max_size=4))
def test_whatever_is_said_the_structure_stands(texts: list[str]) -> None:
    """One heading for the title and one for each message, and every word is there, in order."""
    whole = talk(*map(said, texts))
    text = body_of(transcript_as_markdown(whole))
    assert [tag for tag, _ in outline(text)] == ["h1", *["h2"] * len(texts)]
    quoted = [line[2:] for line in text.split("\n") if line.startswith(">")]
    lines = [line for t in texts if t for line in t.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    assert quoted == lines
    assert transcript_as_html(whole).decode().count("<article>") == len(texts)


def test_html_needs_nothing_and_does_nothing() -> None:
    """Names and titles are text, links lead to web pages only."""
    whole = talk(said("[x](javascript:alert(1)) ![y](https://x.example/y.png)"), title="</title><script>")
    html = transcript_as_html(whole).decode()
    assert "<script" not in html and "javascript:" not in html.replace("[x](javascript:alert(1))", "")
    assert f'content="{escape(POLICY)}"' in html and "<img" not in html


def test_json_has_all_that_is_known() -> None:
    """Text as it was said, and an answer's digest, error and costs."""
    answer = answered(2, "# Raw\r\n", sha256="f" * 64)
    whole = json.loads(transcript_as_json(talk(said("Why?"), answer)))
    assert [m["markdown"] for m in whole["messages"]] == ["Why?", "# Raw\r\n"]
    assert whole["messages"][1]["sha256"] == "f" * 64 and whole["messages"][1]["status"] == "published"
    assert whole["members"][0]["user"] == "ana" and "post" not in whole["messages"][0]


def test_the_same_conversation_is_the_same_bytes() -> None:
    """So that whoever has a file is not sent it again."""
    whole = talk(said("Why?"), answered(2, "Because."))
    for render in (transcript_as_markdown, transcript_as_html, transcript_as_json, transcript_as_docx):
        assert render(whole) == render(whole)
