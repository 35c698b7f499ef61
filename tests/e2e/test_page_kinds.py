"""The page in a real browser: every kind of content has its form, and its steps can be followed and looked up."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from inkwire_contracts import events
from tests.support.log import ScriptedWriter, connect_log, make_job
from tests.support.stack import Stack, running_stack
from tests.support.wait import eventually

HOSTILE = "<img src=x onerror='window.hit = 1'>"
ROWS = """() => [...document.querySelectorAll('#steps-list > li')].map((row) => ({
  section: row.dataset.section,
  state: row.dataset.state,
  open: row.querySelector('details')?.open ?? false,
  text: row.querySelector('.step-text')?.textContent ?? '',
}))"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One Inkwire for the tests of this file."""
    with running_stack(tmp_path_factory.mktemp("up"), "--tokens-per-s", "300") as stack:
        yield stack


@pytest.fixture
def slowly(stack: Stack) -> Iterator[None]:
    """The model takes its time: each step can be seen being written, and stopped, however slow the browser is."""
    stack.sim.set_speed(tokens_per_s=60)
    yield
    stack.sim.set_speed()


async def test_the_kinds_are_chosen_by_keyboard_and_remembered(page: Page, stack: Stack) -> None:
    """Each kind is a radio button with title and description, brings its own fields, and is still chosen next time. The
    button that sends can be told from words where people choose the colours themselves.
    """
    await page.emulate_media(forced_colors="active")
    await page.goto(stack.url)
    border = await page.get_by_test_id("submit").evaluate("node => getComputedStyle(node).borderTop")
    assert border.startswith("1px solid rgb(")
    await page.emulate_media(forced_colors="none")
    kinds = page.get_by_role("group", name="Kind of content")
    blog, course, social = (
        kinds.get_by_role("radio", name=name, exact=True) for name in ("Blog article", "Course", "Social post")
    )
    await expect(blog).to_be_checked()
    await expect(blog).to_have_accessible_description(
        "An outline, an introduction, sections and a closing, as one Markdown article."
    )
    title = page.get_by_test_id("title-input")
    await expect(title).to_have_attribute("placeholder", "Top 10 Laravel tips")

    await blog.focus()
    await page.keyboard.press("ArrowDown")
    await expect(kinds.get_by_role("radio").nth(1)).to_be_checked()
    await course.check()
    await expect(title).to_have_attribute("placeholder", "Create security training")
    await expect(page.get_by_label("Difficulty level")).to_be_attached()

    card = kinds.locator(".kind", has=page.locator("[value=social]"))
    await card.click()  # beside its button and its words
    await expect(social).to_be_checked()
    await expect(page.get_by_label("Topic")).to_have_attribute("placeholder", "Botox safety")
    await expect(page.get_by_label("Platform").locator("option")).to_have_text(
        ["Instagram", "Twitter", "TikTok", "Facebook"]
    )
    assert await page.get_by_label("Query").evaluate("node => node.localName") == "textarea"
    await expect(page.get_by_label("Difficulty level")).to_have_count(0)

    await page.reload()
    await expect(social).to_be_checked()
    await expect(page.get_by_label("Platform")).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(320, 640), (390, 664), (640, 700)])
async def test_the_title_is_in_sight_on_a_small_screen(page: Page, stack: Stack, width: int, height: int) -> None:
    """Below the kinds, of which the chosen one is described, and nothing is cut off sideways."""
    await page.set_viewport_size({"width": width, "height": height})
    await page.goto(stack.url)
    await page.get_by_role("radio", name="Social post").check()
    await expect(page.locator("#kind-chosen")).to_contain_text("compliance check")
    await page.evaluate("() => window.scrollTo(0, 0)")
    await page.get_by_role("radio", name="Blog article").check()
    await expect(page.get_by_test_id("title-input")).to_be_in_viewport()
    assert await page.evaluate("window.scrollY") == 0
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


async def test_what_is_typed_outlives_a_reload_until_it_is_sent(page: Page, stack: Stack) -> None:
    """The kind, the title and the options are there again; once they are accepted, the form is empty."""
    await page.goto(stack.url)
    title, platform = page.get_by_test_id("title-input"), page.get_by_label("Platform")
    await page.get_by_role("radio", name="Social post").check()
    await platform.select_option("TikTok")
    await title.fill("Botox safety")
    await page.evaluate("localStorage.setItem('inkwire.recipe', 'blog')")  # what another tab chose last
    await page.reload()
    await expect(title).to_have_value("Botox safety")
    await expect(platform).to_have_value("TikTok")
    await page.get_by_test_id("submit").click()
    await expect(page.get_by_test_id("status")).to_be_visible()
    assert await page.evaluate("sessionStorage.getItem('inkwire.draft')") is None
    await page.goto(stack.url)
    await expect(page.get_by_role("radio", name="Blog article")).to_be_checked()
    await expect(title).to_have_value("")


async def test_what_the_api_objects_to_stands_at_its_field(page: Page, stack: Stack) -> None:
    """The options unfold, the field has the focus and says what is wrong; once it is mended the post is accepted."""
    await page.goto(stack.url)
    await page.get_by_role("radio", name="Course", exact=True).check()
    await page.get_by_test_id("title-input").fill("Create security training")
    options = page.get_by_test_id("options")
    modules, audience = page.get_by_label("Modules"), page.get_by_label("Audience")
    await options.locator("summary").click()
    await modules.fill("99")
    await audience.fill("x" * 201)
    await options.locator("summary").click()
    await page.get_by_test_id("submit").click()
    await expect(audience).to_be_focused()
    await expect(modules).to_have_accessible_description("How many modules, 1 to 20 Must be at most 20.")
    await expect(page.locator("#compose-error")).to_be_hidden()

    await audience.fill("everybody at work")
    await expect(audience).not_to_have_attribute("aria-invalid", "true")
    await modules.fill("")
    await modules.press_sequentially("e")
    await page.get_by_test_id("submit").click()
    await expect(modules).to_have_accessible_description("How many modules, 1 to 20 Type a number.")
    await modules.fill("2")
    await page.get_by_test_id("submit").click()
    await expect(page.get_by_test_id("status")).to_have_text("Published", timeout=60_000)
    options_sent = await page.evaluate("window.inkwire.snapshot.options")
    assert (options_sent["modules"], options_sent["audience"]) == (2, "everybody at work")
    await expect(page.get_by_role("heading", name="Assessments")).to_be_visible()


@pytest.mark.usefixtures("slowly")
async def test_a_form_is_filled_anew_with_its_kind(page: Page, stack: Stack) -> None:
    """Write a new one, after a post was stopped, has the kind, the title and the options of that post."""
    await page.goto(stack.url)
    await page.get_by_role("radio", name="Social post").check()
    await page.get_by_test_id("title-input").fill("Botox safety")
    await page.get_by_label("Platform").select_option("TikTok")
    await page.get_by_label("Query").fill("Make it reassuring")
    await page.get_by_test_id("submit").click()
    await page.get_by_test_id("stop").click()
    await page.evaluate("localStorage.setItem('inkwire.recipe', 'blog')")
    await page.reload()
    await page.get_by_role("button", name="Write a new one").click()
    await expect(page.get_by_role("radio", name="Social post")).to_be_checked()
    await expect(page.get_by_test_id("title-input")).to_have_value("Botox safety")
    await expect(page.get_by_label("Platform")).to_have_value("TikTok")
    await expect(page.get_by_label("Query")).to_have_value("Make it reassuring")


async def ask_for_social(page: Page, stack: Stack) -> None:
    await page.goto(stack.url)
    await page.get_by_role("radio", name="Social post").check()
    await page.get_by_test_id("title-input").fill("Botox safety")
    await page.get_by_test_id("submit").click()


async def rows(page: Page) -> list[dict[str, Any]]:
    return list(await page.evaluate(ROWS))


@pytest.mark.usefixtures("slowly")
async def test_steps_are_followed_one_by_one(page: Page, stack: Stack) -> None:
    """The step that is written is unfolded and grows, those before it are folded, the next ones wait; one that a reader
    has opened stays open. Afterwards all of them are under the article, folded, with what the compliance check found.
    """
    await ask_for_social(page, stack)

    async def third_is_written() -> list[dict[str, Any]] | None:
        shown = await rows(page)
        return shown if len(shown) == 4 and shown[2]["state"] == "writing" and len(shown[2]["text"]) > 20 else None

    shown = await eventually(third_is_written, what="the third step is being written", timeout_s=60, interval_s=0.05)
    assert [(row["section"], row["state"], row["open"]) for row in shown] == [
        ("keywords", "done", False),
        ("strategy", "done", False),
        ("content_generation", "writing", True),
        ("compliance_check", "waiting", False),
    ]
    steps = page.get_by_test_id("steps")
    await steps.locator("li[data-section=strategy] summary").press("Enter")  # what is written moves under a mouse
    await expect(steps.get_by_text("Call to action:")).to_be_visible()
    stack.sim.set_speed()
    await expect(page.get_by_test_id("status")).to_have_text("Published", timeout=60_000)

    await expect(page.get_by_test_id("article").locator("h1").first).to_contain_text("Slide 1")
    await expect(page.get_by_role("heading", name="Botox safety", exact=True)).to_be_visible()
    await expect(steps.get_by_text("How it was made")).to_be_visible()
    await expect(steps.get_by_text("Call to action:")).to_be_hidden()
    await steps.get_by_text("How it was made").click()
    await expect(steps.get_by_text("Call to action:")).to_be_visible()
    drafts = [row for row in await rows(page) if row["section"].startswith("content_generation")]
    checks = [row for row in await rows(page) if row["section"].startswith("compliance_check")]
    assert len(drafts) == len(checks) >= 1
    assert all(row["state"] == "done" and row["text"] for row in await rows(page))
    found = await page.evaluate("window.inkwire.snapshot.metadata.compliance")
    panel = page.get_by_test_id("compliance")
    await expect(panel).to_have_attribute("data-status", found["status"])
    assert await panel.locator(".rule").all_inner_texts() == [finding["rule"] for finding in found["findings"]]
    assert await panel.locator(".disclaimers li").all_inner_texts() == found["disclaimers"]


@pytest.mark.usefixtures("slowly")
async def test_the_writing_is_followed_from_a_form_that_was_scrolled(page: Page, stack: Stack) -> None:
    """Who scrolled down to the button has not asked to stay at the top of what is written then."""
    await page.set_viewport_size({"width": 1280, "height": 240})  # less than the page is high before a word is written
    await page.goto(stack.url)
    await page.get_by_role("radio", name="Social post").check()
    await page.get_by_test_id("title-input").fill("Botox safety")
    await page.evaluate("() => window.scrollTo(0, document.body.scrollHeight)")
    await page.get_by_test_id("submit").click()

    async def content_is_written() -> bool:
        return any(row["section"] == "content_generation" and len(row["text"]) > 100 for row in await rows(page))

    await eventually(content_is_written, what="the content is being written", timeout_s=60, interval_s=0.05)
    await expect(page.locator("#follow")).to_be_hidden()
    assert await page.evaluate("window.scrollY") > 0
    await stack.request("POST", f"/posts/{await page.evaluate('window.inkwire.post')}/cancel")


@pytest.mark.usefixtures("slowly")
async def test_an_outline_is_a_step_too(page: Page, stack: Stack) -> None:
    """A blog article's outline is shown as it is drafted, makes room for the article, and can be looked up."""
    await page.goto(stack.url)
    await page.get_by_test_id("title-input").fill("Ten uses of a paper clip")
    await page.get_by_test_id("submit").click()
    steps = page.get_by_test_id("steps")
    await expect(steps.locator("li")).to_have_attribute("data-state", "writing")
    await expect(steps.locator(".step-text li").first).to_be_visible()
    await expect(page.get_by_test_id("article").locator("h1")).to_be_visible(timeout=30_000)
    await expect(steps.locator("ol.step-list")).to_be_hidden()
    await steps.locator("summary").first.press("Enter")
    await steps.locator("li summary").press("Enter")
    await expect(steps.locator(".step-text li").first).to_be_visible()
    await page.get_by_test_id("stop").click()


async def test_a_failed_check_is_told_and_its_words_stay_words(page: Page, stack: Stack) -> None:
    """Rules, quotes and titles that look like markup are shown as they are, in the panel and in the steps."""
    findings = [
        {"rule": f"No promises {HOSTILE}", "quote": f"works always {HOSTILE}", "severity": "blocker"},
        {"rule": "Not too long", "quote": "", "severity": "warning"},
    ]
    compliance = {"status": "failed", "findings": findings, "disclaimers": [f"Advertising {HOSTILE}"]}
    async with connect_log(stack.state["nats_url"]) as log:
        writer = await ScriptedWriter.begin(log, make_job(title="Botox safety"))
        await writer.open("compliance_check", title=f"Check {HOSTILE}", in_document=False)
        await writer.chunk(f"- No promises {HOSTILE}\n")
        await writer.close()
        await writer.write(
            events.Planned, sections=[{"section": "post", "title": "Post"}], metadata={"compliance": compliance}
        )
        await writer.section("post", "# Slide 1\n\nIt works always.\n\n# Slide 2\n\nBuy it.\n")
        await writer.publish()
    await page.goto(f"{stack.url}/p/{writer.job.post}")
    panel, steps = page.get_by_test_id("compliance"), page.get_by_test_id("steps")
    await expect(page.get_by_role("region", name="Compliance check not passed")).to_be_visible()
    await expect(panel).to_contain_text("one thing in it that must not be published")
    await expect(panel.get_by_role("listitem").first).to_contain_text(
        f"Must changeNo promises {HOSTILE}works always {HOSTILE}"
    )
    await expect(panel.get_by_role("listitem").nth(1)).to_have_text("ConsiderNot too long")
    await expect(panel.get_by_text(f"Advertising {HOSTILE}")).to_be_visible()
    await steps.locator("summary").first.click()
    await steps.get_by_text(f"Check {HOSTILE}").click()
    await expect(steps.locator(".step-text")).to_have_text(f"No promises {HOSTILE}")
    assert await page.evaluate("window.hit ?? null") is None
    assert await page.locator("main img").count() == 0
