"""What a post is written from: noted with each section, and told at the end from those notes alone. Pure.

So whoever takes a post over tells the same, byte for byte, whatever has become of the documents meanwhile.
"""

from collections.abc import Collection, Iterable, Sequence

from inkwire_contracts.documents import MAX_PLACES, DocumentRef, Place, Source
from inkwire_contracts.events import PlannedData, PlannedSection
from inkwire_contracts.fold import Snapshot
from inkwire_recipes.material import Excerpt
from inkwire_recipes.recipe import Composed, Recipe
from inkwire_recipes.rendering import one_line

SOURCES = "sources"
"""Id of the section that lists them; with documents, a recipe's own section of that name is ours."""

TITLE = "Sources"
GONE = "no longer available"
UNUSED = "not used"
MAX_HEADING_CHARS = 120
MAX_TOLD_PLACES = 24
"""Of one document in the list; the notes of the sections have them all."""

_MARKUP = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>|~&"})
_KEPT_FORMATS = "\u200c\u200d"


def noted(documents: Sequence[DocumentRef], excerpts: Iterable[Excerpt], missing: Collection[str]) -> list[Source]:
    """The sources of a section whose prompt holds these passages, in the order in which the author names them."""
    places: dict[str, list[tuple[int, Place]]] = {}
    for excerpt in excerpts:
        found = Place(page=excerpt.passage.page, heading=_plain(excerpt.passage.heading))
        places.setdefault(excerpt.document.document, []).append((excerpt.passage.index, found))
    sources = []
    for ref in documents:
        here = [place for _, place in sorted(places.get(ref.document, ()), key=lambda one: one[0])]
        if here or ref.document in missing:
            sources.append(_source(ref, _distinct(here), missing=ref.document in missing))
    return sources


def gathered(snapshot: Snapshot) -> list[Source]:
    """What all sections noted, for each of the post's documents that any of them did, as :func:`noted` orders it."""
    notes = [source for section in snapshot.sections if section.section != SOURCES for source in section.sources]
    sources = []
    for ref in snapshot.documents:
        ours = [source for source in notes if source.document == ref.document]
        if ours:
            places = _merged(source.places for source in ours)
            sources.append(_source(ref, places, missing=any(source.missing for source in ours)))
    return sources


def with_sources(recipe: Recipe, snapshot: Snapshot, plan: PlannedData) -> PlannedData:
    """The plan with the list of sources behind the document, if the author names documents."""
    if not snapshot.documents:
        return plan
    own = [section for section in plan.sections if section.section != SOURCES]
    last = PlannedSection(section=SOURCES, title=TITLE, in_document=recipe.shows_sources)
    end = max((place for place, section in enumerate(own, 1) if section.in_document), default=len(own))
    return plan.model_copy(update={"sections": [*own[:end], last, *own[end:]]})


def listed(snapshot: Snapshot, *, in_document: bool) -> Composed:
    """The section that tells them: a line for each document that the author names."""
    known = {source.document: source for source in gathered(snapshot)}
    lines = "".join(f"- {_line(ref, known.get(ref.document))}\n" for ref in snapshot.documents)
    sources = [source.model_dump(mode="json") for source in known.values()]
    return Composed(f"\n## {TITLE}\n\n{lines}" if in_document else lines, {"sources": sources})


def _source(ref: DocumentRef, places: Sequence[Place], *, missing: bool) -> Source:
    return Source(
        document=ref.document, number=ref.number, name=ref.name, places=list(places[:MAX_PLACES]), missing=missing
    )


def _line(ref: DocumentRef, source: Source | None) -> str:
    told = [UNUSED] if source is None else [_places(source.places), GONE if source.missing else ""]
    where = "; ".join(part for part in told if part)
    name = f"@{ref.number} {_escaped(ref.name)}"
    return f"{name}: {where}" if where else name


def _places(places: Sequence[Place]) -> str:
    """Pages with the headings on them, headings where there are no pages."""
    headings: dict[int | None, list[str]] = {}
    for place in places:
        headings.setdefault(place.page, []).append(_escaped(place.heading))
    told: list[str] = []
    for page, names in headings.items():
        known = [name for name in names if name]
        if page is None:
            told += known
        else:
            told.append(f"p. {page} ({'; '.join(known)})" if known else f"p. {page}")
    return ", ".join([*told[:MAX_TOLD_PLACES], *(["…"] if len(told) > MAX_TOLD_PLACES else [])])


def _merged(lists: Iterable[Sequence[Place]]) -> list[Place]:
    """All places, each once; each stands behind the one before it in its own list, and pages rise."""
    merged: list[Place] = []
    for places in lists:
        behind = 0
        for place in places:
            if place in merged:
                behind = max(behind, merged.index(place) + 1)
            else:
                merged.insert(behind, place)
                behind += 1
    if all(place.page is not None for place in merged):
        merged.sort(key=lambda place: place.page or 0)
    return merged


def _distinct(places: Iterable[Place]) -> list[Place]:
    return list(dict.fromkeys(places))


def _plain(heading: str) -> str:
    return one_line(heading, MAX_HEADING_CHARS)


def _escaped(text: str) -> str:
    """One line that Markdown shows as it is, without characters that only turn or hide others."""
    seen = "".join(c for c in one_line(text) if c.isprintable() or c in _KEPT_FORMATS)
    return seen.translate(_MARKUP)
