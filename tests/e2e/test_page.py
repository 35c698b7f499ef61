"""The page in a real browser: what it shows is what is stored is what the log says."""

import hashlib
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page, expect

from inkwire_chassis.clock import new_id
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.nats_connection import connected
from inkwire_contracts.fold import digest, document
from tests.support.stack import Stack, running_stack
from tests.support.wait import eventually

TITLE = "Top 10 Laravel tips"
SLOW = 60.0  # tokens a second: who interrupts a post meets it long before its end


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One Inkwire for the tests of this file, with a model fast enough for them."""
    with running_stack(tmp_path_factory.mktemp("up"), "--tokens-per-s", "300", "--generators", "2") as stack:
        stack.sim.plan_at_once()
        yield stack


async def write_title(page: Page, stack: Stack, title: str = TITLE, *, tokens_per_s: float | None = None) -> None:
    stack.sim.set_speed(tokens_per_s=tokens_per_s)
    await page.goto(stack.url)
    await page.get_by_test_id("title-input").fill(title)
    await page.get_by_test_id("submit").click()


async def text_of(page: Page) -> str:
    return str(await page.evaluate("window.inkwire.text ?? ''"))


async def wait_for_text(page: Page, length: int) -> str:
    async def long_enough() -> bool:
        return len(await text_of(page)) >= length

    await eventually(long_enough, what=f"{length} characters on the page", timeout_s=30)
    return await text_of(page)


async def published(page: Page) -> str:
    async def is_published() -> bool:
        return bool(await page.evaluate("window.inkwire.status === 'published'"))

    await eventually(is_published, what="the page shows the post as published", timeout_s=60)
    return await text_of(page)


async def stored_markdown(page: Page, stack: Stack) -> tuple[bytes, str]:
    """The stored document and the digest that its entity tag states."""
    post = await page.evaluate("window.inkwire.post")
    async with aiohttp.ClientSession(stack.url) as session:
        token = (await (await session.post("/tokens", json={})).json())["token"]
        answer = await session.get(f"/posts/{post}/markdown", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 200
        return await answer.read(), answer.headers["ETag"].strip('"')


async def folded_log(page: Page, stack: Stack) -> tuple[str, Any]:
    """The document as the log alone tells it."""
    post = await page.evaluate("window.inkwire.post")
    async with connected(stack.state["nats_url"], "test") as client:
        jetstream = JetStream(client)
        await jetstream.start()
        history = await EventLog(jetstream, new_id).history("local", post)
        return document(history.snapshot), history.snapshot


async def assert_exact(page: Page, stack: Stack) -> None:
    """Page = store = log, and the digest of all is the one in the last event."""
    shown = await published(page)
    markdown, etag = await stored_markdown(page, stack)
    told, snapshot = await folded_log(page, stack)
    assert shown == markdown.decode() == told
    assert hashlib.sha256(markdown).hexdigest() == etag == snapshot.sha256 == digest(shown)
    await expect(page.get_by_test_id("digest")).to_have_attribute("data-state", "verified")


async def test_a_title_becomes_an_article_though_the_page_is_reloaded(page: Page, stack: Stack) -> None:
    """Title in, reload in mid-stream, and the page ends with the stored bytes and their digest."""
    await write_title(page, stack, tokens_per_s=SLOW)
    before = await wait_for_text(page, 400)
    assert await page.evaluate("window.inkwire.status") == "generating"
    await page.reload()
    after = await wait_for_text(page, len(before))
    stack.sim.set_speed()
    assert after.startswith(before)
    await assert_exact(page, stack)
    await expect(page.get_by_test_id("article").locator("h1")).to_have_text(TITLE)
    await expect(page.get_by_test_id("post-list")).to_contain_text(TITLE)
    await page.get_by_test_id("digest").press("Enter")
    await expect(page.locator("#proof dd").last).to_be_in_viewport()


async def test_a_killed_gateway_costs_no_character(page: Page, stack: Stack) -> None:
    """The page reconnects by itself and goes on exactly where it was."""
    await write_title(page, stack, "How to keep bees on a roof", tokens_per_s=SLOW)
    await wait_for_text(page, 400)
    stack.kill9("inkwire_gateway.main")
    stack.sim.set_speed()
    await assert_exact(page, stack)
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live")


async def test_a_computer_that_goes_offline_is_told_so(page: Page, stack: Stack) -> None:
    """The page says that the network is gone, not that the writer may be; back online it goes on where it was."""
    await write_title(page, stack, "How tides turn", tokens_per_s=SLOW)
    await wait_for_text(page, 200)
    await page.context.set_offline(True)
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "offline")
    await expect(page.locator("#message")).to_contain_text("This computer is offline.")
    await page.context.set_offline(False)
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live")
    stack.sim.set_speed()
    await assert_exact(page, stack)


async def test_a_killed_worker_costs_no_character(page: Page, stack: Stack) -> None:
    """Another worker takes the post over; what was superseded leaves the page."""
    await write_title(page, stack, "A short history of tea", tokens_per_s=SLOW)
    await wait_for_text(page, 400)
    sim = stack.sim
    stack.kill9("inkwire_generator.main")
    stack.kill9("inkwire_generator.main")
    sim.set_speed()
    await assert_exact(page, stack)


async def test_the_page_fits_a_phone_in_the_dark(page: Page, stack: Stack) -> None:
    """At 390 pixels nothing is cut off sideways, dark mode is dark, and Delete stands apart from Download."""
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.emulate_media(color_scheme="dark")
    await write_title(page, stack, "Ten small repairs in an old house")
    await wait_for_text(page, 800)
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(float(part)) for part in colour.removeprefix("rgb(").rstrip(")").split(",")[:3])
    assert max(red, green, blue) < 80
    await stack.request("POST", f"/posts/{await page.evaluate('window.inkwire.post')}/cancel")
    await expect(page.get_by_test_id("download")).to_be_visible()
    tops = "() => ['kicker', 'delete', 'download'].map((id) => document.getElementById(id).getBoundingClientRect().top)"
    kicker, remove, download = await page.evaluate(tops)
    assert abs(kicker - remove) < 10 < download - remove


async def test_stop_ends_the_writing_and_keeps_the_text(page: Page, stack: Stack) -> None:
    """Stop is there while the post is written; afterwards page, store and log have the same text, and it is over."""
    await write_title(page, stack, "Why ships float and stones do not", tokens_per_s=SLOW)
    before = await wait_for_text(page, 300)
    await page.get_by_test_id("stop").click()

    async def cancelled() -> bool:
        return bool(await page.evaluate("window.inkwire.status === 'cancelled'"))

    await eventually(cancelled, what="the page shows the post as cancelled", timeout_s=30)
    await expect(page.get_by_test_id("stop")).to_be_hidden()
    shown = await text_of(page)
    told, snapshot = await folded_log(page, stack)
    assert shown.startswith(before) and shown == told
    assert snapshot.metrics.tokens_out > 0

    async def stored() -> bool:
        return (await stored_markdown(page, stack))[0].decode() == told

    await eventually(stored, what="the store has the text", timeout_s=30)
    await expect(page.locator("#ended")).to_contain_text("What was written so far is kept")


async def test_a_stopped_post_is_tried_again(page: Page, stack: Stack) -> None:
    """Try again goes on in the same place: finished sections stay as they are, and the end is exact. Who presses it, or
    Stop, with the keyboard keeps their place: where the button was, they are told what came.
    """
    await write_title(page, stack, "How a piano is tuned", tokens_per_s=SLOW)
    await wait_for_text(page, 900)
    await page.get_by_test_id("stop").press("Enter")
    await expect(page.get_by_role("heading", name="This post was cancelled")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_test_id("retry")).to_be_focused()
    stack.sim.set_speed()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()

    async def second_run() -> bool:
        return bool(await page.evaluate("window.inkwire.snapshot.run === 2"))

    await eventually(second_run, what="the page shows the second run", timeout_s=30)
    _, halfway = await folded_log(page, stack)
    finished = {section.section: section.text for section in halfway.sections if section.status == "done"}
    await assert_exact(page, stack)
    _, snapshot = await folded_log(page, stack)
    texts = {section.section: section.text for section in snapshot.sections}
    assert finished and finished.items() <= texts.items()


async def test_try_again_belongs_to_the_post_that_is_shown(page: Page, stack: Stack) -> None:
    """Two posts were stopped: the button of the second begins the second's next run; it comes into sight by itself."""
    await write_title(page, stack, "How bridges are named", tokens_per_s=2 * SLOW)
    for following in ("How rivers are named", None):
        await wait_for_text(page, 1_500)
        await page.get_by_test_id("stop").click()
        await expect(page.get_by_test_id("retry")).to_be_in_viewport()
        if following:
            await page.locator("a.new").click()
            await page.get_by_test_id("title-input").fill(following)
            await page.get_by_test_id("submit").click()
    await page.get_by_test_id("retry").click()

    async def second_run() -> bool:
        return bool(await page.evaluate("window.inkwire.snapshot.run === 2"))

    await eventually(second_run, what="the second run of the post that is shown", timeout_s=30)


async def test_a_reader_who_leaves_cancels_nothing(page: Page, stack: Stack) -> None:
    """The page is closed in mid-stream; the post is written to its end without anybody watching."""
    await write_title(page, stack, "The quiet life of lichens")
    await wait_for_text(page, 200)
    address = page.url
    await page.goto("about:blank")
    post = address.rpartition("/")[2]

    async def is_published() -> bool:
        async with connected(stack.state["nats_url"], "test") as client:
            jetstream = JetStream(client)
            await jetstream.start()
            newest = await EventLog(jetstream, new_id).newest("local", post)
        return newest is not None and newest.event.type == "published"

    await eventually(is_published, what="the post is published", timeout_s=60, interval_s=0.5)
    await page.goto(address)
    await assert_exact(page, stack)


async def test_an_address_that_nothing_has_is_told_so(page: Page, stack: Stack) -> None:
    """With the form below it, in words that fit what was asked for."""
    for path, words in (
        ("nothing/at/all", "There is nothing here"),
        ("p/x", "There is no such post"),
        ("c/x", "There is no such conversation"),
    ):
        answer = await page.goto(f"{stack.url}/{path}")
        assert answer and answer.status == 404
        await expect(page.locator("#notice")).to_contain_text(words)
        await expect(page.get_by_test_id("title-input")).to_be_visible()


async def test_a_deleted_post_leaves_the_page(page: Page, stack: Stack) -> None:
    """A reader who is there sees it end while it is written; who comes later is told that it is gone."""
    await write_title(page, stack, "What moss knows")
    await wait_for_text(page, 200)
    post = await page.evaluate("window.inkwire.post")
    async with aiohttp.ClientSession(stack.url) as session:
        token = (await (await session.post("/tokens", json={})).json())["token"]
        answer = await session.delete(f"/posts/{post}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 204
    await expect(page.get_by_test_id("status")).to_have_text("Deleted")
    assert await text_of(page) == ""
    await page.reload()
    await expect(page.locator("#notice")).to_contain_text("This post was deleted")


async def test_delete_asks_first_and_needs_no_mouse(page: Page, stack: Stack) -> None:
    """The dialog says that the writing stops and holds the focus; Escape changes nothing; then the post is gone from
    this tab and from another one's list, and the words that say so have the focus.
    """
    title = "Why cats sit in boxes"
    await write_title(page, stack, title, tokens_per_s=SLOW / 2)
    await wait_for_text(page, 200)
    other = await page.context.new_page()
    await other.goto(stack.url)
    await expect(other.get_by_test_id("post-list")).to_contain_text(title)
    dialog = page.get_by_test_id("delete-dialog")

    await page.get_by_test_id("delete").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alertdialog", name=f"Delete “{title}”?")).to_be_visible()
    await expect(dialog).to_contain_text("deleting it stops the writing")
    await expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_test_id("delete")).to_be_focused()
    assert await page.evaluate("window.inkwire.status") not in ("cancelled", "deleted")

    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_test_id("delete-confirm")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_test_id("status")).to_have_text("Deleted")
    await expect(page.get_by_role("heading", name="This post was deleted")).to_be_focused()
    await expect(page.get_by_test_id("delete")).to_be_hidden()
    for tab in (page, other):
        await expect(tab.get_by_test_id("post-list")).not_to_contain_text(title)
    await other.close()
