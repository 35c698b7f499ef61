"""What comes next for a post, from what its log says is done: the one place that knows a run's order. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from inkwire_contracts.errors import InkwireError
from inkwire_contracts.events import PlannedData
from inkwire_contracts.fold import Section, Snapshot
from inkwire_generator import sources
from inkwire_generator.context import NO_TALK, Talk
from inkwire_recipes.material import Excerpt
from inkwire_recipes.recipe import Composed, Prompt, Recipe, Step, Work

WRITTEN_PERCENT = 97
MAX_QUERY_CHARS = 2_000
"""Of what is looked for in documents; the rest would only blur it."""

_MENTION = re.compile(r"""@(?:\d+|"[^"\n]*"|[\w.-]+)""")
"""Says which documents, not what in them."""


@dataclass(frozen=True, slots=True)
class WriteSection:
    """Write this step or section. ``number`` of ``total`` is its place among the document's; 0 for a step."""

    step: Step
    number: int
    total: int
    percent: int


@dataclass(frozen=True, slots=True)
class FixPlan:
    """Log the document's sections."""

    plan: PlannedData


@dataclass(frozen=True, slots=True)
class Pause:
    """The author must look at what is there before it goes on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Everything is written."""


Action = WriteSection | FixPlan | Pause | Publish


def find_recipe(recipes: Mapping[str, Recipe], name: str) -> Recipe:
    """The recipe of a request.

    Raises:
        InkwireError: ``unknown_recipe``.
    """
    if name not in recipes:
        raise InkwireError("unknown_recipe", known=", ".join(sorted(recipes)))
    return recipes[name]


def work_of(recipe: Recipe, snapshot: Snapshot, talk: Talk = NO_TALK) -> Work:
    """The post as its recipe sees it; ``talk`` is the conversation around it.

    Raises:
        InkwireError: ``invalid_options``.
    """
    try:
        inputs = recipe.inputs.model_validate(snapshot.options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "options"
        raise InkwireError("invalid_options", detail=f"{where}: {first['msg']}") from None
    done = [section for section in snapshot.sections if section.status == "done"]
    work = Work(
        title=snapshot.title,
        inputs=inputs,
        artifacts={section.section: section.data for section in done if section.data is not None},
        texts={section.section: section.text for section in done},
        plan=_planned(snapshot),
        documents=tuple(snapshot.documents),
    )
    return talk.known_to(work)


def next_action(recipe: Recipe, snapshot: Snapshot, talk: Talk = NO_TALK) -> Action:
    """The next thing to do. Raises InkwireError as :func:`work_of`."""
    work = work_of(recipe, snapshot, talk)
    if not work.plan:
        steps = recipe.steps(work)
        for index, step in enumerate(steps):
            if step.section not in work.texts:
                return WriteSection(step, 0, 0, recipe.planning_percent * index // len(steps))
        reason = recipe.pause(work)
        return FixPlan(sources.with_sources(recipe, snapshot, recipe.plan(work))) if reason is None else Pause(reason)
    total = sum(step.in_document for step in work.plan)
    for index, step in enumerate(work.plan):
        if step.section not in work.texts:
            number = sum(earlier.in_document for earlier in work.plan[:index]) + 1 if step.in_document else 0
            percent = percent_before(recipe, work.plan, index)
            return WriteSection(step, number, total if number else 0, percent)
    return Publish()


def wanted(recipe: Recipe, work: Work, step: Step, snapshot: Snapshot) -> Prompt | Composed:
    """What to ask for a section, or the section itself; the list of sources is ours and no recipe's."""
    if step.section == sources.SOURCES and snapshot.documents:
        return sources.listed(snapshot, in_document=step.in_document)
    return recipe.prompt(work, step)


def query_of(work: Work, step: Step, prompt: Prompt) -> str:
    """What to look for in the author's documents: what the recipe says, else what the request and the section are."""
    told = prompt.query
    if not told:
        said = (getattr(work.inputs, name) for name in type(work.inputs).model_fields)
        told = "\n".join((work.title, step.title, *(text for text in said if isinstance(text, str))))
    return _MENTION.sub(" ", told)[:MAX_QUERY_CHARS].strip()


def cites(recipe: Recipe, step: Step) -> bool:
    """Whether a section is to name its sources: what stands outside the document is no text of its own."""
    return recipe.shows_sources and step.in_document


@dataclass(frozen=True, slots=True)
class OpenSection:
    """The section whose text was being written, and what was asked for it or what it is."""

    recipe: Recipe
    work: Work
    step: Step
    wanted: Prompt | Composed


def opened(recipes: Mapping[str, Recipe], snapshot: Snapshot, talk: Talk = NO_TALK) -> OpenSection | None:
    """The section that an attempt left open with text in it. Raises InkwireError as :func:`work_of`."""
    section = _left_open(snapshot)
    if section is None:
        return None
    step = Step(section.section, section.title, section.in_document, section.target_words)
    recipe = find_recipe(recipes, snapshot.recipe)
    work = work_of(recipe, snapshot, talk)
    return OpenSection(recipe, work, step, wanted(recipe, work, step, snapshot))


def behind_open_text(
    recipes: Mapping[str, Recipe], snapshot: Snapshot, talk: Talk = NO_TALK, material: Sequence[Excerpt] = ()
) -> tuple[int, int] | None:
    """Characters of the question and of the answer behind an open section's text; None if no answer is in it.

    What stands before an answer (a heading) is ours. Where the question is not known any more, it counts as none.
    ``material`` is what it took in of the author's documents.
    """
    section = _left_open(snapshot)
    if section is None:
        return None
    prompt_chars = own_chars = 0
    try:
        found = opened(recipes, snapshot, talk)
        if found is None or isinstance(found.wanted, Composed):
            return None
        asked = found.wanted.with_material(material, cites=cites(found.recipe, found.step))
        prompt_chars = asked.length_chars
        own_chars = len(found.recipe.renderer(found.work, found.step).start())
    except InkwireError:
        pass  # nobody can go on with this post either, but its text was paid for
    answer_chars = section.length - own_chars
    return (prompt_chars, answer_chars) if answer_chars > 0 else None


def _left_open(snapshot: Snapshot) -> Section | None:
    section = snapshot.section(snapshot.open_section) if snapshot.open_section else None
    return section if section is not None and section.text else None


def percent_before(recipe: Recipe, plan: tuple[Step, ...], finished: int) -> int:
    """Percent of the run when the first ``finished`` sections are done, weighted by their target words."""
    weights = [max(1, step.target_words) for step in plan]
    share = sum(weights[:finished]) / sum(weights)
    return recipe.planning_percent + int((WRITTEN_PERCENT - recipe.planning_percent) * share)


def _planned(snapshot: Snapshot) -> tuple[Step, ...]:
    """What the logged plan holds. Working steps, which no plan holds, stand before the document's first section."""
    sections = snapshot.sections
    first = next((place for place, section in enumerate(sections) if section.in_document), len(sections))
    return tuple(
        Step(section.section, section.title, section.in_document, section.target_words, progress="step")
        for section in sections[first:]
    )
