"""The page over HTTP: its files with types and tags, the same page for a post's address, and nothing else."""

import json
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import pytest_asyncio

from inkwire_api.adapters.assets import CONTENT_TYPES
from inkwire_contracts.ids import idempotent_post_id
from tests.support.api import Api, open_api

PACKAGE = Path(str(files("inkwire_web")))
INDEX = (PACKAGE / "index.html").read_bytes()
ASYNCAPI = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.json"
POST = idempotent_post_id("ana", "post")


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path) as opened:
        yield opened


async def test_the_page_is_at_the_root_and_at_every_posts_address(api: Api) -> None:
    """Without signing in: the page itself asks for what it needs."""
    for path in ("/", f"/p/{POST}"):
        answer = await api.ask("GET", path, subject=None)
        assert (answer.status, answer.body) == (200, INDEX)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert (await api.ask("HEAD", path, subject=None)).headers["Content-Length"] == str(len(INDEX))


async def test_a_mistyped_post_is_told_by_the_page(api: Api) -> None:
    """A person gets the page, a program the problem document, and both the status 404."""
    person = await api.ask("GET", "/p/mistyped", subject=None, headers={"Accept": "text/html,*/*;q=0.8"})
    assert (person.status, person.body) == (404, INDEX)
    program = await api.ask("GET", "/p/mistyped", subject=None)
    assert (program.status, program.json["code"]) == (404, "not_found")


async def test_an_address_that_nothing_has_is_told_by_the_page(api: Api) -> None:
    """To a person who reads; a program, and whoever sends something there, gets the problem document."""
    html = {"Accept": "text/html,*/*;q=0.8"}
    for path in ("/nothing", "/nothing/at/all"):
        person = await api.ask("GET", path, subject=None, headers=html)
        assert (person.status, person.body) == (404, INDEX)
        assert "default-src 'self'" in person.headers["Content-Security-Policy"]
        for method, headers in (("GET", {}), ("POST", html)):
            program = await api.ask(method, path, subject=None, headers=headers)
            assert (program.status, program.json["code"]) == (404, "not_found")
    assert (await api.ask("GET", "/posts/x/cancel", subject=None, headers=html)).status == 405


async def test_every_file_of_the_page_is_served_as_what_it_is(api: Api) -> None:
    """With the right type, unsniffed, byte for byte."""
    served = [path for path in (PACKAGE / "static").rglob("*") if path.suffix in CONTENT_TYPES]
    assert {".js", ".css"} <= {path.suffix for path in served}
    for path in served:
        answer = await api.ask("GET", f"/static/{path.relative_to(PACKAGE / 'static')}", subject=None)
        assert (answer.status, answer.body) == (200, path.read_bytes()), path
        assert answer.headers["Content-Type"] == CONTENT_TYPES[path.suffix]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_nothing_inline_and_nothing_foreign_may_run(api: Api) -> None:
    """The policy that the browser is given, on the page and on errors."""
    for path in ("/", "/static/nothing.js"):
        policy = (await api.ask("GET", path, subject=None)).headers["Content-Security-Policy"]
        assert "default-src 'self'; connect-src 'self' ws: wss:" in policy
        assert "unsafe" not in policy


async def test_a_known_file_is_not_sent_again(api: Api) -> None:
    """304 for the tag one has, also a weakened one, and the whole file for any other."""
    tag = (await api.ask("GET", "/", subject=None)).headers["ETag"]
    for given in (tag, f"W/{tag}", f'"x", {tag}'):
        answer = await api.ask("GET", "/", subject=None, headers={"If-None-Match": given})
        assert (answer.status, answer.body) == (304, b"")
    assert (await api.ask("GET", "/", subject=None, headers={"If-None-Match": '"x"'})).status == 200


async def test_the_document_of_the_api_is_served(api: Api) -> None:
    """For programs and, without a script, for people."""
    assert (await api.ask("GET", "/openapi.json", subject=None)).json["info"]["title"] == "Inkwire"
    docs = await api.ask("GET", "/docs", subject=None)
    assert docs.headers["Content-Type"].startswith("text/html")
    assert b"POST /posts" in docs.body and b"<script" not in docs.body


async def test_the_document_of_the_events_is_served(api: Api) -> None:
    """As it is committed, without a token, and named by the page for people."""
    answer = await api.ask("GET", "/asyncapi.json", subject=None)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == json.loads(ASYNCAPI.read_text(encoding="utf-8"))
    assert b'href="/asyncapi.json"' in (await api.ask("GET", "/docs", subject=None)).body
