"""Every registered recipe, with any valid answers cut anywhere: what a reader was shown once stands for ever."""

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inkwire_recipes.analysis import BUILT_IN
from inkwire_recipes.recipe import Prompt, Recipe, Step, Utterance
from inkwire_recipes.registry import load_recipes
from tests.support.json_schema import TEXT, values
from tests.support.recipes import Asked, asked_by

RECIPES = load_recipes()
# Each recipe with options under which it asks for other forms.
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in RECIPES),
    *(("analysis", {"job_type": job_type.name, "material": "a < b"}) for job_type in BUILT_IN),
    *(("social", {"platform": platform}) for platform in ("Twitter", "Facebook")),
    ("course", {"modules": 2}),
    ("chat", {"history_tokens": 200}),
]
TALK: dict[str, Any] = {
    "question": Utterance("user", "How to test\n\nwithout fear?", "Ana", "q3"),
    "earlier": (
        Utterance("user", "What is a test? " * 30, "Ana", "q1"),
        Utterance("assistant", "A question to the program. " * 30, message="a1"),
        Utterance("user", "And a good one?", "Ben", "q2"),
        Utterance("assistant", "One that can fail.", message="a2", unfinished=True),
    ),
    "titled": False,
}
MAX_PIECES = 250
UNSTRUCTURED = TEXT.map(lambda text: f"# Heading\n\n{text} Words.")


def encoded(value: Any, data: st.DataObject) -> str:
    """JSON as models write it: spaced or not, escaped or not, fenced or not."""
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()), indent=data.draw(st.sampled_from([None, 2])))
    return data.draw(st.sampled_from(["{}", "```json\n{}\n```", " \n{}\n"])).replace("{}", text)


def pieces(text: str, data: st.DataObject) -> list[str]:
    """The text, cut at a few random places, or all along into small pieces as providers do."""
    if data.draw(st.booleans()):
        size = max(data.draw(st.integers(1, 12)), len(text) // MAX_PIECES)
        return [text[start : start + size] for start in range(0, len(text), size)]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def streamed(recipe: Recipe, asked: Asked, deltas: list[str]) -> tuple[list[str], dict[str, Any] | None]:
    """What a reader has after each piece, and the data at the end."""
    renderer = asked.renderer(recipe)
    shown = [renderer.start()]
    for delta in deltas:
        shown.append(shown[-1] + renderer.feed(delta))
    end = renderer.finish()
    return [*shown, shown[-1] + end.text], end.data


def usable(value: Any) -> bool:
    """An outline needs a section with a name; its schema does not say so, as not every provider takes such bounds."""
    return "sections" not in value or any(section["title"].strip() for section in value["sections"])


@pytest.mark.parametrize(("name", "options"), CASES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_no_section_depends_on_how_its_answer_was_cut(name: str, options: dict[str, Any], data: st.DataObject) -> None:
    """Text and data are those of the whole answer, nothing else was ever shown, and the data fits what is published."""
    recipe = RECIPES[name]
    schemas = recipe.outputs()

    def answer(_step: Step, prompt: Prompt) -> str:
        if prompt.schema is None:
            return data.draw(UNSTRUCTURED)
        return encoded(data.draw(values(prompt.schema).filter(usable)), data)

    for asked in asked_by(recipe, "How to test", options, answer, **data.draw(st.sampled_from([{}, TALK]))):
        [*_, whole], whole_data = streamed(recipe, asked, [asked.answer])
        [*growing, last], last_data = streamed(recipe, asked, pieces(asked.answer, data))
        assert (last, last_data) == (whole, whole_data)
        assert all(whole.startswith(text) for text in growing)
        section = re.sub(r"_\d$", "", asked.step.section)  # a later draft is as the first
        schema = schemas.get(section) or schemas.get(f"{section}/{options.get('job_type', 'security_analysis')}")
        assert (whole_data is None) == (schema is None)
        if schema is not None:
            jsonschema.validate(whole_data, schema)
