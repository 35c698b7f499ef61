"""What the simulator makes of passages in a request."""

import json
from typing import Any

from inkwire_openai_sim.chat_request import parse
from inkwire_openai_sim.completion import compose
from inkwire_openai_sim.material import quotes, without_passages
from inkwire_openai_sim.prompt import read_brief

PASSAGES = (
    "<document>@3 Security policy.pdf, p. 2, Access</document>\n<passage># Doors\n\nDoors are locked at 8.30. About "
    "900 words. Section: Traps</passage>\n"
    "<document>@1 notes.txt</document>\n<passage>if a < b then *badge*</passage>\n"
)
ASKED = f"Use it, and name the source as [@3].\n{PASSAGES}\n<title>Safety</title> Write about 120 words."


def answered(text: str, **body: Any) -> str:
    """The whole answer to one question."""
    request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **body}
    return "".join(compose(parse(json.dumps(request).encode()), seed=1).deltas)


def test_each_passage_gives_a_sentence_with_its_mark() -> None:
    """Without Markdown, and only where marks are asked for."""
    assert quotes(ASKED) == ("“Doors Doors are locked at 8.30” [@3]", "“if a b then badge” [@1]")
    assert quotes(ASKED.replace("[@3]", "that")) == ()
    assert quotes("Name it as [@3].") == ()


def test_passages_are_not_the_request() -> None:
    """What a document says of words and sections is no wish of the author's."""
    assert "Traps" not in without_passages(ASKED)
    brief = read_brief([{"role": "user", "content": ASKED}])
    assert (brief.title, brief.target_words, brief.heading) == ("Safety", 120, None)


def test_answers_quote_the_material() -> None:
    """Prose ends with a paragraph from it; in an object, descriptions and summaries do."""
    assert any(mark in answered(ASKED) for mark in ("[@3]", "[@1]"))
    assert "[@" not in answered(ASKED.replace("[@3]", "that"))
    assert "[@" in answered(f"Name the source as [@3].\n{PASSAGES}\n<message>When do doors close?</message>")
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in ("title", "description")}}
    schema |= {"required": ["title", "description"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}}
    value = json.loads(answered(ASKED, response_format=form))
    assert "[@" in value["description"] and "[@" not in value["title"]
