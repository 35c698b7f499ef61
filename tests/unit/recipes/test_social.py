"""The social recipe: steps that lead to each other, checks by code and by the model, bounded rewrites."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from inkwire_recipes.recipe import Composed, Prompt, Step, Work
from inkwire_recipes.social import MAX_DRAFTS, SOCIAL, SocialInputs

KEYWORDS = {"keywords": ["botox safety"], "hashtags": ["skin care"], "audience": "first-timers"}
STRATEGY = {"angle": "Calm facts", "tone": "warm", "key_messages": ["It is common"], "call_to_action": "Ask a doctor"}
DRAFT = {
    "parts": [
        {"title": "Is it safe?", "text": "Yes, if:\n1. a doctor\n2. a licence"},
        {"title": "Ask", "text": "Ask."},
    ],
    "caption": "What to know before your first time.",
    "hashtags": ["#botox", "skin care"],
}
PASSED: dict[str, Any] = {"findings": [], "disclaimers": ["No medical advice."]}
BLOCKED = {"findings": [{"rule": "no promises", "quote": "Yes", "severity": "blocker"}], "disclaimers": []}
INSTAGRAM = """# Slide 1: Is it safe?

Yes, if:
1. a doctor
2. a licence

# Slide 2: Ask

Ask.

# Caption

What to know before your first time.

#botox #skincare
"""


def work(platform: str = "Instagram", **answers: dict[str, Any]) -> Work:
    """A post with these steps done, each by the answer that is given."""
    inputs = SocialInputs.model_validate({"platform": platform, "query": "Make it reassuring"})
    texts: dict[str, str] = {}
    data: dict[str, Any] = {}
    for section, answer in answers.items():
        done = Work("Botox safety", inputs, data, texts)
        texts[section], data[section] = written(done, section, json.dumps(answer))[-1], None
        data[section] = finished(done, section, json.dumps(answer))
    return Work("Botox safety", inputs, data, texts)


def written(done: Work, section: str, answer: str) -> list[str]:
    """What a reader has after each character, and at the end."""
    renderer = SOCIAL.renderer(done, Step(section, ""))
    texts = [renderer.start()]
    for character in answer:
        texts.append(texts[-1] + renderer.feed(character))
    return [*texts, texts[-1] + renderer.finish().text]


def finished(done: Work, section: str, answer: str) -> dict[str, Any]:
    renderer = SOCIAL.renderer(done, Step(section, ""))
    renderer.feed(answer)
    return renderer.finish().data or {}


def steps(done: Work) -> list[str]:
    return [step.section for step in SOCIAL.steps(done)]


def asked(done: Work, section: str) -> Prompt:
    prompt = SOCIAL.prompt(done, Step(section, ""))
    assert isinstance(prompt, Prompt)
    return prompt


FOUR = ["keywords", "strategy", "content_generation", "compliance_check"]


def test_four_steps_lead_to_a_post_that_passes() -> None:
    """Their artifacts are the metadata; the document is the draft with its disclaimers, and the model is not asked."""
    done = work(keywords=KEYWORDS, strategy=STRATEGY, content_generation=DRAFT, compliance_check=PASSED)
    assert steps(work()) == steps(done) == FOUR
    plan = SOCIAL.plan(done)
    assert plan.metadata["platform"] == "Instagram" and plan.metadata["strategy"] == STRATEGY
    assert plan.metadata["compliance"] == {"status": "passed", **PASSED}
    post = SOCIAL.prompt(done, Step("post", ""))
    assert isinstance(post, Composed)
    assert post.text == INSTAGRAM + "\n> No medical advice.\n"
    assert post.data == {
        **DRAFT,
        "hashtags": ["#botox", "#skincare"],
        "response_text": post.text,
        "strategy": STRATEGY,
        "compliance": {"status": "passed", **PASSED},
    }


@pytest.mark.parametrize(
    ("section", "answer"),
    [("keywords", KEYWORDS), ("strategy", STRATEGY), ("content_generation", DRAFT), ("compliance_check", BLOCKED)],
)
def test_nothing_shown_is_taken_back(section: str, answer: dict[str, Any]) -> None:
    """After every character, what stands there is a prefix of the finished step."""
    *growing, whole = written(work(), section, json.dumps(answer))
    assert all(whole.startswith(text) for text in growing)
    assert len({*growing}) > 8


def test_a_draft_that_is_refused_is_written_anew() -> None:
    """A blocker brings one more draft and one more check; the prompt holds what was wrong, as data."""
    done = work(keywords=KEYWORDS, strategy=STRATEGY, content_generation=DRAFT, compliance_check=BLOCKED)
    assert steps(done) == [*FOUR, "content_generation_2", "compliance_check_2"]
    user = asked(done, "content_generation_2").user
    assert "<findings>- no promises: Yes</findings>" in user and "<draft># Slide 1" in user


def test_rewrites_are_bounded() -> None:
    """After the third draft the post stands with its findings: status failed is told, not hidden."""
    answers: dict[str, Any] = {"keywords": KEYWORDS, "strategy": STRATEGY}
    for number in range(1, MAX_DRAFTS + 1):
        suffix = "" if number == 1 else f"_{number}"
        answers |= {f"content_generation{suffix}": DRAFT, f"compliance_check{suffix}": BLOCKED}
    done = work(**answers)
    assert len(steps(done)) == 2 + 2 * MAX_DRAFTS
    assert SOCIAL.plan(done).metadata["compliance"]["status"] == "failed"


def test_a_broken_limit_is_found_without_the_model() -> None:
    """A tweet that is too long fails its check in code, with the rule and its words."""
    long = {"parts": [{"title": "", "text": "x" * 300}], "caption": "", "hashtags": []}
    done = work("Twitter", keywords=KEYWORDS, strategy=STRATEGY, content_generation=long)
    check = SOCIAL.prompt(done, Step("compliance_check", ""))
    assert isinstance(check, Composed) and check.data is not None
    assert check.data["status"] == "failed" and "300 characters" in check.data["findings"][0]["rule"]


def test_warnings_let_a_draft_pass() -> None:
    """Only a blocker brings a rewrite."""
    warned = {"findings": [{"rule": "tone", "quote": "Ask.", "severity": "warning"}], "disclaimers": []}
    assert finished(work(), "compliance_check", json.dumps(warned))["status"] == "passed"


@pytest.mark.parametrize("platform", ["instagram", "TWITTER", "TikTok", " facebook "])
def test_platforms_are_accepted_in_any_case(platform: str) -> None:
    """The form that is asked for is the platform's."""
    done = work(platform, keywords=KEYWORDS, strategy=STRATEGY)
    assert "The form: " in asked(done, "content_generation").user


def test_an_unknown_platform_is_refused_with_the_known_ones() -> None:
    """Before anything is spent."""
    with pytest.raises(ValidationError, match="must be one of Instagram, Twitter, TikTok, Facebook"):
        SocialInputs.model_validate({"platform": "Myspace"})
