"""The course recipe: four structured sections, checked, and shown as Markdown that only grows."""

import json
from typing import Any

import pytest

from inkwire_recipes.course import COURSE, SECTIONS, CourseInputs
from inkwire_recipes.recipe import Step, UnusableOutput, Work

ANSWERS: dict[str, dict[str, Any]] = {
    "overview": {
        "title": "Safe by habit",
        "description": "What everybody must know.",
        "duration_estimate": "6 hours",
        "difficulty_level": "Beginner",
    },
    "objectives": {"objectives": ["Spot a phishing mail", "Choose a password"]},
    "modules": {
        "modules": [
            {
                "order": 1,
                "title": "Mail",
                "description": "How attacks begin.",
                "duration": "45 minutes",
                "topics": ["Senders", "Links"],
            }
        ]
    },
    "assessments": {"assessments": [{"type": "quiz", "title": "Ten mails", "description": "Which are real?"}]},
}
MARKDOWN = """# Safe by habit

What everybody must know.

- **Duration:** 6 hours
- **Level:** Beginner

## Objectives

- Spot a phishing mail
- Choose a password

## Modules

### Module 1: Mail

How attacks begin.

*45 minutes*

- Senders
- Links

## Assessments

- **Quiz: Ten mails** - Which are real?
"""


def work(**done: str) -> Work:
    """A course with these sections written."""
    plan = tuple(Step(section, heading) for section, (heading, *_) in SECTIONS.items())
    return Work("Create security training", CourseInputs(), texts=done, plan=plan)


def written(section: str, answer: str) -> tuple[list[str], dict[str, Any] | None]:
    """What a reader has after each character, and the section's data."""
    renderer = COURSE.renderer(work(), Step(section, ""))
    texts = [renderer.start()]
    for character in answer:
        texts.append(texts[-1] + renderer.feed(character))
    end = renderer.finish()
    return [*texts, texts[-1] + end.text], end.data


def test_the_four_sections_make_one_document() -> None:
    """Each section's last text, joined, is the syllabus."""
    assert "".join(written(section, json.dumps(ANSWERS[section]))[0][-1] for section in SECTIONS) == MARKDOWN


@pytest.mark.parametrize("section", SECTIONS)
def test_nothing_shown_is_taken_back(section: str) -> None:
    """After every character of the answer, what stands there is a prefix of the finished section."""
    *growing, whole = written(section, json.dumps(ANSWERS[section]))[0]
    assert all(whole.startswith(text) for text in growing)
    assert len({*growing}) > 10, "it grows piece by piece"


@pytest.mark.parametrize("section", SECTIONS)
def test_the_data_is_what_was_answered(section: str) -> None:
    """Field by field, without what the model added on its own."""
    answer = {**ANSWERS[section], "aside": "as you asked"}
    assert written(section, json.dumps(answer))[1] == ANSWERS[section]


@pytest.mark.parametrize(
    ("section", "change", "complaint"),
    [
        ("overview", {"duration_estimate": "a while"}, "duration_estimate: Value error, must be a number of hours"),
        ("overview", {"difficulty_level": "Wizard"}, "difficulty_level"),
        ("overview", {"title": ""}, "title"),
        ("objectives", {"objectives": []}, "objectives"),
        ("modules", {"modules": [{"order": 1}]}, "modules.0.title"),
        ("assessments", {"assessments": [{"type": "exam", "title": "T", "description": "D"}]}, "assessments.0.type"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_field(section: str, change: dict[str, Any], complaint: str) -> None:
    """The complaint names the field, for the model that is asked once more."""
    with pytest.raises(UnusableOutput, match=complaint):
        written(section, json.dumps({**ANSWERS[section], **change}))


def test_an_answer_without_json_is_refused_and_never_shown() -> None:
    """A chat instead of an object: the reader sees the heading alone."""
    renderer = COURSE.renderer(work(), Step("modules", ""))
    assert renderer.start() + renderer.feed("Sure! Here is your course: ...") == "\n## Modules\n\n"
    with pytest.raises(UnusableOutput, match="no JSON object"):
        renderer.finish()


def test_levels_and_types_are_understood_in_any_case() -> None:
    """The stored data has the names that clients know."""
    overview = {**ANSWERS["overview"], "difficulty_level": "ADVANCED"}
    assert (written("overview", json.dumps(overview))[1] or {})["difficulty_level"] == "Advanced"


@pytest.mark.parametrize("section", SECTIONS)
def test_each_prompt_asks_for_its_form_in_sight_of_the_rest(section: str) -> None:
    """A strict schema, the request as data, and what is written before it."""
    prompt = COURSE.prompt(work(overview="# Safe by habit\n"), Step(section, ""))
    assert prompt.schema is not None and prompt.schema["additionalProperties"] is False
    assert prompt.schema["required"] == list(prompt.schema["properties"])
    assert "<request>Create security training</request>" in prompt.user
    assert "<course># Safe by habit\n</course>" in prompt.user
