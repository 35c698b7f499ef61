"""The api on a real broker and a real store: accepting, reading, listing, tokens, health."""

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from inkwire_api.app import running
from inkwire_chassis.clock import new_id
from inkwire_chassis.lifecycle import Supervisor, spawn
from inkwire_chassis.provisioning import Drift
from inkwire_contracts import events
from inkwire_contracts.commands import Job
from inkwire_contracts.events import Turn
from inkwire_contracts.fold import Snapshot
from inkwire_contracts.topology import EVENTS, JOBS
from inkwire_stores import StoredPost
from tests.support.api import Api, make_settings, open_api, token
from tests.support.log import ScriptedWriter, make_job, open_log
from tests.support.servers import NatsFactory
from tests.support.wait import eventually

AT = "T00:00:00.000Z"


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path) as opened:
        yield opened


async def test_a_post_is_accepted_once_job_and_request_are_stored(api: Api) -> None:
    """202 names the post; the job waits in JOBS and ``requested`` is in the log, both as the client sent them."""
    answer = await api.create("  Top 10 Laravel tips  ", body={"priority": "high"})
    assert answer.status == 202
    post = answer.json["id"]
    assert answer.headers["Location"] == f"/posts/{post}"
    assert answer.json["status_url"] == f"http://127.0.0.1:8080/posts/{post}"
    assert answer.json["websocket_url"] == "ws://127.0.0.1:8080/ws"
    assert answer.json["channel"] == f"post:{post}"
    [stored] = await api.log.read("ana", post)
    assert isinstance(stored.event, events.GenerateRequested)
    assert stored.event.data.title == "Top 10 Laravel tips"
    message = await api.log.jetstream.leader_get(JOBS, 1)
    assert message is not None
    job = Job.model_validate_json(message.payload)
    assert (job.post, job.priority, job.request) == (post, "high", stored.event.data)
    assert message.subject.startswith("jobs.general.high.") and message.subject.endswith(".ana")


async def test_a_trace_goes_on_in_job_and_log(api: Api) -> None:
    """A valid traceparent is carried along, anything else is dropped."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for given, kept in ((trace, trace), ("00-junk", None)):
        post = (await api.create(headers={"traceparent": given})).json["id"]
        [stored] = await api.log.read("ana", post)
        assert stored.event.traceparent == kept


async def test_a_post_can_be_read_at_once_by_its_own_token(api: Api) -> None:
    """The token of the 202 reads that post, from the log alone where the store has nothing yet, and no other."""
    one, other = (await api.create()).json, (await api.create()).json
    own = {"Authorization": f"Bearer {one['token']}"}
    answer = await api.ask("GET", f"/posts/{one['id']}", headers=own)
    assert (answer.status, answer.json["status"], answer.json["position"]["seq"]) == (200, "queued", 1)
    assert (await api.ask("GET", f"/posts/{other['id']}", headers=own)).code == "forbidden_channel"
    assert (await api.ask("GET", "/posts", headers=own)).code == "forbidden_channel"
    refused = await api.ask("POST", "/posts", headers=own, json={"title": "More"})
    assert (refused.code, refused.json["scope"]) == ("forbidden", "post:write")


async def test_a_post_being_written_is_read_forward_from_the_store(api: Api) -> None:
    """The document is behind the log; the answer is not: text, progress and position are the newest."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    await writer.write(events.Planned, sections=[{"section": "s1", "title": "One"}, {"section": "s2", "title": "Two"}])
    await writer.section("s1", "# One\n\n", "Naïve 🗄️.\n\n")
    newest = await api.log.newest("ana", writer.job.post)
    assert newest is not None
    await api.keep(writer.snapshot, stream_seq=newest.stream_seq)
    await writer.open("s2", title="Two")
    await writer.chunk("half a sen")
    await writer.write(events.Progressed, percent=60, code="writing_section", message="Writing section 2 of 2: Two")

    answer = await api.ask("GET", f"/posts/{writer.job.post}")
    assert answer.status == 200
    assert [(s["status"], s["text"]) for s in answer.json["sections"]] == [
        ("done", "# One\n\nNaïve 🗄️.\n\n"),
        ("writing", "half a sen"),
    ]
    assert (answer.json["percent"], answer.json["position"]) == (
        60,
        {"epoch": await api.log.epoch(), "seq": writer.snapshot.seq},
    )


async def test_a_document_of_another_log_is_folded_from_this_one(api: Api) -> None:
    """A stored position means nothing under another epoch, so the log is read from its beginning."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    await writer.section("s1", "text")
    foreign = StoredPost(writer.snapshot.model_copy(update={"seq": 2}), 999, "1999-01-01T00:00:00Z")
    assert await api.store.put(foreign, expected_seq=0)
    answer = await api.ask("GET", f"/posts/{writer.job.post}")
    assert answer.json["sections"][0]["text"] == "text"
    assert answer.json["position"] == {"epoch": await api.log.epoch(), "seq": writer.snapshot.seq}


async def test_a_place_that_cannot_be_in_this_log_is_not_read_on_from(api: Api) -> None:
    """A log set back keeps its epoch; a document with a place behind the newest event is folded anew."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    earlier = writer.snapshot.model_copy(deep=True)
    await writer.section("s1", "text")
    await api.keep(earlier, stream_seq=999)
    answer = await api.ask("GET", f"/posts/{writer.job.post}")
    assert (answer.status, answer.json["seq"]) == (200, writer.snapshot.seq)


async def test_a_log_that_begins_later_goes_on_from_the_store(api: Api) -> None:
    """What was purged, or lost with the broker's volume, is taken from the store, whichever log it came from."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    await writer.section("s1", "kept, ")
    before = StoredPost(writer.snapshot.model_copy(deep=True), 999, "1999-01-01T00:00:00Z")
    assert await api.store.put(before, expected_seq=0)
    await api.log.jetstream.api(f"STREAM.PURGE.{EVENTS}", {"filter": f"posts.ana.{writer.job.post}.>"})
    await writer.section("s2", "and new")
    answer = await api.ask("GET", f"/posts/{writer.job.post}")
    assert [section["text"] for section in answer.json["sections"]] == ["kept, ", "and new"]
    assert answer.json["position"] == {"epoch": await api.log.epoch(), "seq": writer.snapshot.seq}


async def test_a_damaged_log_is_told(api: Api) -> None:
    """First as damage; once the persister has found it too, the post is readable as failed, its text is not."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    post, sound = writer.job.post, writer.snapshot.model_copy(deep=True)
    contradiction = {"run": 7, "attempt": 1, "seq": sound.seq + 1, "prev": sound.key_seq, "time": sound.updated_at}
    await api.log.append(events.Planned(post=post, owner="ana", data={"sections": []}, **contradiction), writer.held)  # type: ignore[arg-type]
    assert (await api.ask("GET", f"/posts/{post}")).code == "corrupt"
    await api.keep(sound.model_copy(update={"status": "failed"}), stream_seq=2, corrupt=True)
    answer = await api.ask("GET", f"/posts/{post}")
    assert (answer.status, answer.json["status"], answer.json["seq"]) == (200, "failed", sound.seq)
    assert (await api.ask("GET", f"/posts/{post}/markdown")).code == "corrupt"


async def test_a_published_post_is_downloaded_byte_for_byte(api: Api) -> None:
    """The bytes match the digest of the last event, the ETag and Repr-Digest; a known ETag costs nothing."""
    text = "# Ten tips\n\nCafe\u0301 is not café 👩‍👩‍👧.\r\n"
    writer = await ScriptedWriter.begin(api.log, make_job("ana", title="Ten tips"))
    await writer.section("s1", text)
    assert (await api.ask("GET", f"/posts/{writer.job.post}/markdown")).code == "not_ready"
    await writer.publish()
    answer = await api.ask("GET", f"/posts/{writer.job.post}/markdown")
    sha256 = hashlib.sha256(text.encode())
    assert (answer.status, answer.body) == (200, text.encode())
    assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert answer.headers["ETag"] == f'"{sha256.hexdigest()}"'
    assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(sha256.digest()).decode()}:"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="ten-tips.md"')
    again = await api.ask(
        "GET", f"/posts/{writer.job.post}/markdown", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert (again.status, again.body) == (304, b"")


async def test_a_finished_post_outlives_its_log(api: Api) -> None:
    """After a purge the store answers for the post, its text, and the list."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    await writer.section("s1", "kept")
    await writer.publish()
    await api.keep(writer.snapshot, stream_seq=1)
    await api.log.jetstream.api("STREAM.PURGE.EVENTS", {"filter": f"posts.ana.{writer.job.post}.*"})
    assert (await api.ask("GET", f"/posts/{writer.job.post}")).json["status"] == "published"
    assert (await api.ask("GET", f"/posts/{writer.job.post}/markdown")).body == b"kept"
    assert (await api.ask("GET", f"/posts/{writer.job.post}", subject="ben")).code == "not_found"


async def test_a_damaged_text_is_not_given_out(api: Api) -> None:
    """A stored text that does not match the digest is an error that says so."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    await writer.section("s1", "true")
    await writer.publish()
    false = writer.snapshot.model_copy(deep=True)
    false.sections[0].set_text("false")
    await api.keep(false, stream_seq=1)
    answer = await api.ask("GET", f"/posts/{writer.job.post}/markdown")
    assert (answer.status, answer.code) == (500, "corrupt")
    assert "digest" in answer.json["detail"]


async def test_a_deleted_post_is_gone(api: Api) -> None:
    """From the log at once, also when the janitor has left nothing but the last event."""
    writer = await ScriptedWriter.begin(api.log, make_job("ana"))
    await writer.section("s1", "text")
    await writer.publish()
    await writer.write(events.Deleted)
    assert (await api.ask("GET", f"/posts/{writer.job.post}")).status == 410
    await api.log.jetstream.api("STREAM.PURGE.EVENTS", {"filter": f"posts.ana.{writer.job.post}.*", "keep": 1})
    assert (await api.ask("GET", f"/posts/{writer.job.post}/markdown")).code == "gone"


async def test_lists_are_ones_own_in_pages(api: Api) -> None:
    """Newest first, every post once, filtered by status; other owners' posts are not there."""
    for number in range(5):
        status = "published" if number % 2 else "failed"
        snapshot = Snapshot(
            post=new_id(),
            owner="ana",
            seq=3,
            title=f"P{number}",
            status=status,
            created_at=f"2026-01-0{number + 1}{AT}",
        )
        await api.keep(snapshot, stream_seq=number + 1)
    await api.keep(Snapshot(post=new_id(), owner="ben", seq=1, created_at=f"2026-01-09{AT}"), stream_seq=9)

    first = (await api.ask("GET", "/posts?limit=3")).json
    second = (await api.ask("GET", f"/posts?limit=3&cursor={first['next_cursor']}")).json
    assert [item["title"] for item in first["items"] + second["items"]] == ["P4", "P3", "P2", "P1", "P0"]
    assert second["next_cursor"] is None
    published = (await api.ask("GET", "/posts?status=published&limit=1")).json
    assert [item["title"] for item in published["items"]] == ["P3"]
    wrong = await api.ask("GET", f"/posts?status=failed&cursor={published['next_cursor']}")
    assert wrong.code == "invalid_cursor"


async def test_answers_in_conversations_are_listed_only_if_asked_for(api: Api) -> None:
    """They are posts too, and yet no articles; a cursor of one list is none of the other."""
    turn = Turn(conversation=new_id(), message=new_id(), reply=new_id())
    for number in range(4):
        snapshot = Snapshot(
            post=new_id(),
            owner="ana",
            seq=3,
            title=f"P{number}",
            status="published",
            created_at=f"2026-01-0{number + 1}{AT}",
            turn=turn if number % 2 else None,
        )
        await api.keep(snapshot, stream_seq=number + 1)
    for status in ("", "&status=published"):
        articles = (await api.ask("GET", f"/posts?limit=50{status}")).json["items"]
        assert [(item["title"], item["conversation"]) for item in articles] == [("P2", None), ("P0", None)]
        first = (await api.ask("GET", f"/posts?limit=3&replies=true{status}")).json
        rest = (await api.ask("GET", f"/posts?limit=3&replies=true&cursor={first['next_cursor']}{status}")).json
        assert [item["title"] for item in first["items"] + rest["items"]] == ["P3", "P2", "P1", "P0"]
        assert first["items"][0]["conversation"] == turn.conversation
        wrong = await api.ask("GET", f"/posts?cursor={first['next_cursor']}{status}")
        assert wrong.code == "invalid_cursor"


async def test_open_posts_are_capped(nats_url: str, tmp_path: Path) -> None:
    """The owner with as many unfinished posts as allowed waits; another does not."""
    async with open_api(nats_url, tmp_path, max_open_posts=1) as api:
        snapshot = Snapshot(post=new_id(), owner="ana", seq=1, status="generating", created_at=f"2026-01-01{AT}")
        await api.keep(snapshot, stream_seq=1)
        answer = await api.create()
        assert (answer.status, answer.code, answer.json["limit"]) == (429, "too_many_posts", 1)
        assert (await api.create(subject="ben")).status == 202
        assert await api.jobs() == 1


async def test_requests_are_limited(nats_url: str, tmp_path: Path) -> None:
    """Beyond the burst 429 says when to come again, and nothing is stored."""
    async with open_api(nats_url, tmp_path, posts_burst=1, posts_per_s=0.01) as api:
        assert (await api.create()).status == 202
        answer = await api.create()
        assert (answer.status, answer.code) == (429, "rate_limited")
        assert int(answer.headers["Retry-After"]) == answer.json["retry_after_s"] > 0
        assert await api.jobs() == 1


async def test_a_nearly_full_log_takes_nothing_new(api: Api) -> None:
    """Above 80 % of the stream's bytes POST is 503 with Retry-After, and reading goes on."""
    post = (await api.create()).json["id"]
    for number in range(5):
        await api.log.jetstream.publish(f"cancels.filler.filler.{number}", b"x" * 200_000, {})
    info = await api.log.jetstream.stream_info(EVENTS)
    smaller = {**info["config"], "max_bytes": int(info["state"]["bytes"] / 0.81)}
    await api.log.jetstream.api(f"STREAM.UPDATE.{EVENTS}", smaller)

    async def refused() -> bool:
        answer = await api.create()
        return (answer.status, answer.code, answer.headers.get("Retry-After")) == (503, "log_full", "30")

    await eventually(refused, what="the full log is noticed")
    assert (await api.ask("GET", f"/posts/{post}")).status == 200


async def test_a_developer_signs_in_without_credentials(api: Api) -> None:
    """On loopback the page becomes ``local``, and its token can be narrowed but not widened."""
    signed_in = await api.ask("POST", "/tokens", subject=None, headers={"Origin": api.base_url})
    assert (signed_in.status, signed_in.json["owner"]) == (200, "local")
    own = {"Authorization": f"Bearer {signed_in.json['token']}"}
    post = (await api.ask("POST", "/posts", headers=own, json={"title": "Mine"})).json["id"]
    wish = {"scopes": ["post:read"], "channels": [f"post:{post}"], "lifetime_s": 60}
    narrow = await api.ask("POST", "/tokens", headers=own, json=wish)
    assert (narrow.json["scopes"], narrow.json["channels"]) == (["post:read"], [f"post:{post}"])
    less = {"Authorization": f"Bearer {narrow.json['token']}"}
    assert (await api.ask("GET", f"/posts/{post}", headers=less)).status == 200
    assert (await api.ask("POST", "/posts", headers=less, json={"title": "More"})).code == "forbidden"
    assert (await api.ask("POST", "/tokens", headers=less, json={"scopes": ["post:write"]})).code == "forbidden"


async def test_signing_in_is_off_where_it_is_not_asked_for(nats_url: str, tmp_path: Path) -> None:
    """Without the setting there is no token without a token."""
    async with open_api(nats_url, tmp_path, dev_sign_in=False) as api:
        assert (await api.ask("POST", "/tokens", subject=None)).code == "unauthenticated"
        assert (await api.ask("GET", "/config", subject=None)).json["dev_sign_in"] is False


async def test_what_can_be_written_is_listed(api: Api) -> None:
    """With the JSON Schema of the options and the first steps, without signing in; the page's own settings likewise."""
    kinds = {kind["name"]: kind for kind in (await api.ask("GET", "/recipes", subject=None)).json["items"]}
    blog = kinds["blog"]
    assert blog["title"] and blog["description"] and blog["inputs"]["type"] == "object"
    assert blog["steps"] == [{"section": "outline", "title": "Outline"}]
    assert [step["section"] for step in kinds["social"]["steps"]] == [
        "keywords", "strategy", "content_generation", "compliance_check",
    ]  # fmt: skip
    assert kinds["course"]["steps"] == []
    config = (await api.ask("GET", "/config", subject=None)).json
    assert (config["simulated"], config["dev_sign_in"]) == (False, True)


async def test_readiness_names_what_is_missing(nats_factory: NatsFactory, tmp_path: Path) -> None:
    """All dependencies are named; with the broker gone the process lives, is not ready, and comes back by itself."""
    server = nats_factory()
    async with open_api(server.url, tmp_path) as api:
        ready = await api.ask("GET", "/readyz", subject=None)
        assert (ready.status, ready.json["checks"]) == (
            200,
            {"log": "ok", "nats": "ok", "streams": "ok", "store": "ok", "documents": "ok"},
        )
        server.kill9()
        broken = await api.ask("GET", "/readyz", subject=None)
        assert broken.status == 503
        assert broken.json["checks"]["store"] == "ok" and broken.json["checks"]["nats"] != "ok"
        assert (await api.ask("GET", "/livez", subject=None)).status == 200
        server.start()
        await eventually(lambda: _is_ready(api), what="ready again")


async def _is_ready(api: Api) -> bool:
    return (await api.ask("GET", "/readyz", subject=None)).status == 200


async def test_it_waits_for_the_broker_to_be_provisioned(nats_url: str, tmp_path: Path) -> None:
    """Started first, it waits; provisioned within its patience, it serves; else it ends and says what to run."""
    with pytest.raises(Drift, match="run `inkwire provision`"):
        async with running(make_settings(nats_url, tmp_path, provision_timeout_s=0.01), Supervisor()):
            pass

    async def serve() -> int:
        async with running(make_settings(nats_url, tmp_path), Supervisor()) as port:
            return port

    waiting = spawn("api", serve())
    async with open_log(nats_url):
        assert await waiting > 0


async def test_another_origin_may_call_if_it_is_allowed(nats_url: str, tmp_path: Path) -> None:
    """Its preflight passes and answers can be read; an origin that is not allowed gets no such headers."""
    async with open_api(nats_url, tmp_path, allowed_origins="https://shop.example") as api:
        headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        good = await api.ask("OPTIONS", "/posts", headers={**headers, "Origin": "https://shop.example"})
        assert (good.status, good.headers["Access-Control-Allow-Origin"]) == (200, "https://shop.example")
        bad = await api.ask("OPTIONS", "/posts", headers={**headers, "Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in bad.headers


async def test_head_is_answered_wherever_get_is(api: Api) -> None:
    """With the status and the headers of GET, and no body; errors, too. What takes no GET takes no HEAD."""
    post = (await api.create()).json["id"]
    paths = ("/livez", "/recipes", "/posts", f"/posts/{post}", f"/posts/{post}/markdown", "/posts?limit=x", "/nothing")
    for path in paths:
        full, head = await api.ask("GET", path), await api.ask("HEAD", path)
        assert (head.status, head.body) == (full.status, b""), path
        for name in ("Content-Type", "Content-Length"):
            assert head.headers[name] == full.headers[name], path
    assert (await api.ask("HEAD", "/posts", subject=None)).status == 401
    assert (await api.ask("HEAD", "/tokens")).status == 405


async def test_no_token_is_ever_logged(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever a request carries or is answered with, the log has none of it."""
    given = token("ana")
    answer = await api.ask("POST", f"/posts?token={given}", headers={"Authorization": f"Bearer {given}"}, json={})
    assert answer.status == 422
    minted = (await api.create(headers={"Authorization": f"Bearer {given}"})).json["token"]
    out, err = capfd.readouterr()
    assert "/posts" in out + err
    assert given not in out + err and minted not in out + err
