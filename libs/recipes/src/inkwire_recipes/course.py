"""A course: overview, objectives, modules and assessments, each one structured answer shown as Markdown."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from inkwire_contracts.events import PlannedData, PlannedSection
from inkwire_recipes.conversing import context_parts
from inkwire_recipes.growing import Node, Render
from inkwire_recipes.prompting import SYSTEM, tagged
from inkwire_recipes.recipe import BaseRecipe, Inputs, Prompt, Renderer, Step, Work
from inkwire_recipes.rendering import one_line
from inkwire_recipes.structured import Form, bounded_schema, form_renderer, strict_schema

OVERVIEW, OBJECTIVES, MODULES, ASSESSMENTS = "overview", "objectives", "modules", "assessments"
LEVELS = ("Beginner", "Intermediate", "Advanced")
Level = Literal["Beginner", "Intermediate", "Advanced"]
MAX_TITLE_CHARS = 200

_SPAN = r"\d+(?:[.,]\d+)?(?:\s*(?:-|–|to)\s*\d+(?:[.,]\d+)?)?"
_WHOLE_SPAN = re.compile(rf"{_SPAN}\s*(?:hour|day|week)s?", re.IGNORECASE)
_PART_SPAN = re.compile(rf"{_SPAN}\s*(?:minute|min|hour)s?", re.IGNORECASE)


def _spanning(pattern: re.Pattern[str], wanted: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.search(text):
            raise ValueError(f"must be {wanted}")
        return one_line(text, 60)

    return AfterValidator(check)


Text = Annotated[str, AfterValidator(lambda text: one_line(text, 2_000)), Field(min_length=1)]
Kind = Annotated[
    Literal["quiz", "assignment", "project"], BeforeValidator(lambda v: v.strip().lower() if isinstance(v, str) else v)
]
KnownLevel = Annotated[Level, BeforeValidator(lambda v: v.strip().capitalize() if isinstance(v, str) else v)]


class Overview(Form):
    """What the course is."""

    title: Text = Field(description="Title of the course")
    description: Text = Field(description="What it is about and for whom, two to four sentences")
    duration_estimate: Annotated[str, _spanning(_WHOLE_SPAN, "a number of hours or days, such as 6 hours")] = Field(
        description="Length of the whole course: a number and hours or days, such as 6 hours"
    )
    difficulty_level: KnownLevel = Field(description="Whom it suits")


class Objectives(Form):
    """What participants can do afterwards."""

    objectives: list[Text] = Field(min_length=1, max_length=12, description="Each begins with a verb; three to seven")


class Module(Form):
    """One lesson."""

    order: int = Field(ge=1, le=100, description="Its place, from 1")
    title: Text
    description: Text = Field(description="What happens in it, one to three sentences")
    duration: Annotated[str, _spanning(_PART_SPAN, "a number of minutes or hours, such as 45 minutes")] = Field(
        description="A number and minutes or hours, such as 45 minutes"
    )
    topics: list[Text] = Field(min_length=1, max_length=20, description="Three to six topics")


class Modules(Form):
    """The lessons in their order."""

    modules: list[Module] = Field(min_length=1, max_length=30)


class Assessment(Form):
    """One way to show what was learnt."""

    type: Kind
    title: Text
    description: Text = Field(description="What participants do and what counts, one to three sentences")


class Assessments(Form):
    """How success is measured."""

    assessments: list[Assessment] = Field(min_length=1, max_length=12)


class CourseInputs(Inputs):
    """Options of the course recipe."""

    audience: str = Field("people who are new to the subject", min_length=1, max_length=200, description="Who learns")
    language: str = Field("English", min_length=2, max_length=40, description="The language to write in")
    difficulty_level: Literal["any", "Beginner", "Intermediate", "Advanced"] = Field(
        "any", description="Whom it suits; any lets the model choose"
    )
    modules: int = Field(5, ge=1, le=20, description="How many modules")


def _overview(node: Node) -> Iterator[str]:
    yield from node.line("# ", "title", "\n\n", limit=MAX_TITLE_CHARS)
    yield from node.line("", "description", "\n\n")
    yield from node.line("- **Duration:** ", "duration_estimate", "\n")
    yield from node.line("- **Level:** ", "difficulty_level")


def _objectives(node: Node) -> Iterator[str]:
    yield from node.lines("- ", "objectives")


def _modules(node: Node) -> Iterator[str]:
    for number, module in enumerate(node.items("modules"), 1):
        yield from module.line(f"### Module {number}: ", "title", "\n\n", limit=MAX_TITLE_CHARS)
        yield from module.line("", "description", "\n\n")
        yield from module.line("*", "duration", "*\n\n")
        yield from module.lines("- ", "topics")
        yield "\n"


def _assessments(node: Node) -> Iterator[str]:
    for assessment in node.items("assessments"):
        kind = str(assessment.known("type") or "").strip().lower()
        yield from assessment.line(f"- **{kind.capitalize()}: ", "title", "** - ", limit=MAX_TITLE_CHARS)
        yield from assessment.line("", "description", "\n")


SECTIONS: dict[str, tuple[str, type[Form], Render, int]] = {
    OVERVIEW: ("Overview", Overview, _overview, 90),
    OBJECTIVES: ("Objectives", Objectives, _objectives, 80),
    MODULES: ("Modules", Modules, _modules, 400),
    ASSESSMENTS: ("Assessments", Assessments, _assessments, 150),
}
"""Section id -> heading, form, Markdown and expected words, in the document's order."""

TASKS = {
    OVERVIEW: "Write the overview of the course: title, description, duration_estimate, difficulty_level.",
    OBJECTIVES: "Write the objectives: what participants can do afterwards, each beginning with a verb.",
    MODULES: "Write the modules in their order, so that together they reach every objective.",
    ASSESSMENTS: "Write the assessments: how participants show that they have reached the objectives.",
}


class Course(BaseRecipe):
    """See :class:`inkwire_recipes.recipe.Recipe`."""

    name = "course"
    title = "Course"
    description = "Overview, objectives, modules and assessments, as structured data and as a readable syllabus."
    inputs: type[CourseInputs] = CourseInputs

    def outputs(self) -> Mapping[str, Mapping[str, Any]]:
        """All four sections have data."""
        return {section: strict_schema(form) for section, (_, form, _, _) in SECTIONS.items()}

    def plan(self, _work: Work) -> PlannedData:
        """Always the same four sections."""
        return PlannedData(
            sections=[
                PlannedSection(section=section, title=heading, target_words=words)
                for section, (heading, _, _, words) in SECTIONS.items()
            ]
        )

    def prompt(self, work: Work, step: Step) -> Prompt:
        """One structured answer, in sight of the sections before it."""
        _, form, _, words = SECTIONS[step.section]
        wanted = _inputs(work).modules
        parts = ["Design a course.", _brief(work)]
        if work.document:
            parts.append("What is already written:\n" + tagged("course", work.document))
        parts += [_wishes(work, step), TASKS[step.section]]
        parts.append("Answer with one JSON object and nothing else. Write every text in the language named above.")
        return Prompt(
            SYSTEM,
            "\n\n".join(part for part in parts if part),
            schema=bounded_schema(Modules, "modules", wanted, wanted) if form is Modules else strict_schema(form),
            schema_name=step.section,
            target_words=words,
            query=_query(work, step),
        )

    def renderer(self, _work: Work, step: Step) -> Renderer:
        """The overview brings the document's title; the others stand under their headings."""
        heading, form, render, _ = SECTIONS[step.section]
        return form_renderer(form, render, before="" if step.section == OVERVIEW else f"\n## {heading}\n\n")


def _inputs(work: Work) -> CourseInputs:
    assert isinstance(work.inputs, CourseInputs)  # noqa: S101 - the caller validated them with this recipe's class
    return work.inputs


def _brief(work: Work) -> str:
    inputs = _inputs(work)
    return "\n".join(
        (
            tagged("request", one_line(work.title, 400)),
            tagged("audience", inputs.audience),
            tagged("language", inputs.language),
            *context_parts(work),
        )
    )


def _query(work: Work, step: Step) -> str:
    """The subject, and what participants are to learn once that is said."""
    return "\n".join((work.title, step.title, work.texts.get(OVERVIEW, ""), work.texts.get(OBJECTIVES, "")))


def _wishes(work: Work, step: Step) -> str:
    inputs = _inputs(work)
    if step.section == OVERVIEW and inputs.difficulty_level != "any":
        return f"Its difficulty level is {inputs.difficulty_level}."
    if step.section == MODULES:
        return f"Plan {inputs.modules} modules."
    return ""


COURSE = Course()
