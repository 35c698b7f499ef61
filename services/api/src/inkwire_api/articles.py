"""A finished post as a document to take away: its facts, counted from its text, and the formats that need no library.

Words and reading time are derived here, where they are read: the text is stored, and they could only repeat it. Pure.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from inkwire_contracts.documents import DocumentRef
from inkwire_contracts.fold import Section, Snapshot, digest, document

ExportFormat = Literal["markdown", "html", "json", "docx"]

WORDS_PER_MINUTE = 230
"""Silent reading of prose by adults."""
SIGNS_PER_MINUTE = 400
"""Of scripts that are written without blanks between words, where a word cannot be told by them."""

_SIGNS = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_DATES = frozenset({"date", "created_at", "updated_at"})
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON leaves as it is in a text, and YAML does not take, or takes for a line break."""


def word_count(text: str) -> int:
    """Words between white space, as the metrics of a run count them."""
    return len(text.split())


def reading_time_minutes(text: str) -> int:
    """Whole minutes, rounded up; 0 where there is nothing to read."""
    rest, signs = _SIGNS.subn(" ", text)
    return math.ceil(word_count(rest) / WORDS_PER_MINUTE + signs / SIGNS_PER_MINUTE)


def target_words(sections: list[Section]) -> int:
    """Words that the plan asked for."""
    return sum(section.target_words for section in sections if section.in_document)


@dataclass(frozen=True, slots=True)
class Article:
    """A document with what is known of it. ``sha256`` is over the text's UTF-8 bytes; ``date`` is that of its end."""

    id: str
    recipe: str
    status: str
    title: str
    description: str
    tags: tuple[str, ...]
    date: str
    text: str
    sha256: str
    target_words: int
    sections: tuple[Section, ...] = ()
    documents: tuple[DocumentRef, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> int:
        """Words of the text."""
        return word_count(self.text)

    @property
    def reading_time_minutes(self) -> int:
        """See :func:`reading_time_minutes`."""
        return reading_time_minutes(self.text)

    def facts(self) -> dict[str, Any]:
        """What an export tells besides the text, in the order of reading."""
        return {
            "title": self.title,
            "description": self.description,
            "tags": list(self.tags),
            "date": self.date,
            "status": self.status,
            "words": self.words,
            "target_words": self.target_words,
            "reading_time_minutes": self.reading_time_minutes,
            "sha256": self.sha256,
        }


def article(snapshot: Snapshot) -> Article:
    """The document of a folded post; a recipe that names no title, description or tags has the request's title."""
    metadata = snapshot.metadata
    tags = metadata.get("tags")
    text = document(snapshot)
    return Article(
        id=snapshot.post,
        recipe=snapshot.recipe,
        status=snapshot.status,
        title=_text(metadata.get("title")) or snapshot.title,
        description=_text(metadata.get("description")),
        tags=tuple(filter(None, map(_text, tags))) if isinstance(tags, list) else (),
        date=snapshot.updated_at,
        text=text,
        sha256=digest(text),
        target_words=target_words(snapshot.sections),
        sections=tuple(snapshot.sections),
        documents=tuple(snapshot.documents),
        options=snapshot.options,
        metadata=metadata,
    )


def as_markdown(found: Article) -> bytes:
    """YAML front matter, an empty line, and the text as it is: from there on ``sha256`` is that of the file."""
    return f"{front_matter(found.facts())}{found.text}".encode()


def front_matter(facts: Mapping[str, Any]) -> str:
    """Facts as YAML front matter with the empty line behind it."""
    lines = (f"{name}: {_yaml(name, value)}\n" for name, value in facts.items())
    return f"---\n{''.join(lines)}---\n\n"


def as_json(found: Article) -> bytes:
    """All that is known: working steps, the data of structured sections, documents and the places used of them."""
    sections = [
        {
            "section": section.section,
            "title": section.title,
            "in_document": section.in_document,
            "status": section.status,
            "target_words": section.target_words,
            "words": word_count(section.text),
            "text": section.text,
            "data": section.data,
            "sources": [source.model_dump() for source in section.sources],
        }
        for section in found.sections
    ]
    whole = {
        "id": found.id,
        "recipe": found.recipe,
        "options": found.options,
        **found.facts(),
        "metadata": found.metadata,
        "documents": [{"document": ref.document, "number": ref.number, "name": ref.name} for ref in found.documents],
        "sections": sections,
        "markdown": found.text,
    }
    return json.dumps(whole, ensure_ascii=False, indent=2).encode() + b"\n"


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _yaml(name: str, value: Any) -> str:
    """A value that YAML reads as it was: JSON is YAML, and a date stays one."""
    if name in _DATES and value:
        return str(value)
    quoted = json.dumps(value, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
