"""Which passages join which prompt of an attempt."""

from collections.abc import Sequence
from typing import Any

import pytest

from inkwire_contracts.documents import DocumentRef
from inkwire_contracts.fold import Section, Snapshot
from inkwire_generator.context import NO_TALK
from inkwire_generator.desk import Desk
from inkwire_generator.planner import next_action, work_of
from inkwire_generator.ports import Passages, Shelf
from inkwire_generator.pulse import Pulse
from inkwire_generator.sources import SOURCES
from inkwire_recipes.analysis import ANALYSIS
from inkwire_recipes.blog import BLOG
from inkwire_recipes.recipe import Composed, Prompt, Recipe, Step
from inkwire_recipes.social import SOCIAL
from inkwire_stores.ports import StoreUnavailable
from tests.support.clock import ManualClock
from tests.support.lives import POST
from tests.support.material import excerpt, ref

POLICY = ref(3)
FOUND = excerpt(POLICY, 2, page=3, heading="Access control", text="Doors are locked at eight.")
OUTLINE = Section(
    section="outline",
    in_document=False,
    status="done",
    text="o",
    data={"title": "T", "sections": [{"title": "One", "points": ["Why keys matter"]}]},
)


class Shelves:
    """A library that hands out one passage, and remembers what was looked for."""

    patience_s = 7.0

    def __init__(self, found: Passages | None = None) -> None:
        self.found = found or Passages((FOUND,))
        self.asked: list[tuple[str, int]] = []
        self.laid: list[tuple[DocumentRef, ...]] = []
        self.loads = 0
        self.down = False

    def shelf(self, documents: Sequence[DocumentRef]) -> Shelf:
        self.laid.append(tuple(documents))
        return self

    async def load(self) -> None:
        self.loads += 1
        self._check()

    async def find(self, query: str, *, limit_chars: int) -> Passages:
        self._check()
        self.asked.append((query, limit_chars))
        return self.found

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable("down")


def desk(shelves: Shelves, *, limit_chars: int = 60_000) -> Desk:
    """A desk at these shelves."""
    clock = ManualClock()
    return Desk(shelves, clock, Pulse(clock.monotonic_s(), 1.0), limit_chars)


def post(recipe: str = "blog", *sections: Section, **fields: Any) -> Snapshot:
    """A post that names one document."""
    values: dict[str, Any] = {"title": "Safe at work using @3", "documents": [POLICY], **fields}
    return Snapshot(post=POST, recipe=recipe, sections=list(sections), **values)


def step_of(recipe: Recipe, snapshot: Snapshot) -> Step:
    """What is written next."""
    action = next_action(recipe, snapshot)
    step: Step = action.step  # type: ignore[union-attr]
    return step


async def test_every_prompt_takes_its_passages_in_and_notes_them() -> None:
    """Working steps too; what is asked for is what the section is about, without the mention itself."""
    shelves = Shelves()
    planned = [Section(section=name, title=name) for name in ("s0", "s1")]
    for snapshot, looked_for in (
        (post(), ("Safe at work using",)),
        (post("blog", OUTLINE, Section(section="s0", status="done", text="i"), planned[1]), ("s1", "Why keys matter")),
    ):
        step = step_of(BLOG, snapshot)
        asked = await desk(shelves).asked(BLOG, work_of(BLOG, snapshot), step, snapshot)
        assert isinstance(asked.wanted, Prompt) and asked.wanted.material == (FOUND,)
        [source] = asked.sources
        assert (source.number, source.places) == (3, [FOUND.passage.place])
        query, limit_chars = shelves.asked[-1]
        assert all(text in query for text in looked_for) and "@" not in query
        assert limit_chars == BLOG.material_chars


async def test_only_a_document_that_lists_its_sources_is_asked_to_name_them() -> None:
    """The outline is none, and a platform's post has no room."""
    blog, social = post("blog", OUTLINE, Section(section="s0", title="Introduction")), post("social")
    cites = {}
    for recipe, snapshot in ((BLOG, blog), (BLOG, post()), (SOCIAL, social)):
        step = step_of(recipe, snapshot)
        asked = await desk(Shelves()).asked(recipe, work_of(recipe, snapshot), step, snapshot)
        assert isinstance(asked.wanted, Prompt)
        cites[step.section] = asked.wanted.cites
    assert cites == {"s0": True, "outline": False, "keywords": False}


async def test_an_operators_bound_holds_for_every_recipe() -> None:
    """An analysis takes in more than others, but no more than the model's window."""
    snapshot = post("analysis", title="@3")
    shelves = Shelves()
    for limit_chars in (1_000_000, 5_000):
        work = work_of(ANALYSIS, snapshot)
        await desk(shelves, limit_chars=limit_chars).asked(ANALYSIS, work, step_of_analysis(), snapshot)
    assert [limit_chars for _, limit_chars in shelves.asked] == [ANALYSIS.material_chars, 5_000]


def step_of_analysis() -> Step:
    """The report."""
    return Step("report", "Security analysis")


async def test_an_analysis_of_a_document_says_what_its_material_is() -> None:
    """A title that is nothing but a mention is enough: the passages are what is looked at."""
    snapshot = post("analysis", title="@3")
    asked = await desk(Shelves()).asked(ANALYSIS, work_of(ANALYSIS, snapshot), step_of_analysis(), snapshot)
    assert isinstance(asked.wanted, Prompt)
    assert "The passages above are the material." in asked.wanted.question
    assert "Doors are locked at eight." in asked.wanted.question


async def test_nobody_is_asked_about_a_post_without_documents() -> None:
    """Nor about a section that is put together from what is there, nor for a prompt that wants none."""
    shelves = Shelves()
    plain = post(documents=[])
    asked = await desk(shelves).asked(BLOG, work_of(BLOG, plain), step_of(BLOG, plain), plain)
    assert isinstance(asked.wanted, Prompt) and asked.wanted.material == () and asked.sources == ()
    await desk(shelves).lay_out(())
    listed = await desk(shelves).asked(BLOG, work_of(BLOG, post()), Step(SOURCES, "Sources"), post())
    assert isinstance(listed.wanted, Composed) and "@3 Security policy.pdf" in listed.wanted.text
    assert shelves.asked == [] and shelves.loads == 0


async def test_a_store_that_is_away_stops_the_section() -> None:
    """Nothing is written as if there were no documents; it is met when the desk is laid out."""
    shelves = Shelves()
    shelves.down = True
    with pytest.raises(StoreUnavailable):
        await desk(shelves).lay_out([POLICY])
    with pytest.raises(StoreUnavailable):
        await desk(shelves).asked(BLOG, work_of(BLOG, post()), step_of(BLOG, post()), post())


async def test_the_documents_are_those_of_the_run() -> None:
    """Laid out once for all sections; should the log name others than the job, the log is right."""
    shelves = Shelves()
    one = desk(shelves)
    await one.lay_out([POLICY])
    for _ in range(2):
        await one.asked(BLOG, work_of(BLOG, post()), step_of(BLOG, post()), post())
    assert shelves.laid == [(POLICY,)]
    other = post(documents=[ref(5)])
    await one.asked(BLOG, work_of(BLOG, other), step_of(BLOG, other), other)
    assert shelves.laid == [(POLICY,), (ref(5),)]


async def test_what_a_dead_attempt_was_asked_counts_its_material() -> None:
    """The estimate of an unfinished answer; documents that cannot be read count as nothing."""
    half = Section(section="s0", title="Introduction", status="writing", text="# T\n\nIt begins", length=15)
    snapshot = post("blog", OUTLINE, half, open_section="s0")
    shelves = Shelves()
    recipes = {"blog": BLOG}
    with_material = await desk(shelves).behind_open_text(recipes, snapshot, NO_TALK)
    shelves.down = True
    without = await desk(shelves).behind_open_text(recipes, snapshot, NO_TALK)
    assert with_material is not None and without is not None
    assert with_material[0] > without[0] + len(FOUND.passage.text) and with_material[1] == without[1]
    assert await desk(shelves).behind_open_text({}, snapshot, NO_TALK) == (0, 15)
