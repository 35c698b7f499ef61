"""A social post: keywords, strategy, a draft in the platform's form, a compliance check, and rewrites until it passes.

The working steps are kept as artifacts; the document is the draft that passed, or the last one with its findings told.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from inkwire_contracts.events import PlannedData, PlannedSection
from inkwire_recipes.conversing import context_parts
from inkwire_recipes.growing import Node, Render, rendered
from inkwire_recipes.platforms import Platform, distinct_hashtags, platform_named, violations
from inkwire_recipes.prompting import SYSTEM, tagged
from inkwire_recipes.recipe import BaseRecipe, Composed, Inputs, Prompt, Renderer, Step, Work
from inkwire_recipes.rendering import JsonRenderer, one_line
from inkwire_recipes.structured import Form, bounded_schema, form_renderer, parse_form, strict_schema

KEYWORDS, STRATEGY, CONTENT, COMPLIANCE, POST = "keywords", "strategy", "content_generation", "compliance_check", "post"
MAX_DRAFTS = 3
"""The first and two rewrites; then the last one stands, with what is wrong with it."""

PROGRESS = "step"


def _known_platform(value: Any) -> Any:
    return platform_named(value).name if isinstance(value, str) else value


PlatformName = Annotated[Literal["Instagram", "Twitter", "TikTok", "Facebook"], BeforeValidator(_known_platform)]


class SocialInputs(Inputs):
    """Options of the social recipe; the title is the topic."""

    platform: PlatformName = Field("Instagram", description="Where it will appear")
    query: str = Field("", max_length=1_000, description="What it should do, such as: make it reassuring")
    language: str = Field("English", min_length=2, max_length=40, description="The language to write in")


Line = Annotated[str, AfterValidator(lambda text: one_line(text, 500))]
Tags = Annotated[list[str], AfterValidator(distinct_hashtags)]


class Keywords(Form):
    """What people look for."""

    keywords: list[Line] = Field(min_length=1, max_length=20, description="Five to ten search words or phrases")
    hashtags: Tags = Field(max_length=20, description="Up to five hashtags")
    audience: Line = Field(description="Who should be reached")


class Strategy(Form):
    """How they are reached."""

    angle: Line = Field(description="The one idea of the post")
    tone: Line = Field(description="How it sounds")
    key_messages: list[Line] = Field(min_length=1, max_length=8, description="Two to four sentences")
    call_to_action: Line = Field(description="What the reader is asked to do")


class Part(Form):
    """A slide, a tweet, a scene, or the post."""

    title: str
    text: str


class Draft(Form):
    """The post in the platform's form."""

    parts: list[Part] = Field(min_length=1, max_length=40)
    caption: str
    hashtags: Tags = Field(max_length=40)


class Finding(Form):
    """Something that must or should not stay."""

    rule: Line = Field(description="Which rule is touched, such as: no unproven health claims")
    quote: Line = Field(description="The words in question, copied from the draft")
    severity: Literal["blocker", "warning"] = Field(description="blocker: it must not be published like that")


class Review(Form):
    """A reading for law, platform rules and honesty."""

    findings: list[Finding] = Field(max_length=20, description="Empty where nothing is wrong")
    disclaimers: list[Line] = Field(max_length=5, description="Sentences that must stand beside the post; often none")


class Checked(Review):
    """A reading, and what came of it."""

    status: Literal["passed", "failed"]


class Result(Draft):
    """The post as a whole: its words, and what they rest on."""

    response_text: str
    strategy: Strategy
    compliance: Checked


def _keywords(node: Node) -> Iterator[str]:
    yield from node.lines("- ", "keywords")
    yield "\n"
    yield from node.lines("- ", "hashtags")
    yield "\n"
    yield from node.line("**Audience:** ", "audience")


def _strategy(node: Node) -> Iterator[str]:
    yield from node.line("**Angle:** ", "angle", "\n\n")
    yield from node.line("**Tone:** ", "tone", "\n\n")
    yield from node.lines("- ", "key_messages")
    yield "\n"
    yield from node.line("**Call to action:** ", "call_to_action")


def _draft(platform: Platform, node: Node) -> Iterator[str]:
    for number, part in enumerate(node.items("parts"), 1):
        if platform.parts[1] > 1:
            heading = f"# {platform.part} {number}"
            title = one_line(str(part.known("title") or ""), 200)
            yield (f"{heading}: {title}" if title else heading) + "\n\n"
        else:
            part.known("title")
        yield from part.text("", "text", "\n\n")
    yield from node.text("# Caption\n\n", "caption", "\n\n")
    yield " ".join(distinct_hashtags([str(tag) for tag in node.known("hashtags") or ()]))


def _review(node: Node) -> Iterator[str]:
    nothing = True
    for finding in node.items("findings"):
        nothing = False
        yield from finding.line("- ", "rule")
        yield from finding.line(": “", "quote", "”")
        yield "\n"
    yield "Nothing to object to.\n\n" if nothing else "\n"
    yield from node.lines("Disclaimer: ", "disclaimers", "\n\n")


FORMS: Mapping[str, tuple[str, type[Form], str]] = {
    KEYWORDS: ("Keywords", Keywords, "Find the words by which people look for this topic, and who they are."),
    STRATEGY: ("Strategy", Strategy, "Decide how one post reaches them: angle, tone, messages, call to action."),
    CONTENT: ("Content", Draft, "Write the post."),
    COMPLIANCE: (
        "Compliance check",
        Review,
        "Check the draft: unproven or medical or financial claims, promises, missing disclosure of advertising, "
        "insults, private data, copied text, rules of the platform. Quote the words in question. Where nothing is "
        "wrong, answer with empty lists.",
    ),
}
"""Step -> its name, the form of its answer, and the task."""


class Social(BaseRecipe):
    """See :class:`inkwire_recipes.recipe.Recipe`."""

    name = "social"
    title = "Social post"
    description = "Keywords, strategy, a post in the platform's form, and a compliance check with rewrites."
    inputs: type[SocialInputs] = SocialInputs
    planning_percent: int = 90
    shows_sources: bool = False

    def outputs(self) -> Mapping[str, Mapping[str, Any]]:
        """Of each step, and of the post; a second draft and its check are as the first."""
        schemas = {section: strict_schema(form) for section, (_, form, _) in FORMS.items()}
        return {**schemas, COMPLIANCE: strict_schema(Checked), POST: strict_schema(Result)}

    def steps(self, work: Work) -> tuple[Step, ...]:
        """Keywords, strategy, then drafts, each with its check, until one passes or MAX_DRAFTS are written."""
        steps = [_step(KEYWORDS), _step(STRATEGY)]
        for number in range(1, MAX_DRAFTS + 1):
            steps += [_step(CONTENT, number), _step(COMPLIANCE, number)]
            checked = work.artifacts.get(_numbered(COMPLIANCE, number))
            if checked is None or checked["status"] != "failed":
                break
        return tuple(steps)

    def plan(self, work: Work) -> PlannedData:
        """One section, the post; what led to it is the metadata."""
        platform = _platform(work)
        metadata = {
            "platform": platform.name,
            "topic": work.title,
            "keywords": dict(work.artifacts[KEYWORDS]),
            "strategy": dict(work.artifacts[STRATEGY]),
            "compliance": dict(work.artifacts[_last(work, COMPLIANCE)]),
        }
        return PlannedData(sections=[PlannedSection(section=POST, title=f"{platform.name} post")], metadata=metadata)

    def prompt(self, work: Work, step: Step) -> Prompt | Composed:
        """One structured answer; the post itself, and the check of a draft that breaks a limit, need no model."""
        if step.section == POST:
            return _post(work)
        kind, number = _parts_of(step.section)
        if kind == COMPLIANCE and (broken := _broken_limits(work, number)):
            return _refused(broken)
        _, form, task = FORMS[kind]
        context = {KEYWORDS: (), STRATEGY: (KEYWORDS,), CONTENT: (KEYWORDS, STRATEGY), COMPLIANCE: (STRATEGY,)}[kind]
        parts = [_brief(work), *context_parts(work), *(tagged(name, work.texts[name]) for name in context)]
        if kind == CONTENT:
            parts.append(f"The form: {_platform(work).form}.")
            if number > 1:
                parts += _what_was_wrong(work, number - 1)
        if kind == COMPLIANCE:
            parts.append(tagged("draft", work.texts[_numbered(CONTENT, number)]))
        parts.append(task)
        parts.append("Answer with one JSON object and nothing else. Write every text in the language named above.")
        draft = bounded_schema(Draft, "parts", *_platform(work).parts)
        schema = draft if kind == CONTENT else strict_schema(form)
        query = f"{work.title}\n{_inputs(work).query}\n{work.texts.get(KEYWORDS, '')}"
        return Prompt(SYSTEM, "\n\n".join(parts), schema, kind, target_words=200, query=query)

    def renderer(self, work: Work, step: Step) -> Renderer:
        """Each step as readable Markdown; the check's data says whether the draft passed."""
        kind, _ = _parts_of(step.section)
        if kind == COMPLIANCE:
            return JsonRenderer(partial(rendered, _review), _reviewed, lenient=False)
        renders: dict[str, Render] = {
            KEYWORDS: _keywords,
            STRATEGY: _strategy,
            CONTENT: partial(_draft, _platform(work)),
        }
        return form_renderer(FORMS[kind][1], renders[kind])


def _step(kind: str, number: int = 1) -> Step:
    name = FORMS[kind][0]
    title = name if number == 1 else f"{name}, draft {number}"
    return Step(_numbered(kind, number), title, in_document=False, progress=PROGRESS)


def _numbered(kind: str, number: int) -> str:
    return kind if number == 1 else f"{kind}_{number}"


def _parts_of(section: str) -> tuple[str, int]:
    kind, _, number = section.rpartition("_")
    return (kind, int(number)) if number.isdigit() else (section, 1)


def _last(work: Work, kind: str) -> str:
    done = (_numbered(kind, number) for number in range(MAX_DRAFTS, 0, -1))
    return next(section for section in done if section in work.artifacts)


def _platform(work: Work) -> Platform:
    return platform_named(_inputs(work).platform)


def _inputs(work: Work) -> SocialInputs:
    assert isinstance(work.inputs, SocialInputs)  # noqa: S101 - the caller validated them with this recipe's class
    return work.inputs


def _brief(work: Work) -> str:
    inputs = _inputs(work)
    return "\n".join(
        (
            "A post for a social platform is made step by step.",
            tagged("platform", inputs.platform),
            tagged("request", one_line(work.title, 400)),
            tagged("query", inputs.query),
            tagged("language", inputs.language),
        )
    )


def _broken_limits(work: Work, number: int) -> list[dict[str, Any]]:
    draft = work.artifacts[_numbered(CONTENT, number)]
    found = violations(draft, _platform(work))
    return [{"rule": rule, "quote": quote, "severity": "blocker"} for rule, quote in found]


def _refused(findings: list[dict[str, Any]]) -> Composed:
    """The platform would not take it: no reader is asked before that is mended."""
    text = "".join(f"- {finding['rule']}\n" for finding in findings)
    return Composed(text, {"status": "failed", "findings": findings, "disclaimers": []})


def _reviewed(answer: str) -> dict[str, Any]:
    review = parse_form(Review, answer)
    failed = any(finding["severity"] == "blocker" for finding in review["findings"])
    return {"status": "failed" if failed else "passed", **review}


def _what_was_wrong(work: Work, number: int) -> list[str]:
    findings = work.artifacts[_numbered(COMPLIANCE, number)]["findings"]
    lines = "\n".join(f"- {finding['rule']}: {finding['quote']}" for finding in findings)
    return [
        "Your last draft did not pass its check:",
        tagged("draft", work.texts[_numbered(CONTENT, number)]),
        tagged("findings", lines),
        "Write it anew without what was found, and keep what was good.",
    ]


def _post(work: Work) -> Composed:
    """The last draft, and the disclaimers that must stand beside it."""
    draft, check = _last(work, CONTENT), work.artifacts[_last(work, COMPLIANCE)]
    text = work.texts[draft] + "".join(f"\n> {line}\n" for line in check["disclaimers"])
    rests_on = {"strategy": dict(work.artifacts[STRATEGY]), "compliance": dict(check)}
    return Composed(text, {**work.artifacts[draft], "response_text": text, **rests_on})


SOCIAL = Social()
