"""Documents over HTTP, on a real broker, a real store and real readers of files."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from inkwire_api.adapters import uploads
from inkwire_api.adapters.log import JetStreamLog
from inkwire_chassis.clock import SystemClock
from inkwire_contracts.errors import ERROR_CODES
from inkwire_contracts.ids import idempotent_post_id, is_id
from inkwire_stores import open_document_store
from inkwire_stores.document_ports import DocumentStore
from tests.support.api import Answer, Api, make_settings, open_api, token
from tests.support.documents import (
    ACCESS_CONTROL,
    INCIDENTS,
    REMOTE_WORK,
    blank_pdf,
    document_id,
    docx_of,
    pdf,
    uploaded,
)

MAX_BYTES = 64 * 1024
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
NDJSON = "application/x-ndjson"
TEXT = b"Doors are locked at eight.\n"


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """With room for four documents of each owner."""
    async with open_api(nats_url, tmp_path, document_max_bytes=MAX_BYTES, max_documents=4) as opened:
        yield opened


@pytest_asyncio.fixture
async def library(api: Api, tmp_path: Path) -> AsyncIterator[DocumentStore]:
    """The api's store, to have documents there without reading files."""
    async with open_document_store(make_settings("nats://127.0.0.1:1", tmp_path).store_url) as opened:
        yield opened


async def upload(api: Api, data: Any, name: str = "notes.txt", media_type: str = "", **options: Any) -> Answer:
    """As a form, the way browsers and curl -F do it."""
    form = aiohttp.FormData()
    form.add_field("file", data, filename=name, content_type=media_type or "application/octet-stream")
    return await api.ask("POST", "/documents", data=form, **options)


def lines(answer: Answer) -> list[dict[str, Any]]:
    """The lines of an answer with progress."""
    assert answer.status == 200 and answer.headers["Content-Type"] == NDJSON
    return [json.loads(line) for line in answer.body.splitlines()]


def large_pdf() -> bytes:
    return pdf([REMOTE_WORK, ACCESS_CONTROL, INCIDENTS] * 3, {1: "Working from home", 2: "Access control"})


KINDS: tuple[tuple[str, bytes, str, int | None], ...] = (
    ("n.txt", f"{REMOTE_WORK}\n\n{ACCESS_CONTROL}".encode(), "text/plain", None),
    ("n.md", f"# Home\n\n{REMOTE_WORK}\n\n# Access\n\n{ACCESS_CONTROL}".encode(), "text/markdown", None),
    ("n.html", f"<html><body><h1>Access</h1><p>{REMOTE_WORK}<p>{ACCESS_CONTROL}".encode(), "text/html", None),
    ("n.pdf", pdf([REMOTE_WORK, ACCESS_CONTROL]), "application/pdf", 2),
    ("n.docx", docx_of(REMOTE_WORK, ("Heading 1", "Access"), ACCESS_CONTROL), WORD, None),
)


async def test_each_kind_comes_back_as_text(nats_url: str, tmp_path: Path) -> None:
    """An upload is answered with what it is, and read back with its words at their places."""
    async with open_api(nats_url, tmp_path) as api:
        for number, (name, data, media_type, pages) in enumerate(KINDS, start=1):
            answer = await upload(api, data, name)
            assert answer.status == 201 and is_id(answer.json["id"])
            assert answer.headers["Location"] == f"/documents/{answer.json['id']}"
            told = {"number": number, "name": name, "media_type": media_type, "pages": pages, "size_bytes": len(data)}
            assert told.items() <= answer.json.items()
            assert answer.json["sha256"] == hashlib.sha256(data).hexdigest() and answer.json["embedded"] is False
            read = await api.ask("GET", answer.headers["Location"])
            passages = read.json.pop("content")
            assert read.json == answer.json and len(passages) == answer.json["passages"]
            words = " ".join(" ".join(passage["text"] for passage in passages).split())
            assert "up to three days a week" in words and "reviewed every quarter" in words
            place = {"n.txt": (None, ""), "n.pdf": (2, "")}.get(name, (None, "Access"))
            assert (passages[-1]["page"], passages[-1]["heading"]) == place


async def test_the_file_itself_with_progress(api: Api) -> None:
    """A body that is the file is read under its name; lines tell how far it is, the last one brings the document."""
    options = {"headers": {"Accept": NDJSON, "Content-Type": "application/pdf"}}
    told = lines(
        await api.ask("POST", "/documents?name=C:%5Ctmp%5CDas%20%22B%C3%BCro%22.pdf", data=large_pdf(), **options)
    )
    assert told[-1]["type"] == "document" and told[-1]["document"]["name"] == "Das 'Büro'.pdf"
    steps = [(line["done"], line["total"]) for line in told[:-1]]
    assert steps == sorted(steps) and steps[-1] == (9, 9)
    listed = await api.ask("GET", "/documents")
    assert listed.json == {"items": [told[-1]["document"]], "next_cursor": None}


REFUSED = (
    ("secret.pdf", pdf(["nothing"], password="secret"), "document_unreadable"),
    ("half.pdf", pdf([REMOTE_WORK])[:700], "document_unreadable"),
    ("scan.pdf", blank_pdf(2), "document_empty"),
    ("empty.txt", b"", "document_empty"),
    ("text.docx", b"no archive at all", "document_unreadable"),
    ("a.zip", b"PK\x03\x04" + bytes(100), "unsupported_document"),
    ("photo.jpg", b"\xff\xd8\xff\xe0" + bytes(range(256)) * 20, "unsupported_document"),
    ("large.txt", b"x" * (MAX_BYTES + 1), "document_too_large"),
)


async def test_what_cannot_be_read_is_told_and_leaves_nothing(api: Api) -> None:
    """Broken, locked, empty, foreign and too large files end in their problem."""
    for name, data, code in REFUSED:
        answer = await upload(api, data, name)
        assert answer.code == code, (name, answer.body)
        assert answer.status == ERROR_CODES[code].status
    last = lines(await upload(api, REFUSED[1][1], "half.pdf", headers={"Accept": NDJSON}))[-1]
    assert (last["type"], last["problem"]["code"]) == ("error", "document_unreadable")
    assert (await api.ask("GET", "/documents")).json["items"] == []


async def test_the_size_is_bounded_while_it_is_read(api: Api) -> None:
    """A body without an announced length is cut off at the bound, far before its end, as a form and as itself."""
    sent = 0

    async def endless(head: bytes) -> AsyncIterator[bytes]:
        nonlocal sent
        yield head
        for _ in range(2_000):
            sent += 16_384
            yield b"x" * 16_384

    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    for head, content_type in ((b"", "text/plain"), (form, "multipart/form-data; boundary=b")):
        sent = 0
        try:
            answer = await api.ask(
                "POST", "/documents?name=a.txt", data=endless(head), headers={"Content-Type": content_type}
            )
        except aiohttp.ClientError:  # the connection may be closed before the answer is read
            pass
        else:
            assert answer.code == "document_too_large" and answer.json["limit_bytes"] == MAX_BYTES
        assert sent < 2_000 * 16_384
    exact = await upload(api, b"a" * MAX_BYTES)
    assert exact.status == 201 and exact.json["size_bytes"] == MAX_BYTES


async def test_a_body_that_is_no_upload(api: Api) -> None:
    """It is refused with what to send instead."""
    form = "multipart/form-data; boundary=b"
    part = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\nnot a file\r\n--b--\r\n'
    for path, content_type, body in (
        ("/documents", "text/plain", b"no name"),
        ("/documents?name=", "text/plain", b"no name"),
        ("/documents", "multipart/form-data", b"no boundary"),
        ("/documents", form, b"no part"),
        ("/documents", form, part % b"other"),
        ("/documents", form, part % b"file"),
        ("/documents", form, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
        ("/documents", form, b"--b\r\n" + b"X: y\r\n" * 500),
    ):
        answer = await api.ask("POST", path, data=body, headers={"Content-Type": content_type})
        assert (answer.status, answer.code) == (400, "malformed_upload"), (body, answer.body)


async def test_the_limit_of_documents_and_numbers_that_stay_used(api: Api, library: DocumentStore) -> None:
    """The fifth is refused before it is read; a deletion makes room, and the new one has a number of its own."""
    for number in range(1, 5):
        await library.add(uploaded(number), limit=4)
    refused = await upload(api, b"\0not even readable")
    assert (refused.status, refused.code) == (409, "document_limit") and refused.json["limit"] == 4
    path = f"/documents/{document_id(4)}"
    assert (await api.ask("DELETE", path)).status == 204
    assert (await api.ask("DELETE", path)).code == "not_found" == (await api.ask("GET", path)).code
    assert (await upload(api, TEXT)).json["number"] == 5


async def test_lists_are_paged(api: Api, library: DocumentStore) -> None:
    """Newest first; the cursor goes on where the page ended; another kind's cursor is none."""
    for number in range(1, 5):
        await library.add(uploaded(number), limit=4)
    first = (await api.ask("GET", "/documents?limit=3")).json
    assert [item["number"] for item in first["items"]] == [4, 3, 2]
    rest = (await api.ask("GET", f"/documents?limit=3&cursor={first['next_cursor']}")).json
    assert [item["number"] for item in rest["items"]] == [1] and rest["next_cursor"] is None
    assert (await api.ask("GET", "/documents?cursor=nonsense")).code == "invalid_cursor"
    assert (await api.ask("GET", f"/posts?cursor={first['next_cursor']}")).code == "invalid_cursor"


async def test_owners_and_tokens_are_apart(api: Api, library: DocumentStore) -> None:
    """Another's document is not found; a token without the scope, or for one channel only, reaches none."""
    await library.add(uploaded(1), limit=4)
    path = f"/documents/{document_id(1)}"
    for method in ("GET", "DELETE"):
        assert (await api.ask(method, path, subject="ben")).code == "not_found"
        assert (await api.ask(method, "/documents/nonsense")).code == "not_found"
    assert (await api.ask("GET", "/documents", subject="ben")).json["items"] == []
    reads = {"Authorization": f"Bearer {token(scopes=['post:read'])}"}
    assert (await api.ask("GET", path, headers=reads)).status == 200
    assert (await upload(api, TEXT, headers=reads)).code == "forbidden"
    assert (await api.ask("DELETE", path, headers=reads)).code == "forbidden"
    narrow = {"Authorization": f"Bearer {token(channels=['user:ana', 'post:' + idempotent_post_id('ana', 'x')])}"}
    for method, where in (("GET", "/documents"), ("GET", path), ("DELETE", path), ("POST", "/documents?name=a.txt")):
        assert (await api.ask(method, where, headers=narrow, data=TEXT)).code == "forbidden_channel"
    assert (await api.create("Use @1", headers=narrow)).code == "forbidden_channel"
    assert (await api.create("Use nothing", headers=narrow)).status == 202
    assert (await upload(api, TEXT, subject=None)).code == "unauthenticated"


async def test_a_post_is_requested_with_its_documents(api: Api, library: DocumentStore) -> None:
    """What title, options and list mention travels with the job; GET tells it; the same key finds the same post."""
    for number, name in enumerate(("notes.md", "Security policy.pdf", "never.md"), start=1):
        await library.add(uploaded(number, name=name), limit=4)
    options = {"audience": "readers of @notes.md, not of @nobody or a@3.com"}
    body = {"options": options, "documents": ["Security policy.pdf"]}
    accepted = await api.create("Training from @1", key="k", body=body)
    assert accepted.status == 202, accepted.body
    job = await JetStreamLog(api.log, SystemClock()).stored_job(1)
    assert job is not None
    assert [(ref.owner, ref.number, ref.name) for ref in job.request.documents] == [
        ("ana", 2, "Security policy.pdf"),
        ("ana", 1, "notes.md"),
    ]
    read = await api.ask("GET", f"/posts/{accepted.json['id']}")
    assert [(one["number"], one["name"]) for one in read.json["documents"]] == [
        (2, "Security policy.pdf"),
        (1, "notes.md"),
    ]
    again = await api.create("Training from @1", key="k", body=body)
    assert again.json["id"] == accepted.json["id"] and again.headers["Idempotency-Replayed"] == "true"
    other = await api.create("Training from @1", key="k", body={**body, "documents": ["notes.md"]})
    assert other.code == "idempotency_mismatch"


async def test_unknown_documents_end_a_request_before_it_counts(api: Api, library: DocumentStore) -> None:
    """By number, name or id, missing or somebody else's: 422, it says which one, and nothing is stored."""
    await library.add(uploaded(1, owner="ben", name="theirs.txt"), limit=4)
    theirs = document_id(1)
    before = await api.stored()
    wanted: list[tuple[str, dict[str, Any], str]] = [
        ("Use @1", {}, "@1"),
        ('Use @"theirs.txt"', {}, '@"theirs.txt"'),
        ("T", {"options": {"audience": "see @7"}}, "@7"),
        ("T", {"documents": [theirs]}, theirs),
        ("T", {"documents": ["theirs.txt"]}, "@theirs.txt"),
        ("T", {"recipe": "analysis", "options": {"material": "From @1"}}, "@1"),
    ]
    for title, body, said in wanted:
        answer = await api.create(title, body=body)
        assert (answer.status, answer.code) == (422, "unknown_document"), answer.body
        assert said in answer.json["detail"]
    many = await api.create(" ".join(f"@{n}" for n in range(1, 22)))
    assert many.code == "too_many_documents"
    for wrong in ([0], [True], [1.5], [""], ["x" * 201], [None], "1", {"a": 1}):
        assert (await api.create("T", body={"documents": wrong})).code == "invalid_request"
    assert await api.stored() == before


async def test_a_client_that_sends_too_slowly_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come to its end holds its place for a bounded time only."""
    monkeypatch.setattr(uploads, "UPLOAD_TIMEOUT_S", 0.2)
    answered = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"the beginning"
        await answered.wait()

    for _ in range(4):  # more than an owner has places
        answered.clear()
        try:
            answer = await api.ask("POST", "/documents?name=a.txt", data=stuck())
        finally:
            answered.set()
        assert (answer.status, answer.code) == (408, "upload_too_slow")
