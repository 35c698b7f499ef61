"""The page in a real browser: an outline is read, changed and approved by its author before anything is written."""

import hashlib
import json
from collections.abc import Iterator

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.stack import Stack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One Inkwire for the tests of this file."""
    with running_stack(tmp_path_factory.mktemp("up"), "--tokens-per-s", "2000") as stack:
        yield stack


async def ask_for_review(page: Page, stack: Stack, title: str) -> Locator:
    """A post that waits after its outline; the panel that says so."""
    await page.goto(stack.url)
    await page.get_by_role("radio", name="Blog article").check()
    await page.get_by_test_id("title-input").fill(title)
    await page.get_by_test_id("options").locator("summary").click()
    await page.get_by_label("Review").check()
    await page.get_by_test_id("submit").click()
    panel = page.get_by_role("region", name="Waiting for your approval")
    await expect(panel).to_be_visible(timeout=20_000)
    return panel


async def test_an_outline_is_changed_and_approved_without_a_mouse(page: Page, stack: Stack) -> None:
    """Headings, lengths and order are the author's: what is approved is what is written. What the api objects to stands
    at its field, a reload changes nothing that was stored, and the focus is never lost.
    """
    panel = await ask_for_review(page, stack, "Top 5 Laravel tips")
    await expect(page.get_by_test_id("post-list")).to_contain_text("Waiting for your approval")
    await page.reload()
    headings, words = panel.get_by_label("Heading", exact=True), panel.get_by_label("Words")
    await expect(headings).to_have_count(5)
    first, second = await headings.nth(0).input_value(), await headings.nth(1).input_value()

    await page.get_by_role("button", name="Move section 1 down").press("Enter")
    await expect(page.get_by_role("button", name="Move section 2 down")).to_be_focused()
    await expect(headings.nth(0)).to_have_value(second)
    await expect(headings.nth(1)).to_have_value(first)
    await expect(panel.get_by_role("status")).to_have_text("Moved to 2 of 5.")
    for _ in range(3):
        await page.get_by_role("button", name="Remove section 3").press("Enter")
    await expect(headings).to_have_count(2)
    await expect(headings.nth(1)).to_be_focused()
    await page.get_by_role("button", name="Add a section").press("Enter")
    await page.keyboard.type("Ask a friend")
    await expect(headings.nth(2)).to_have_value("Ask a friend")
    await panel.get_by_label("Points, one on each line").nth(2).fill("- Whom\n- When")
    for number, count in enumerate(("40", "9999", "60")):
        await words.nth(number).fill(count)

    await page.get_by_test_id("approve").press("Enter")
    await expect(words.nth(1)).to_be_focused()
    await expect(words.nth(1)).to_have_accessible_description("Must be at most 2000.")
    await words.nth(1).fill("50")
    await words.nth(1).press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()

    await expect(page.get_by_test_id("status")).to_have_text("Published", timeout=60_000)
    await expect(panel).to_be_hidden()
    snapshot = await page.evaluate("window.inkwire.snapshot")
    written = [(part["title"], part["target_words"]) for part in snapshot["sections"] if part["in_document"]]
    assert written[1:-1] == [(second, 40), (first, 50), ("Ask a friend", 60)]
    assert snapshot["options"]["outline"]["sections"][2]["points"] == ["Whom", "When"]
    await expect(page.get_by_test_id("article").get_by_role("heading", name="Ask a friend")).to_be_visible()
    await expect(page.get_by_test_id("steps").locator(".step-list > li")).to_have_count(2)


async def test_an_outline_is_approved_as_it_stands(page: Page, stack: Stack) -> None:
    """Without a change no outline is sent: the proposed one is meant, whatever bounds there are for changed ones."""
    panel = await ask_for_review(page, stack, "Top 3 Laravel tips")
    async with page.expect_request("**/approve?run=1") as sent:
        await page.get_by_test_id("approve").click()
    assert json.loads((await sent.value).post_data or "") == {}
    await expect(panel).to_be_hidden()
    await expect(page.get_by_test_id("status")).to_have_text("Published", timeout=60_000)
    assert await page.evaluate("window.inkwire.snapshot.run") == 2


async def test_a_published_article_is_downloaded_in_any_format(page: Page, stack: Stack) -> None:
    """Markdown is the text itself; the others are files of the api, with its names."""
    await page.goto(stack.url)
    await page.get_by_test_id("title-input").fill("Top 3 Laravel tips")
    await page.get_by_test_id("submit").click()
    await expect(page.get_by_test_id("status")).to_have_text("Published", timeout=60_000)
    text = (await page.evaluate("window.inkwire.text")).encode()
    found = {}
    for label in ("Markdown", "Markdown, front matter", "Web page", "Word", "JSON"):
        await page.get_by_label("File format").select_option(label=label)
        async with page.expect_download() as download:
            await page.get_by_test_id("download").click()
        file = await download.value
        found[label] = (file.suggested_filename.rpartition(".")[2], (await file.path()).read_bytes())
    assert [ending for ending, _ in found.values()] == ["md", "md", "html", "docx", "json"]
    assert found["Markdown"][1] == text
    front, _, body = found["Markdown, front matter"][1].partition(b"---\n\n")
    assert body == text and hashlib.sha256(text).hexdigest().encode() in front
    assert json.loads(found["JSON"][1])["markdown"].encode() == text
    assert found["Word"][1].startswith(b"PK") and found["Web page"][1].startswith(b"<!doctype html>")
