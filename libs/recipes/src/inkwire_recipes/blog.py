"""The blog article: an outline first, then introduction, sections and closing, each written in sight of the rest."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from inkwire_contracts.events import PlannedData, PlannedSection
from inkwire_recipes.conversing import context_parts
from inkwire_recipes.outline import SCHEMA, Outline, OutlineRendering, parse_outline, schema_for
from inkwire_recipes.prompting import SYSTEM, tagged
from inkwire_recipes.recipe import (
    MAX_CONTEXT_CHARS,
    BaseRecipe,
    Composed,
    Inputs,
    NothingToApprove,
    Prompt,
    Renderer,
    Step,
    Work,
)
from inkwire_recipes.rendering import BodyRenderer, JsonRenderer, one_line
from inkwire_recipes.review import ReviewedOutline, as_proposed, outline_text

OUTLINE = "outline"
APPROVED = "approved_outline"
INTRODUCTION = "s0"
CLOSING = "closing"
TOTAL_WORDS = {"short": 500, "medium": 1_000, "long": 2_200}
SECTIONS_HINT = {"short": "3 to 5", "medium": "5 to 7", "long": "7 to 12"}
MIN_SECTION_WORDS = 40
MAX_SECTION_WORDS = 900


class BlogInputs(Inputs):
    """Options of the blog recipe."""

    tone: str = Field("friendly and precise", min_length=1, max_length=80, description="How it should sound")
    audience: str = Field("curious practitioners", min_length=1, max_length=200, description="Who will read it")
    language: str = Field("English", min_length=2, max_length=40, description="The language to write in")
    length: Literal["short", "medium", "long"] = Field(
        "medium", description="About 500, 1,000 or 2,200 words for the whole article"
    )
    review: bool = Field(False, description="Wait for your approval of the outline before anything is written")
    outline: ReviewedOutline | None = Field(
        None, description="An outline of your own: nobody is asked for one, and each section has the length it names"
    )


class Blog(BaseRecipe):
    """See :class:`inkwire_recipes.recipe.Recipe`."""

    name = "blog"
    title = "Blog article"
    description = "An outline, an introduction, sections and a closing, as one Markdown article."
    inputs: type[BlogInputs] = BlogInputs

    def outputs(self) -> Mapping[str, Mapping[str, Any]]:
        """The outline, as it was proposed and as it was approved."""
        return {OUTLINE: SCHEMA, APPROVED: SCHEMA}

    def steps(self, work: Work) -> tuple[Step, ...]:
        """The outline, which the reader watches and the document does not hold; and what its author made of it."""
        proposed = Step(OUTLINE, "Outline", in_document=False, target_words=200)
        approved = Step(APPROVED, "Approved outline", in_document=False, progress="step")
        if _inputs(work).outline is None:
            return (proposed,)
        return (proposed, approved) if OUTLINE in work.texts else (approved,)

    def pause(self, work: Work) -> str | None:
        """For a review, as long as nobody has approved an outline."""
        inputs = _inputs(work)
        return "review" if inputs.review and inputs.outline is None else None

    def approved(self, work: Work, outline: Mapping[str, Any] | None) -> dict[str, Any]:
        """The same options with the approved outline among them, so that every later run has it too."""
        if not _inputs(work).review or OUTLINE not in work.artifacts:
            raise NothingToApprove
        chosen = as_proposed(work.artifacts[OUTLINE]) if outline is None else ReviewedOutline.model_validate(outline)
        return {**_inputs(work).model_dump(mode="json"), "outline": chosen.model_dump(mode="json")}

    def plan(self, work: Work) -> PlannedData:
        """Introduction, the outline's sections, closing; the length of the article shared out among them."""
        outline = _outline(work)
        share = _targets(work, outline)
        edge = _edge_words(work)
        sections = [PlannedSection(section=INTRODUCTION, title="Introduction", target_words=edge)]
        for number, (section, words) in enumerate(zip(outline.sections, share, strict=True), 1):
            sections.append(PlannedSection(section=f"s{number}", title=section.title, target_words=words))
        sections.append(PlannedSection(section=CLOSING, title=outline.closing or "Conclusion", target_words=edge))
        metadata = {"title": _title(work), "description": outline.description, "tags": list(outline.tags)}
        return PlannedData(sections=sections, metadata=metadata)

    def prompt(self, work: Work, step: Step) -> Prompt | Composed:
        """The outline's prompt, or a section's with the outline and what is written so far."""
        approved = _inputs(work).outline
        if step.section == APPROVED and approved is not None:
            return Composed(outline_text(approved), approved.model_dump(mode="json"))
        return _outline_prompt(work, step) if step.section == OUTLINE else _section_prompt(work, step)

    def renderer(self, work: Work, step: Step) -> Renderer:
        """Headings and blank lines are ours; the document ends with one newline."""
        if step.section == OUTLINE:
            return JsonRenderer(OutlineRendering(), lambda answer: parse_outline(answer).model_dump(mode="json"))
        title = _title(work)
        if step.section == INTRODUCTION:
            return BodyRenderer(f"# {title}\n\n", titles=(title, step.title))
        after = "\n" if step.section == CLOSING else ""
        return BodyRenderer(f"\n\n## {_heading(step.title)}\n\n", after, titles=(title, step.title))


def allot(wished: list[int], total_words: int) -> list[int]:
    """Share the words of an article (less its introduction and closing) in proportion to what the outline wished."""
    known = [words for words in wished if words > 0]
    usual = sum(known) / len(known) if known else 1
    weights = [words or usual for words in wished]
    available = total_words * 8 / 10
    shares = [available * weight / sum(weights) for weight in weights]
    return [min(MAX_SECTION_WORDS, max(MIN_SECTION_WORDS, 10 * round(share / 10))) for share in shares]


def _targets(work: Work, outline: Outline) -> list[int]:
    """Words of each section: as its author said, else its share of the article's length."""
    wished = [section.target_words for section in outline.sections]
    share = allot(wished, TOTAL_WORDS[_inputs(work).length])
    if APPROVED not in work.artifacts:
        return share
    return [said or usual for said, usual in zip(wished, share, strict=True)]


def _edge_words(work: Work) -> int:
    return max(MIN_SECTION_WORDS, TOTAL_WORDS[_inputs(work).length] // 10)


def _inputs(work: Work) -> BlogInputs:
    assert isinstance(work.inputs, BlogInputs)  # noqa: S101 - the caller validated them with this recipe's class
    return work.inputs


def _outline(work: Work) -> Outline:
    """The approved one, else the proposed one."""
    return Outline.model_validate(work.artifacts.get(APPROVED) or work.artifacts[OUTLINE])


def _title(work: Work) -> str:
    proposed = _outline(work).title if work.artifacts.keys() & {OUTLINE, APPROVED} else ""
    return _heading(proposed or work.title)


def _heading(text: str) -> str:
    return one_line(text).lstrip("# ") or "Untitled"


def _brief(work: Work) -> str:
    inputs = _inputs(work)
    return "\n".join(
        (
            tagged("title", one_line(work.title, 400)),
            tagged("audience", inputs.audience),
            tagged("tone", inputs.tone),
            tagged("language", inputs.language),
            *context_parts(work),
        )
    )


def _outline_prompt(work: Work, step: Step) -> Prompt:
    length = _inputs(work).length
    user = (
        f"Plan a blog article.\n\n{_brief(work)}\n\n"
        f"The whole article has about {TOTAL_WORDS[length]} words. Plan {SECTIONS_HINT[length]} sections, or exactly "
        "as many as the title promises. Do not list an introduction or a closing: they are added to your sections.\n"
        "Answer with one JSON object and nothing else: title, description (one sentence), tags (three to six), "
        "sections (each with title, target_words and points, two to four short points), closing (a heading).\n"
        "Write every text in the language named above."
    )
    return Prompt(
        SYSTEM, user, schema=schema_for(_inputs(work).language), schema_name="outline", target_words=step.target_words
    )


def _section_prompt(work: Work, step: Step) -> Prompt:
    written = work.document[-MAX_CONTEXT_CHARS:]
    parts = [
        "Write one part of a blog article that is being written part by part.",
        _brief(work),
        tagged("outline", _outline_text(work)),
    ]
    if written:
        parts.append("What is already written (its end):\n" + tagged("written", written))
    parts.append(f"Now write this part:\n{tagged('section', step.title)}")
    points = _points(work, step)
    if points:
        lines = "".join(f"- {point}\n" for point in points)
        parts.append(tagged("points", f"Points to cover:\n{lines}"))
    parts.append(_task(step))
    query = "\n".join((work.title, step.title, *points))
    return Prompt(SYSTEM, "\n\n".join(parts), target_words=step.target_words, query=query)


def _task(step: Step) -> str:
    kind = {
        INTRODUCTION: "Open the article: say why it matters and what the reader will get.",
        CLOSING: "Close the article: what to remember and what to do next. Bring in nothing new.",
    }.get(step.section, "Do not repeat what is already written, and do not write the parts that follow.")
    return (
        f"{kind}\nAnswer with Markdown only, without the heading: it is set for you. Use no heading above level 3.\n"
        f"Write about {step.target_words} words."
    )


def _outline_text(work: Work) -> str:
    numbered = (f"{number}. {step.title}" for number, step in enumerate(work.plan, 1) if step.in_document)
    return "\n" + "\n".join(numbered) + "\n"


def _points(work: Work, step: Step) -> tuple[str, ...]:
    if not step.section.startswith("s") or step.section == INTRODUCTION:
        return ()
    sections = _outline(work).sections
    index = int(step.section[1:]) - 1
    return sections[index].points if index < len(sections) else ()


BLOG = Blog()
