"""What comes next for a post, from what its log says is done: the one place that knows a run's order. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from inkwire_contracts.errors import InkwireError
from inkwire_contracts.events import PlannedData
from inkwire_contracts.fold import Snapshot
from inkwire_recipes.recipe import Composed, Recipe, Step, Work

WRITTEN_PERCENT = 97


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


def work_of(recipe: Recipe, snapshot: Snapshot) -> Work:
    """The post as its recipe sees it.

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
    return Work(
        title=snapshot.title,
        inputs=inputs,
        artifacts={section.section: section.data for section in done if section.data is not None},
        texts={section.section: section.text for section in done},
        plan=_planned(snapshot),
    )


def next_action(recipe: Recipe, snapshot: Snapshot) -> Action:
    """The next thing to do. Raises InkwireError as :func:`work_of`."""
    work = work_of(recipe, snapshot)
    if not work.plan:
        steps = recipe.steps(work)
        for index, step in enumerate(steps):
            if step.section not in work.texts:
                return WriteSection(step, 0, 0, recipe.planning_percent * index // len(steps))
        reason = recipe.pause(work)
        return FixPlan(recipe.plan(work)) if reason is None else Pause(reason)
    total = sum(step.in_document for step in work.plan)
    for index, step in enumerate(work.plan):
        if step.section not in work.texts:
            number = sum(earlier.in_document for earlier in work.plan[:index]) + 1 if step.in_document else 0
            percent = percent_before(recipe, work.plan, index)
            return WriteSection(step, number, total if number else 0, percent)
    return Publish()


def behind_open_text(recipes: Mapping[str, Recipe], snapshot: Snapshot) -> tuple[int, int] | None:
    """Characters of the question and of the answer behind an open section's text; None if no answer is in it.

    What stands before an answer (a heading) is ours. Where the question is not known any more, it counts as none.
    """
    section = snapshot.section(snapshot.open_section) if snapshot.open_section else None
    if section is None or not section.text:
        return None
    step = Step(section.section, section.title, section.in_document, section.target_words)
    prompt_chars = own_chars = 0
    try:
        recipe = find_recipe(recipes, snapshot.recipe)
        work = work_of(recipe, snapshot)
        wanted = recipe.prompt(work, step)
        if isinstance(wanted, Composed):
            return None
        prompt_chars = wanted.length_chars
        own_chars = len(recipe.renderer(work, step).start())
    except InkwireError:
        pass  # nobody can go on with this post either, but its text was paid for
    answer_chars = section.length - own_chars
    return (prompt_chars, answer_chars) if answer_chars > 0 else None


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
