"""The page in real browsers: conversations that several people read, and documents that posts are written from."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from playwright.async_api import Browser, FilePayload, Page, Route, expect

from tests.support.stack import Stack, running_stack

ANSWERS = "[data-role=assistant]"
TITLE = "Explain event sourcing to a cook"
SETTLED = """(count) => [...document.querySelectorAll('[data-role=assistant]')].filter(
  (node) => node.dataset.sha256).length === count"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One Inkwire for the tests of this file, fast enough for several turns."""
    with running_stack(tmp_path_factory.mktemp("up"), "--tokens-per-s", "900") as stack:
        yield stack


@asynccontextmanager
async def _as(browser: Browser, stack: Stack, subject: str, name: str) -> AsyncIterator[Page]:
    """Another person's browser, signed in with a token of their own."""
    context = await browser.new_context()
    token = stack.mint(subject, name=name)
    await context.add_init_script(f"sessionStorage.setItem('inkwire.token', {token!r})")
    try:
        yield await context.new_page()
    finally:
        await context.close()


async def _begin(page: Page, stack: Stack, text: str = TITLE) -> str:
    """Start a conversation from the home form; returns its address once the first answer stands."""
    await page.goto(stack.url)
    await page.get_by_role("radio", name="Conversation", exact=True).check()
    await page.get_by_test_id("title-input").fill(text)
    await page.get_by_test_id("submit").click()
    await _settled(page, 1)
    return page.url


async def _settled(page: Page, count: int) -> None:
    """Wait until so many answers stand there whole."""
    await page.wait_for_function(SETTLED, arg=count)
    await expect(page.locator(ANSWERS)).to_have_count(count)


async def _say(page: Page, text: str) -> None:
    await page.get_by_test_id("chat-input").fill(text)
    await page.get_by_test_id("chat-send").click()
    await expect(page.get_by_test_id("chat-input")).to_have_value("")


async def test_a_conversation_is_answered_titled_and_kept(page: Page, stack: Stack) -> None:
    """Two turns are answered word by word, the title comes by itself, and a reload shows the very same bytes."""
    await _begin(page, stack)
    await expect(page.get_by_test_id("chat-title")).not_to_have_value("")
    await _say(page, "And **shorter**, please")
    await _settled(page, 2)
    await expect(page.locator("[data-role=user] strong")).to_have_text("shorter")
    replies = await page.evaluate("() => window.inkwire.replies")
    texts = {post: "".join(s["text"] for s in r["sections"] if s["in_document"]) for post, r in replies.items()}
    assert len(texts) == 2
    for post, reply in replies.items():
        assert hashlib.sha256(texts[post].encode()).hexdigest() == reply["sha256"]

    shown = await page.locator(ANSWERS).all_inner_texts()
    await page.reload()
    await _settled(page, 2)
    again = await page.evaluate("() => window.inkwire.replies")
    assert {post: "".join(s["text"] for s in r["sections"]) for post, r in again.items()} == texts
    assert [text.split("\n")[1:] for text in await page.locator(ANSWERS).all_inner_texts()] == [
        text.split("\n")[1:] for text in shown
    ]


async def test_a_message_is_edited_and_an_answer_written_anew(page: Page, stack: Stack) -> None:
    """An edited message takes the place of all that followed it; an answer that is written anew takes the old one's.
    What is too long to be said is never cut: it stays as it was typed, with what is wrong.
    """
    await _begin(page, stack)
    field = page.get_by_test_id("chat-input")
    await field.fill("x" * 16_001)
    await field.press("Enter")
    await expect(page.locator("#chat-error")).to_contain_text("at most 16000 characters.")
    assert await field.input_value() == "x" * 16_001
    await field.fill("")
    first = await page.locator(ANSWERS).get_attribute("data-message")
    await page.locator(ANSWERS).hover()
    await page.locator("[data-tool=regenerate]").click()
    await expect(page.locator(f"[data-message='{first}']")).to_have_count(0)
    await _settled(page, 1)

    await page.locator("[data-role=user]").hover()
    await page.locator("[data-tool=edit]").click()
    await expect(page.get_by_test_id("chat-input")).to_have_value(TITLE)
    await _say(page, "Explain it to a sailor")
    await expect(page.locator("[data-role=user] .said")).to_have_text(["Explain it to a sailor"])
    await _settled(page, 1)


async def test_two_people_see_each_other_type_and_what_is_answered(browser: Browser, page: Page, stack: Stack) -> None:
    """Who is added sees the talk, is seen, types, reacts and asks; a stranger and who was removed see nothing."""
    address = await _begin(page, stack)
    async with _as(browser, stack, "bob", "Bob") as bobs, _as(browser, stack, "eve", "Eve") as eves:
        await bobs.goto(address)
        await expect(bobs.locator("#notice")).to_contain_text("There is no such conversation")
        await page.locator(".chat-more summary").click()
        await page.get_by_test_id("invite-user").fill("bob")
        await page.get_by_role("button", name="Add", exact=True).click()
        await expect(page.get_by_test_id("chat-members").locator("li")).to_have_count(2)

        await bobs.goto(address)
        await expect(bobs.locator(ANSWERS)).to_have_count(1)
        await expect(page.get_by_test_id("chat-members").locator("[data-here=true]")).to_have_count(2)
        await bobs.get_by_test_id("chat-input").press_sequentially("Is th")
        await expect(page.get_by_test_id("typing")).to_have_text("Bob is typing…")
        await expect(bobs.get_by_test_id("typing")).to_be_empty()

        await _say(bobs, "Is that all?")
        for reader in (page, bobs):
            await _settled(reader, 2)
        texts = [await reader.locator(ANSWERS).last.locator(".said").inner_text() for reader in (page, bobs)]
        assert texts[0] == texts[1] != ""

        await bobs.locator(ANSWERS).first.hover()
        await bobs.locator(ANSWERS).first.locator(".picker summary").click()
        await bobs.locator(ANSWERS).first.get_by_role("button", name="🎉").click()
        await expect(page.locator(".reaction")).to_have_text("🎉 1")

        await eves.goto(address)
        await expect(eves.locator("#notice")).to_contain_text("There is no such conversation")
        await expect(bobs.get_by_role("button", name="Leave")).to_have_count(1)
        await page.get_by_role("button", name="Remove bob").click()
        await expect(bobs.locator("#notice")).to_contain_text("not a member any more")
        await expect(page.get_by_test_id("chat-members").locator("li")).to_have_count(1)


async def test_what_one_left_or_deleted_is_listed_no_more(page: Page, stack: Stack, browser: Browser) -> None:
    """Leaving asks first; neither comes back with a list that is read from a store which is some moments behind."""
    address = await _begin(page, stack)
    conversation = address.rpartition("/")[2]
    await stack.request("PUT", f"/conversations/{conversation}/members/carl", json={"name": "Carl"})
    async with _as(browser, stack, "carl", "Carl") as carls:
        for reader, subject, goes in ((carls, "carl", "Leave"), (page, "local", "Delete this conversation")):
            await reader.goto(address)
            row = reader.locator(f"#chats [data-conversation='{conversation}']")
            await expect(row).to_have_count(1)
            behind = await stack.request("GET", "/conversations", subject=subject)
            assert conversation in [item["id"] for item in behind["items"]]
            await reader.route("**/conversations?*", partial(_answer, behind))
            await _opens_and_closes(reader)
            await reader.locator(".chat-more summary").click()
            await reader.get_by_role("button", name=goes).click()  # Playwright says no where nobody answers
            await expect(reader.locator("#chat")).to_be_visible()
            reader.on("dialog", lambda dialog: dialog.accept())
            async with reader.expect_response("**/conversations?*"):
                await reader.get_by_role("button", name=goes).click()
            await expect(reader.locator("#notice")).to_contain_text(
                "You have left" if goes == "Leave" else "was deleted"
            )
            await expect(row).to_have_count(0)


async def _opens_and_closes(page: Page) -> None:
    """What "More" opens is closed by Escape, which gives the focus back, and by a click elsewhere."""
    more, sheet = page.locator(".chat-more summary"), page.locator(".chat-sheet")
    await more.click()
    await page.get_by_test_id("chat-format").focus()
    await page.keyboard.press("Escape")
    await expect(sheet).to_be_hidden()
    await expect(more).to_be_focused()
    await more.click()
    await expect(sheet).to_be_visible()
    await page.get_by_test_id("chat-input").click()
    await expect(sheet).to_be_hidden()


async def _answer(body: object, route: Route) -> None:
    await route.fulfill(json=body)


async def test_what_readers_do_while_an_answer_is_written(page: Page, stack: Stack) -> None:
    """Reactions keep focus and clicks, what is typed meanwhile stays, and a new try is seen in every tab."""
    address = await _begin(page, stack)
    conversation = address.rpartition("/")[2]
    other = await page.context.new_page()
    await other.goto(address)
    await _settled(other, 1)
    await page.bring_to_front()
    question = page.locator("[data-role=user]").first
    await stack.request(
        "PUT", f"/conversations/{conversation}/messages/{await question.get_attribute('data-message')}/reactions/👍"
    )
    reaction = question.locator(".reaction")
    await reaction.focus()

    await _hold_messages(page)
    await page.get_by_test_id("chat-input").fill("Explain it in 6000 words")
    await page.get_by_test_id("chat-input").press("Enter")
    await page.keyboard.type("and then")
    await reaction.focus()
    await page.evaluate("() => window.release()")
    answer = page.locator(ANSWERS).last
    await expect(answer).to_have_attribute("data-status", "generating")
    await expect(page.get_by_test_id("chat-input")).to_have_value("and then")
    before = await answer.locator(".said").inner_text()
    await reaction.focus()
    await expect(answer.locator(".said")).not_to_have_text(before)
    await expect(reaction).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(reaction).to_have_count(0)

    await answer.locator("[data-tool=stop]").click()
    for reader in (page, other):
        await expect(reader.locator(ANSWERS).last).to_have_attribute("data-status", "cancelled")
    await answer.locator("[data-tool=retry]").click()
    for reader in (page, other):
        await expect(reader.locator(ANSWERS).last).to_have_attribute("data-status", "generating")
    await answer.locator("[data-tool=stop]").click()
    await expect(other.locator(ANSWERS).last).to_have_attribute("data-status", "cancelled")


async def _hold_messages(page: Page) -> None:
    """Have the page wait with what it says until `release()` is called."""
    await page.evaluate(
        """() => {
          const held = new Promise((resolve) => (window.release = resolve));
          const fetched = window.fetch;
          window.fetch = async (url, options) => {
            if (options?.method === "POST" && String(url).endsWith("/messages")) await held;
            return fetched(url, options);
          };
        }"""
    )


async def test_what_a_check_found_stands_under_the_answer(page: Page, stack: Stack) -> None:
    """A social post in a conversation has its verdict below it as it comes, and after a reload too."""
    await page.goto(stack.url)
    await page.get_by_role("radio", name="Social post").check()
    await page.get_by_test_id("title-input").fill("Botox safety")
    await page.get_by_test_id("as-conversation").click()
    await _settled(page, 1)
    panel = page.locator(ANSWERS).get_by_role("region", name="Compliance check")
    found = await page.evaluate("() => Object.values(window.inkwire.replies)[0].metadata.compliance")
    for _ in range(2):
        await expect(panel).to_have_attribute("data-status", found["status"])
        await expect(panel.locator(".rule")).to_have_text([finding["rule"] for finding in found["findings"]])
        await expect(panel.locator(".disclaimers li")).to_have_text(found["disclaimers"])
        await page.reload()
        await _settled(page, 1)


async def test_documents_are_uploaded_mentioned_and_listed_as_sources(page: Page, stack: Stack) -> None:
    """A file is uploaded, offered at "@", and named with its place at the end of what is written from it."""
    await page.goto(stack.url)
    await page.get_by_test_id("to-library").click()
    policy = "# Policy\n\n## Doors\n\nLock every door at night.\n\n## Windows\n\nClose the windows when it rains.\n"
    broken = {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7 nothing"}
    whole = {"name": "policy.md", "mimeType": "text/markdown", "buffer": policy.encode()}
    await page.get_by_test_id("upload").set_input_files([whole, broken])
    await expect(page.get_by_test_id("documents")).to_contain_text("policy.md")
    await expect(page.locator("li[data-failed=true]")).to_contain_text("broken.pdf")

    await page.locator("a.new").click()
    await page.get_by_role("radio", name="Course", exact=True).check()
    title = page.get_by_test_id("title-input")
    await title.fill("Security training from ")
    await title.press_sequentially("@poli")
    await expect(page.locator(".mention-list [role=option]")).to_have_count(1)
    await title.press("Enter")
    await expect(title).to_have_value("Security training from @1 ")
    await page.get_by_test_id("submit").click()
    await expect(page.get_by_test_id("status")).to_have_text("Published")
    await expect(page.get_by_test_id("digest")).to_have_attribute("data-state", "verified")
    sources = page.locator("#article [data-section=sources]")
    await expect(sources).to_contain_text("policy.md")
    await expect(sources).to_contain_text("Doors")

    await page.get_by_test_id("to-library").click()
    await page.locator("li[data-document] .delete").click()
    await expect(page.get_by_role("alertdialog", name="Delete “policy.md”?")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("delete-dialog")).to_be_hidden()
    await expect(page.locator("li[data-document]")).to_have_count(1)
    await page.locator("li[data-document] .delete").click()
    await page.get_by_test_id("delete-confirm").click()
    await expect(page.locator("li[data-document]")).to_have_count(0)
    await expect(page.get_by_test_id("delete-dialog")).to_be_hidden()


async def test_the_click_that_leaves_the_list_of_documents_counts(page: Page, stack: Stack) -> None:
    """Who has typed a mention to its end and presses the button below the list sends it, with that very document.
    The list is there in every field in which something can be written about.
    """
    await page.set_viewport_size({"width": 1280, "height": 1200})  # nothing scrolls: what moves is seen to move
    await page.goto(f"{stack.url}/library")
    await page.get_by_test_id("upload").set_input_files(
        [
            {"name": f"Notes {'of a long day ' * 12}{number}.md", "mimeType": "text/markdown", "buffer": b"Doors."}
            for number in range(2)
        ]
    )
    rows = page.locator("li[data-document] .number")
    await expect(rows).to_have_count(2)
    earlier = await rows.last.inner_text()
    await page.locator("a.new").click()
    await page.get_by_test_id("title-input").press_sequentially(f"What to learn from {earlier}")
    await expect(page.locator(".mention-list [role=option]").first).to_contain_text(earlier)
    await page.get_by_test_id("submit").click()
    await page.wait_for_function("() => window.inkwire.snapshot?.seq > 0")
    named = await page.evaluate("window.inkwire.snapshot.documents.map(({ number }) => `@${number}`)")
    assert named == [earlier]

    await page.locator("a.new").click()
    await page.get_by_role("radio", name="Social post").check()
    query = page.get_by_label("Query")
    await query.press_sequentially("Say what stands in @note")
    await expect(page.locator(".mention-list [role=option]")).to_have_count(2)
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    await query.press("ArrowDown")
    await query.press("Enter")
    await expect(query).to_have_value(f"Say what stands in {earlier} ")


async def test_every_document_is_offered_wherever_it_was_uploaded(browser: Browser, stack: Stack) -> None:
    """Typing "@" offers what another tab uploaded a moment ago, and what is beyond the first page of the list."""

    async def in_two_pages(route: Route) -> None:
        if "cursor=older" in route.request.url:
            oldest = {"id": "a" * 26, "number": 77, "name": "Root.md", "chars": 6, "created_at": "2026-01-01T00:00:00Z"}
            await route.fulfill(json={"items": [oldest], "next_cursor": None})
        else:
            answer = await (await route.fetch()).json()
            await route.fulfill(json={**answer, "next_cursor": "older"})

    async with _as(browser, stack, "dora", "Dora") as page:
        await page.route("**/documents?*", in_two_pages)
        async with page.expect_response("**/documents?*"):
            await page.goto(stack.url)
        other = await page.context.new_page()
        await other.goto(f"{stack.url}/library")
        leaf = FilePayload(name="Leaf.md", mimeType="text/markdown", buffer=b"Doors.")
        await other.get_by_test_id("upload").set_input_files([leaf])
        await expect(other.locator("li[data-document]")).to_have_count(1)
        title = page.get_by_test_id("title-input")
        for typed, name in (("About @lea", "Leaf.md"), ("About @77", "Root.md")):
            await title.fill("")
            await title.press_sequentially(typed)
            await expect(page.locator(".mention-list [role=option]").first).to_contain_text(name)


async def test_older_documents_that_cannot_be_had_are_told(page: Page, stack: Stack) -> None:
    """The page says so where the list is, and the button is there to try again."""

    async def two_pages(route: Route) -> None:
        if "cursor=older" in route.request.url:
            await route.abort()
        else:
            await route.fulfill(json={"items": [], "next_cursor": "older"})

    await page.route("**/documents?*", two_pages)
    await page.goto(f"{stack.url}/library")
    await page.locator("#documents-more").click()
    await expect(page.locator("#notice")).to_contain_text("Older documents could not be loaded.")
    await expect(page.locator("#documents-more")).to_be_visible()


async def test_a_token_that_is_refused_says_why(page: Page, stack: Stack) -> None:
    """Who signs in with a wrong token is told so; with a good one they are in, and the complaint is gone."""
    await page.add_init_script(
        "sessionStorage.getItem('inkwire.token') ?? sessionStorage.setItem('inkwire.token', 'x.y.z')"
    )
    await page.goto(stack.url)
    await expect(page.locator("#notice")).to_have_text("The token is not valid. Get a new token and try again.")
    form = await page.locator("#sign-in-form").bounding_box()
    assert form and form["width"] > 400
    await page.locator("#token").fill("wrong again")
    await page.locator("#sign-in-form button").click()
    await expect(page.locator("#notice")).to_be_visible()
    await page.locator("#token").fill(stack.mint("ann"))
    await page.locator("#sign-in-form button").click()
    await expect(page.locator("#home")).to_be_visible()
    await expect(page.locator("#notice")).to_be_hidden()
