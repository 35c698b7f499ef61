"""Taking finished posts away over HTTP, and what GET tells of them: real api, real broker."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest_asyncio
import yaml
from docx import Document

from inkwire_contracts import events
from inkwire_contracts.fold import digest, document
from tests.support.api import Api, open_api, token
from tests.support.log import ScriptedWriter, make_job

METADATA = {"title": "Zehn Tipps für Gärten", "description": "What helps.", "tags": ["gardens", "water"]}
PLAN = [
    {"section": "s0", "title": "Introduction", "target_words": 50},
    {"section": "s1", "title": "Rain", "target_words": 90},
]


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path) as opened:
        yield opened


async def writing(api: Api) -> ScriptedWriter:
    """A planned post of ana's, written but for its end."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana", title="Ten tips"))
    await writer.write(events.Planned, sections=PLAN, metadata=METADATA)
    await writer.section("s0", "# Zehn Tipps für Gärten\n\nHello <script>alert(1)</script>.")
    await writer.section("s1", "\n\n## Rain\n\nCollect *all* of it.\n")
    return writer


async def test_a_published_post_in_every_format(api: Api) -> None:
    """The right media type, a name, a digest of the bytes; unchanged ones are not sent again."""
    writer = await writing(api)
    await writer.publish()
    post, text = writer.job.post, document(writer.snapshot)
    bodies = {}
    for name, media_type, extension in (
        ("markdown", "text/markdown; charset=utf-8", "md"),
        ("html", "text/html; charset=utf-8", "html"),
        ("json", "application/json", "json"),
        ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ):
        path = f"/posts/{post}/export?format={name}"
        answer = await api.ask("GET", path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, media_type)
        sha256 = base64.b64encode(hashlib.sha256(answer.body).digest()).decode()
        assert answer.headers["Repr-Digest"] == f"sha-256=:{sha256}:"
        assert f'filename="zehn-tipps-fur-garten.{extension}"' in answer.headers["Content-Disposition"]
        assert f"filename*=UTF-8''zehn-tipps-f%C3%BCr-g%C3%A4rten.{extension}" in answer.headers["Content-Disposition"]
        again = await api.ask("GET", path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
        bodies[name] = answer.body
        if name == "html":
            assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    head, body = bodies["markdown"].removeprefix(b"---\n").split(b"---\n\n", 1)
    front = yaml.safe_load(head)
    assert body == text.encode() and front["sha256"] == digest(text) == hashlib.sha256(body).hexdigest()
    assert {name: front[name] for name in METADATA} == METADATA
    assert front["target_words"] == 140 and front["words"] == len(text.split())
    assert b"&lt;script&gt;" in bodies["html"] and b"<script" not in bodies["html"]
    assert json.loads(bodies["json"])["markdown"] == text
    assert [p.text for p in Document(BytesIO(bodies["docx"])).paragraphs][:1] == ["Zehn Tipps für Gärten"]
    assert (await api.ask("GET", f"/posts/{post}/export")).body == bodies["markdown"]


async def test_what_is_known_of_a_post(api: Api) -> None:
    """Title, description, tags, reading time, words and target words, as a whole and for each section."""
    writer = await writing(api)
    for end in (False, True):
        if end:
            await writer.publish()
        found = (await api.ask("GET", f"/posts/{writer.job.post}")).json
        assert found["metadata"] == METADATA
        assert (found["target_words"], found["reading_time_minutes"]) == (140, 1)
        told = [(s["section"], s["target_words"], s["words"]) for s in found["sections"]]
        assert told == [("s0", 50, 7), ("s1", 90, 6)]


async def test_what_cannot_be_taken_away(api: Api) -> None:
    """Not while it is written or waits for its author; not another's, a deleted one, or a format that is not there."""
    writer = await writing(api)
    path = f"/posts/{writer.job.post}/export"
    refused = await api.ask("GET", path)
    assert (refused.status, refused.code) == (409, "not_ready")
    assert (await api.ask("GET", path, subject="ben")).code == "not_found"
    assert (await api.ask("GET", path, subject=None)).code == "unauthenticated"
    other = {"Authorization": f"Bearer {token('ana', channels=('post:' + make_job().post,))}"}
    assert (await api.ask("GET", path, headers=other)).code == "forbidden_channel"
    assert (await api.ask("GET", f"{path}?format=pdf")).json["errors"][0]["parameter"] == "format"
    await writer.write(events.Paused, reason="review")
    assert (await api.ask("GET", path)).code == "not_ready"
    assert (await api.ask("DELETE", f"/posts/{writer.job.post}")).status == 204
    assert (await api.ask("GET", path)).code == "gone"


async def test_what_was_written_of_a_failed_post_says_so(api: Api) -> None:
    """Its status is in the front matter and on the page, so that nobody takes it for the whole."""
    writer = await writing(api)
    await writer.write(events.Failed, code="provider_auth")
    answer = await api.ask("GET", f"/posts/{writer.job.post}/export")
    assert yaml.safe_load(answer.body.split(b"---\n")[1])["status"] == "failed"
    page = (await api.ask("GET", f"/posts/{writer.job.post}/export?format=html")).body
    assert "failed: not the whole article" in page.decode()
