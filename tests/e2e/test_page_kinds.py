"""The page in a real browser: every kind of content has its form, and its steps can be followed and looked up."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Page, expect

from tests.support.stack import Stack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One Inkwire for the tests of this file, with a model slow enough that a step can be seen being written."""
    with running_stack(tmp_path_factory.mktemp("up"), "--tokens-per-s", "400") as stack:
        yield stack


async def test_the_kinds_are_chosen_by_keyboard_and_remembered(page: Page, stack: Stack) -> None:
    """Each kind is a radio button with title and description, brings its own fields, and is still chosen next time."""
    await page.goto(stack.url)
    kinds = page.get_by_role("group", name="Kind of content")
    blog, social = (kinds.get_by_role("radio", name=name, exact=True) for name in ("Blog article", "Social post"))
    await expect(blog).to_be_checked()
    await expect(blog).to_have_accessible_description(
        "An outline, an introduction, sections and a closing, as one Markdown article."
    )
    title = page.get_by_test_id("title-input")
    await expect(title).to_have_attribute("placeholder", "Top 10 Laravel tips")

    await blog.focus()
    await page.keyboard.press("ArrowDown")
    await expect(kinds.get_by_role("radio", name="Course", exact=True)).to_be_checked()
    await expect(title).to_have_attribute("placeholder", "Create security training")
    await expect(page.get_by_label("Difficulty level")).to_be_attached()

    await kinds.locator(".kind").last.click()  # the card, beside its button and its words
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
    await expect(modules).to_have_accessible_description(
        "How many modules, 1 to 20 Input should be less than or equal to 20."
    )
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
