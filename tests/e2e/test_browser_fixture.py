"""The browser fixture drives a real browser."""

from playwright.async_api import Page


async def test_the_page_runs_scripts(page: Page) -> None:
    """A script on the page changes what the page shows."""
    await page.set_content("<p id='p'>before</p><script>document.getElementById('p').textContent = 'after'</script>")
    assert await page.text_content("#p") == "after"
