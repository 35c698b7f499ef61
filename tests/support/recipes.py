"""A recipe from its request to its last section, as a generator goes through it, without one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from inkwire_recipes.recipe import Composed, Prompt, Recipe, Renderer, Step, Work

MAX_SECTIONS = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of a recipe, the work as it was then, and what was answered."""

    step: Step
    work: Work
    prompt: Prompt
    answer: str

    def renderer(self, recipe: Recipe) -> Renderer:
        """A fresh one for this answer."""
        return recipe.renderer(self.work, self.step)


Answer = Callable[[Step, Prompt], str]


def asked_by(
    recipe: Recipe, title: str, options: Mapping[str, Any], answer: Answer, **conversation: Any
) -> Iterator[Asked]:
    """Every question up to the end of the document; a pause is passed over. ``conversation``: more of the work."""
    work = Work(title, recipe.inputs.model_validate(options), **conversation)
    for _ in range(MAX_SECTIONS):
        step = _next(recipe, work)
        if step is None:
            if work.plan:
                return
            sections = recipe.plan(work).sections
            work = replace(work, plan=tuple(Step(s.section, s.title, s.in_document, s.target_words) for s in sections))
            continue
        wanted = recipe.prompt(work, step)
        if isinstance(wanted, Composed):
            work = _done(work, step, wanted.text, wanted.data)
            continue
        asked = Asked(step, work, wanted, answer(step, wanted))
        yield asked
        renderer = asked.renderer(recipe)
        text = renderer.start() + renderer.feed(asked.answer)
        end = renderer.finish()
        work = _done(work, step, text + end.text, end.data)
    raise AssertionError(f"{recipe.name} asks for more than {MAX_SECTIONS} sections")


def _next(recipe: Recipe, work: Work) -> Step | None:
    steps = work.plan or recipe.steps(work)
    return next((step for step in steps if step.section not in work.texts), None)


def _done(work: Work, step: Step, text: str, data: dict[str, Any] | None) -> Work:
    artifacts = {**work.artifacts, step.section: data} if data is not None else work.artifacts
    return replace(work, texts={**work.texts, step.section: text}, artifacts=artifacts)
