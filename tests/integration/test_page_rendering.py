"""The page's renderer in a real browser: Markdown streamed in pieces, hostile text, under the product's own policy."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route

from inkwire_api.adapters.middleware import CONTENT_SECURITY_POLICY
from tests.support.node import STATIC

pytestmark = pytest.mark.browser
ORIGIN = "http://page.test"
SHELL = "<!doctype html><title>t</title><main id=root></main><script type=module src=/static/harness.js></script>"
HARNESS = """
import { SectionText } from "./render.js";
const caret = Object.assign(document.createElement("i"), { id: "caret" });
window.render = (pieces, ended) => {
  const root = document.getElementById("root");
  root.replaceChildren();
  const view = new SectionText(root, caret);
  let text = "";
  for (const piece of pieces) view.update((text += piece), true);
  if (ended) view.update(text, false);
  window.view = view;
  return root.innerHTML;
};
window.update = (text, writing) => {
  window.view.update(text, writing);
  return document.getElementById("root").innerHTML;
};
"""
ARTICLE = """# A title

An *introduction* with `code`, **strong** words and a [link](https://a.example/x).

## Things

1. one
   - nested
2. two

> quoted

```php
echo "<b>$x</b>";
```

| a | b |
|---|---|
| 1 | 2 |

- [x] done
- [ ] open

Price: $5 and 10 $; footnote [1] of *[@3]*; café 👩‍🚀 שלום.
"""
HOSTILE = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    '<svg onload="window.hit = 1"></svg>',
    "[x](javascript:window.hit=1)",
    "[x](JaVaScRiPt:window.hit=1)",
    "[x](data:text/html,<script>window.hit=1</script>)",
    "![x](javascript:window.hit=1)",
    "![x](https://tracker.example/pixel.png)",
    "[x](https://a.example/\" onclick=\"window.hit=1)",
    "`<script>window.hit = 1</script>`",
    "```html\" onload=\"window.hit=1\n<iframe srcdoc='<script>parent.hit=1</script>'></iframe>\n```",
    "<a href='javascript:window.hit=1'>x</a>",
    "| <img src=x onerror=window.hit=1> |\n|---|\n| <script>window.hit=1</script> |",
    "> " * 60 + "deep",
    "".join("  " * n + "- x\n" for n in range(60)),
    "#" * 500 + " x",
    "*_`[" * 200,
    "\x00\ufeff\u202e\u2028 text",
]  # fmt: skip


INSPECT = """() => {
  const root = document.getElementById("root");
  return {
    hit: window.hit ?? null,
    foreign: root.querySelectorAll("script, iframe, svg, img, object, style, link, form").length,
    handlers: [...root.querySelectorAll("*")].filter((node) =>
      node.getAttributeNames().some((name) => name.startsWith("on") || name === "style")).length,
    hrefs: [...root.querySelectorAll("[href]")].map((node) => node.protocol),
  };
}"""


@pytest_asyncio.fixture
async def rendering(page: Page) -> AsyncIterator[Page]:
    """A page with the renderer, served from the package; what it asks of any other host fails the test."""
    foreign: list[str] = []

    async def serve(route: Route) -> None:
        url = route.request.url
        if not url.startswith(ORIGIN):
            foreign.append(url)
            await route.abort()
        elif url == f"{ORIGIN}/":
            headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
            await route.fulfill(body=SHELL, content_type="text/html", headers=headers)
        elif url == f"{ORIGIN}/static/harness.js":
            await route.fulfill(body=HARNESS, content_type="text/javascript")
        else:
            body = (STATIC / url.removeprefix(f"{ORIGIN}/static/")).read_bytes()
            await route.fulfill(body=body, content_type="text/javascript")

    await page.route("**/*", serve)
    await page.goto(f"{ORIGIN}/", wait_until="load")
    yield page
    assert foreign == []


async def _render(page: Page, pieces: list[str], *, ended: bool = True) -> str:
    return str(await page.evaluate("([pieces, ended]) => window.render(pieces, ended)", [pieces, ended]))


async def _shape(page: Page) -> dict[str, Any]:
    script = """() => {
      const root = document.getElementById("root");
      const count = (what) => root.querySelectorAll(what).length;
      const tags = ["h1", "h2", "p", "ol", "ul", "li", "blockquote", "pre > code", "th", "td", "em", "strong", "a"];
      return Object.fromEntries([...tags, "input:checked", "input"].map((tag) => [tag, count(tag)]));
    }"""
    return dict(await page.evaluate(script))


async def test_an_article_becomes_its_elements(rendering: Page) -> None:
    """Headings, lists, quotes, code, tables, check boxes and links are elements, and signs in prose stay signs."""
    await _render(rendering, [ARTICLE])
    assert await _shape(rendering) == {
        "h1": 1, "h2": 1, "p": 3, "ol": 1, "ul": 2, "li": 5, "blockquote": 1, "pre > code": 1, "th": 2, "td": 2,
        "em": 2, "strong": 1, "a": 1, "input:checked": 1, "input": 2,
    }  # fmt: skip
    text = await rendering.inner_text("#root")
    for part in ('echo "<b>$x</b>";', "$5 and 10 $", "footnote [1] of [@3]", "café 👩‍🚀 שלום"):
        assert part in text
    link = rendering.locator("#root a")
    assert await link.get_attribute("href") == "https://a.example/x"
    assert await link.get_attribute("rel") == "noopener noreferrer nofollow"


async def test_pieces_do_not_matter(rendering: Page) -> None:
    """However the text is cut into pieces, the same elements stand there in the end."""
    whole = await _render(rendering, [ARTICLE])
    for size in (1, 2, 7):
        pieces = [ARTICLE[n : n + size] for n in range(0, len(ARTICLE), size)]
        assert await _render(rendering, pieces) == whole, size


async def test_hostile_text_stays_text(rendering: Page) -> None:
    """Text of a model runs nothing, loads nothing and leads nowhere but to allowed addresses."""
    for text in HOSTILE:
        for pieces in ([text], list(text)):
            await _render(rendering, pieces)
            found = await rendering.evaluate(INSPECT)
            assert (found["hit"], found["foreign"], found["handlers"]) == (None, 0, 0), text
            assert set(found["hrefs"]) <= {"https:"}, text


async def test_raw_html_is_shown_as_it_is(rendering: Page) -> None:
    """Markup in the text is read by people as the characters it is."""
    await _render(rendering, ["Use <em>this</em> & <script>that</script>"])
    assert await rendering.inner_text("#root") == "Use <em>this</em> & <script>that</script>"


async def test_the_caret_stands_where_the_text_grows(rendering: Page) -> None:
    """While a section is written the caret is the last thing in it, and it is gone when the section is done."""
    await _render(rendering, ["# One\n\n- two", " three"], ended=False)
    assert await rendering.evaluate("() => document.querySelector('#root li').lastChild.id") == "caret"
    assert "caret" not in await rendering.evaluate("() => window.update('# One\\n\\n- two three', false)")


async def test_superseded_text_is_drawn_anew(rendering: Page) -> None:
    """A section that starts again shows only its new text; one that only grows keeps its elements."""
    await _render(rendering, ["Old words"], ended=False)
    await rendering.evaluate("() => { document.querySelector('#root p').dataset.kept = 'yes' }")
    await rendering.evaluate("() => window.update('Old words and more', true)")
    assert await rendering.get_attribute("#root p", "data-kept") == "yes"
    await rendering.evaluate("() => window.update('', true)")
    assert await rendering.inner_text("#root") == ""
    await rendering.evaluate("() => window.update('New', false)")
    assert await rendering.inner_text("#root") == "New"


async def test_a_large_section_streams_in_small_pieces(rendering: Page) -> None:
    """A section of the largest size, arriving in thousands of pieces, is shown whole."""
    words = [f"word{n} " for n in range(15_000)]
    await rendering.evaluate("(pieces) => window.render(pieces, true).length", words)
    shown = await rendering.evaluate("() => document.getElementById('root').textContent")
    assert json.dumps(shown.split()) == json.dumps("".join(words).split())
