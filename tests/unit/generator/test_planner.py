"""What comes next for a post, from what its log says is done."""

from typing import Any

import pytest

from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Section, Snapshot
from inkwire_generator.planner import (
    MAX_QUERY_CHARS,
    WRITTEN_PERCENT,
    FixPlan,
    Publish,
    WriteSection,
    behind_open_text,
    find_recipe,
    next_action,
    percent_before,
    query_of,
    wanted,
    work_of,
)
from inkwire_recipes.analysis import ANALYSIS
from inkwire_recipes.blog import BLOG
from inkwire_recipes.recipe import Composed, Prompt, Step
from tests.support.lives import POST
from tests.support.material import excerpt, ref

DATA = {"title": "T", "sections": [{"title": "One"}, {"title": "Two"}]}


def post(*sections: Section, **fields: Any) -> Snapshot:
    """A snapshot with these sections."""
    return Snapshot(post=POST, title="Ten tips", recipe="blog", sections=list(sections), **fields)


def done(section: str, *, in_document: bool = True, data: dict[str, Any] | None = None) -> Section:
    """A finished section."""
    return Section(
        section=section, title=section, in_document=in_document, status="done", text=f"{section}.", data=data
    )


OUTLINE = done("outline", in_document=False, data=DATA)


def test_the_outline_comes_first() -> None:
    """A fresh post begins with its working step."""
    action = next_action(BLOG, post())
    assert isinstance(action, WriteSection) and action.step.section == "outline"
    assert (action.number, action.percent) == (0, 0)


def test_a_half_written_outline_is_written_again() -> None:
    """A section that is open or was interrupted is not done."""
    for status in ("writing", "pending"):
        half = Section(section="outline", in_document=False, status=status)
        action = next_action(BLOG, post(half))
        assert isinstance(action, WriteSection) and action.step.section == "outline"


def test_then_the_plan_is_fixed_from_the_outlines_data() -> None:
    """The outline's data, kept in the log, is enough for any worker to make the plan."""
    action = next_action(BLOG, post(OUTLINE))
    assert isinstance(action, FixPlan)
    assert [s.title for s in action.plan.sections] == ["Introduction", "One", "Two", "Conclusion"]


def test_sections_follow_in_order_and_finished_ones_are_kept() -> None:
    """The first section that is not done is next, and its place among all is known."""
    snapshot = post(OUTLINE, done("s0"), Section(section="s1", title="One", target_words=9), Section(section="closing"))
    action = next_action(BLOG, snapshot)
    assert isinstance(action, WriteSection)
    assert (action.step.section, action.step.target_words, action.number, action.total) == ("s1", 9, 2, 3)
    assert work_of(BLOG, snapshot).document == "s0."


def test_a_plan_in_the_log_is_final() -> None:
    """Once sections are planned no outline is asked for again, whatever happened to it."""
    action = next_action(BLOG, post(done("s0"), Section(section="s1")))
    assert isinstance(action, WriteSection) and action.step.section == "s1"


def test_when_all_is_written_it_is_published() -> None:
    """Nothing is left to write."""
    assert isinstance(next_action(BLOG, post(OUTLINE, done("s0"), done("closing"))), Publish)


def test_a_planned_section_may_stand_outside_the_document() -> None:
    """It is written in its place, is counted among no sections that a reader sees, and the document leaves it out."""
    note = Section(section="note", title="Note", in_document=False, target_words=5)
    snapshot = post(OUTLINE, done("s0"), note, Section(section="s1", title="One"))
    action = next_action(BLOG, snapshot)
    assert isinstance(action, WriteSection)
    assert (action.step.section, action.step.in_document, action.step.progress) == ("note", False, "step")
    assert (action.number, action.total) == (0, 0) and BLOG.planning_percent < action.percent < WRITTEN_PERCENT
    snapshot.sections[2] = done("note", in_document=False)
    last = next_action(BLOG, snapshot)
    assert isinstance(last, WriteSection) and (last.number, last.total) == (2, 2)
    assert work_of(BLOG, snapshot).document == "s0."


def test_a_post_with_documents_ends_with_their_list() -> None:
    """It is planned with the document and made of what the sections noted, whatever recipe the post has."""
    action = next_action(BLOG, post(OUTLINE, documents=[ref(3)]))
    assert isinstance(action, FixPlan)
    assert [section.section for section in action.plan.sections] == ["s0", "s1", "s2", "closing", "sources"]
    snapshot = post(OUTLINE, done("s0"), Section(section="sources", title="Sources"), documents=[ref(3)])
    last = next_action(BLOG, snapshot)
    assert isinstance(last, WriteSection) and last.step.section == "sources"
    made = wanted(BLOG, work_of(BLOG, snapshot), last.step, snapshot)
    assert isinstance(made, Composed) and made.text == "\n## Sources\n\n- @3 Security policy.pdf: not used\n"


def test_a_section_of_that_name_is_the_recipes_own_without_documents() -> None:
    """Nothing changes for posts that name none."""
    snapshot = Snapshot(post=POST, title="Ten tips", recipe="analysis")
    assert isinstance(wanted(ANALYSIS, work_of(ANALYSIS, snapshot), Step("sources", "Read on"), snapshot), Prompt)


@pytest.mark.parametrize(
    ("title", "prompt", "query"),
    [
        ("Keys @1 and @3", Prompt("s", "u", query="Keys @3 in the hall"), "Keys   in the hall"),
        ('Keys, see @"Security policy.pdf"', Prompt("s", "u"), "Keys, see  \nIntroduction\nfriendly"),
        ("@security-policy.pdf", Prompt("s", "u"), "Introduction\nfriendly"),
        ("@1", Prompt("s", "u", query="x" * 9_000), "x" * MAX_QUERY_CHARS),
    ],
)
def test_what_is_looked_for_in_documents(title: str, prompt: Prompt, query: str) -> None:
    """What the recipe says, else title, section and text options; never the mention, which says only where to look."""
    snapshot = Snapshot(post=POST, title=title, recipe="blog")
    assert query_of(work_of(BLOG, snapshot), Step("s0", "Introduction"), prompt).startswith(query)


def test_what_is_asked_knows_the_documents() -> None:
    """A recipe may word its question by them, as the analysis does."""
    assert work_of(BLOG, post(documents=[ref(3)])).documents == (ref(3),)


def test_the_estimate_of_an_unfinished_answer_holds_its_material() -> None:
    """The passages were paid for with the question."""
    half = Section(section="s0", title="Introduction", text="# T\n\nIt begins", length=15)
    snapshot = post(OUTLINE, half, open_section="s0", documents=[ref(3)])
    plain = behind_open_text({"blog": BLOG}, snapshot)
    more = behind_open_text({"blog": BLOG}, snapshot, material=(excerpt(ref(3), text="x" * 500),))
    assert plain is not None and more is not None
    assert more[0] > plain[0] + 500 and more[1] == plain[1]


def test_the_list_of_sources_was_paid_for_by_nobody() -> None:
    """An attempt that died while it was written left no answer of a model behind."""
    listed = Section(section="sources", title="Sources", text="\n## Sources\n", length=12)
    assert behind_open_text({"blog": BLOG}, post(OUTLINE, listed, open_section="sources", documents=[ref(3)])) is None


def test_percents_rise_with_the_words() -> None:
    """Progress goes from the plan to the last section in proportion to the target words."""
    plan = tuple(Step(f"s{n}", "", True, words) for n, words in enumerate((100, 0, 300)))
    percents = [percent_before(BLOG, plan, finished) for finished in range(4)]
    assert percents[0] == BLOG.planning_percent and percents[-1] == WRITTEN_PERCENT
    assert percents == sorted(percents) and percents[1] < 40


def test_unknown_recipes_and_options_are_told() -> None:
    """Errors name what is known and which option is wrong."""
    with pytest.raises(InkwireError, match="blog"):
        find_recipe({"blog": BLOG}, "poem")
    with pytest.raises(InkwireError, match="length"):
        next_action(BLOG, post(options={"length": "endless"}))


def left_open(text: str, **fields: Any) -> Snapshot:
    """A planned post whose only section an attempt left open."""
    section = Section(section="s1", title="One", status="writing", target_words=50)
    section.set_text(text)
    return post(OUTLINE, section, open_section="s1", **fields)


def test_what_an_answer_that_was_left_open_cost() -> None:
    """The question's length and the answer's, without the heading that is ours."""
    heading = BLOG.renderer(work_of(BLOG, left_open("")), Step("s1", "One", True, 50)).start()
    assert heading
    snapshot = left_open(heading + "Half an answer")
    prompt = BLOG.prompt(work_of(BLOG, snapshot), Step("s1", "One", True, 50))
    assert behind_open_text({"blog": BLOG}, snapshot) == (prompt.length_chars, len("Half an answer"))


def test_without_an_answer_nothing_is_known_to_be_paid() -> None:
    """No open section, none of its text, or a heading alone."""
    heading = BLOG.renderer(work_of(BLOG, left_open("")), Step("s1", "One", True, 50)).start()
    for snapshot in (post(OUTLINE), left_open(""), left_open(heading)):
        assert behind_open_text({"blog": BLOG}, snapshot) is None


def test_a_recipe_that_is_gone_hides_the_question_only() -> None:
    """The text was paid for, whoever may go on with the post."""
    assert behind_open_text({}, left_open("Half an answer")) == (0, len("Half an answer"))
