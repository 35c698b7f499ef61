"""Mentions of documents in what people write: ``@3``, ``@"Security policy.pdf"``, ``@security-policy.pdf``. Pure.

A number or a quoted name can be nothing else, so what it names must be there. A bare name may as well be somebody's
handle: it counts only if there is such a document. Nothing is a mention inside a word or an address (``a@3.com``),
after another ``@`` or a backslash, or in a code span.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from inkwire_contracts.documents import MAX_DOCUMENTS, MAX_NAME_CHARS, DocumentRef, name_key
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import is_id
from inkwire_stores.document_ports import DocumentView

MAX_BARE_NAMES = 200
"""Different bare names that are looked up; later ones are taken for something else."""
MAX_SHOWN_CHARS = 100
"""Of a mention, in an error."""

_WORD = "0-9A-Za-z_\u00c0-\u04ff"
"""Letters of scripts that part words by blanks: before these others an @ begins a mention, as in 使用@3写."""
_MENTION = re.compile(
    rf"(?<![{_WORD}@.+\-/\\&=#])@(?:"
    rf'"(?P<quoted>[^"\r\n]{{1,{MAX_NAME_CHARS}}})"'
    rf"|“(?P<curly>[^“”\r\n]{{1,{MAX_NAME_CHARS}}})”"
    rf"|(?P<number>[1-9][0-9]{{0,8}}+)(?![{_WORD}@]|[.:/\-]\w)"
    rf"|(?P<bare>\w++(?:[.\-]++\w++)*+)(?!@)"
    r")"
)
_BACKTICKS = re.compile("`+")
_FENCE_TICKS = 3


@dataclass(frozen=True, slots=True)
class Mention:
    """One mention. ``sure``: it can mean nothing but a document. One of number, name and id is what it names."""

    shown: str
    sure: bool
    number: int | None = None
    name: str | None = None
    id: str | None = None


def mentions(texts: Iterable[str], explicit: Sequence[int | str] = ()) -> list[Mention]:
    """What a request mentions, in order, the explicit list first, each once.

    Args:
        texts: what people wrote.
        explicit: numbers, ids and names as a program gives them.

    Raises:
        InkwireError: ``too_many_documents``, if more than MAX_DOCUMENTS are named for sure.
    """
    found: dict[tuple[int | None, str | None, str | None], Mention] = {}
    bare = 0
    for mention in (*map(_explicit, explicit), *_in_texts(texts)):
        key = (mention.number, None if mention.name is None else name_key(mention.name), mention.id)
        bare += not mention.sure
        if mention.sure or (bare <= MAX_BARE_NAMES and key not in found):
            found[key] = mention if key not in found or mention.sure else found[key]
        if sum(one.sure for one in found.values()) > MAX_DOCUMENTS:
            raise InkwireError("too_many_documents", limit=MAX_DOCUMENTS)
    return list(found.values())


def referenced(owner: str, named: Sequence[Mention], views: Sequence[DocumentView]) -> list[DocumentRef]:
    """The documents that the mentions name, each once, in the order of the mentions.

    Of several with one name the one spelled so is meant, then the newest.

    Args:
        owner: whose documents they are.
        named: what :func:`mentions` found.
        views: the owner's documents that fit, as the store found them.

    Raises:
        InkwireError: ``unknown_document`` for a sure mention of nothing, or ``too_many_documents``.
    """
    chosen: dict[str, DocumentView] = {}
    for mention in named:
        fitting = [view for view in views if view.owner == owner and _fits(mention, view)]
        if fitting:
            best = max(fitting, key=lambda view: (view.name == mention.name, view.number))
            chosen.setdefault(best.id, best)
        elif mention.sure:
            raise InkwireError("unknown_document", mention=mention.shown)
    if len(chosen) > MAX_DOCUMENTS:
        raise InkwireError("too_many_documents", limit=MAX_DOCUMENTS)
    return [
        DocumentRef(document=view.id, owner=view.owner, number=view.number, name=view.name) for view in chosen.values()
    ]


def texts_of(value: object) -> Iterator[str]:
    """Every text in JSON of a bounded size, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for child in value.values():
            yield from texts_of(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from texts_of(child)


def _fits(mention: Mention, view: DocumentView) -> bool:
    if mention.number is not None:
        return view.number == mention.number
    if mention.id is not None and view.id == mention.id:
        return True
    return mention.name is not None and name_key(view.name) == name_key(mention.name)


def _explicit(value: int | str) -> Mention:
    """A text of digits is a number; one that looks like an id may still be a name."""
    shown = str(value)[:MAX_SHOWN_CHARS]
    if isinstance(value, int) or (value.isascii() and value.isdigit() and len(value) < 10):
        return Mention(shown, sure=True, number=int(value))
    return Mention(shown, sure=True, name=value, id=value if is_id(value) else None)


def _in_texts(texts: Iterable[str]) -> Iterator[Mention]:
    for text in texts:
        if "@" not in text:
            continue
        for match in _MENTION.finditer(_without_code(text)):
            if match["number"] is not None:
                yield Mention(match["number"], sure=True, number=int(match["number"]))
            elif match["bare"] is not None:
                if len(match["bare"]) <= MAX_NAME_CHARS:
                    yield Mention(match["bare"][:MAX_SHOWN_CHARS], sure=False, name=match["bare"])
            else:
                name = match["quoted"] or match["curly"]
                yield Mention(f'"{name[:MAX_SHOWN_CHARS]}"', sure=True, name=name.strip())


def _without_code(text: str) -> str:
    """The text with a lone backtick for each code span; a fence that is never closed reaches to the end."""
    runs = [match.span() for match in _BACKTICKS.finditer(text)]
    closing: list[int | None] = [None] * len(runs)
    next_of_length: dict[int, int] = {}
    for index in range(len(runs) - 1, -1, -1):
        start, end = runs[index]
        closing[index] = next_of_length.get(end - start)
        next_of_length[end - start] = index
    kept, at, index = [], 0, 0
    while index < len(runs):
        start, end = runs[index]
        last = closing[index]
        if last is not None:
            kept += [text[at:start], "`"]
            at, index = runs[last][1], last
        elif end - start >= _FENCE_TICKS and not text[:start].rpartition("\n")[2].strip():
            return "".join([*kept, text[at:start]])
        index += 1
    return "".join([*kept, text[at:]])
