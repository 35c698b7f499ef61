"""The page as package data: what it may hold, what it may load, and the code of others in it."""

import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from tests.support.node import STATIC

INDEX = STATIC.parent / "index.html"
OWN = sorted([INDEX, *(path for path in STATIC.glob("*") if path.is_file())])
VENDOR = STATIC / "vendor"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open in {"script", "style"} and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def _index() -> _Tags:
    parser = _Tags()
    parser.feed(INDEX.read_text("utf-8"))
    return parser


def test_page_needs_no_exception_from_the_content_security_policy() -> None:
    """No script, style or handler stands in the markup, so that default-src 'self' holds without exceptions."""
    page = _index()
    assert page.inline == []
    names = {name for _, attrs in page.tags for name in attrs}
    assert not {name for name in names if name.startswith("on") or name == "style"}


def test_page_loads_only_its_own_files() -> None:
    """What the page loads lies in the package, under the address it is served at."""
    loaded = [attrs.get("src") or attrs.get("href") for tag, attrs in _index().tags if tag in {"script", "link", "img"}]
    assert len(loaded) >= 4
    for address in loaded:
        assert address is not None
        assert address.startswith("/static/")
        assert (STATIC / address.removeprefix("/static/")).is_file()


@pytest.mark.parametrize("path", [path for path in OWN if path.suffix == ".js"], ids=lambda path: path.name)
def test_modules_make_no_markup_from_text(path: Path) -> None:
    """Text never becomes markup or code: the ways to do that are not used at all."""
    source = path.read_text("utf-8")
    banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function|setHTML"
    assert not re.search(banned, source)


@pytest.mark.parametrize("path", [path for path in OWN if path.suffix == ".js"], ids=lambda path: path.name)
def test_modules_import_only_what_is_there(path: Path) -> None:
    """Every import names a file of the package; there is no build step that would find another."""
    for name in re.findall(r'^\s*(?:import|export)\b[^;]*?from "([^"]+)"', path.read_text("utf-8"), re.MULTILINE):
        assert name.startswith("./")
        assert (path.parent / name).is_file()


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_no_foreign_host(path: Path) -> None:
    """Nothing of ours names another host; the page works without the internet."""
    hosts = set(re.findall(r"(?:https?:)?//([a-z0-9-]+(?:\.[a-z0-9-]+)+)", path.read_text("utf-8")))
    assert hosts <= {"www.w3.org"}


@pytest.mark.parametrize(
    "test_id",
    [
        "title-input", "submit", "article", "status", "progress", "section-list", "connection", "digest", "post-list",
        "download",
    ],
)  # fmt: skip
def test_page_has_what_tests_look_for(test_id: str) -> None:
    """Each hook of the browser tests is there, once."""
    assert [attrs["data-testid"] for _, attrs in _index().tags if attrs.get("data-testid") == test_id] == [test_id]


def test_every_control_has_a_name() -> None:
    """Each input has a label of its own, and each id is used once."""
    tags = _index().tags
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    labelled = {attrs.get("for") for tag, attrs in tags if tag == "label"}
    assert {attrs["id"] for tag, attrs in tags if tag in {"input", "select", "textarea"}} <= labelled
    for _, attrs in tags:
        for name in ("aria-labelledby", "aria-describedby", "aria-controls"):
            assert set((attrs.get(name) or "").split()) <= set(ids)


def test_ids_that_modules_use_are_in_the_page() -> None:
    """An element that a module asks for by id exists."""
    ids = {attrs["id"] for _, attrs in _index().tags if "id" in attrs}
    source = (STATIC / "app.js").read_text("utf-8")
    used = set(re.findall(r'\bnodes\.([a-z]\w*)|\bnodes\["([\w-]+)"\]', source))
    assert {first or second for first, second in used} <= ids


def test_vendored_code_is_what_it_says() -> None:
    """Each vendored file has the digest that VENDOR.md tells, and its licence beside it."""
    rows = re.findall(r"^\| (\S+) \| (\S+) \| `(\S+)` \| `([0-9a-f]{64})` \|", (VENDOR / "VENDOR.md").read_text(), re.M)
    assert [row[0] for row in rows] == ["streaming-markdown"]
    for _, _, name, sha256 in rows:
        path = VENDOR / name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
        assert "MIT License" in (path.parent / "LICENSE.txt").read_text("utf-8")
    listed = {VENDOR / name for _, _, name, _ in rows}
    assert {path for path in VENDOR.rglob("*.js")} == listed


def test_package_data_is_installed() -> None:
    """The installed package holds the page, so that a service finds it wherever it runs."""
    package = files("inkwire_web")
    assert "<title>Inkwire</title>" in (package / "index.html").read_text("utf-8")
    assert (package / "static" / "app.js").is_file()
