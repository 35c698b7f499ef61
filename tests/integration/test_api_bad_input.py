"""Wrong requests and tokens: each gets a clear problem document, and nothing at all is changed."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio

from inkwire_api.pagination import encode_cursor
from inkwire_contracts.errors import ERROR_CODES
from inkwire_contracts.ids import idempotent_post_id
from tests.support.api import ISSUER, KEYS, Answer, Api, open_api, token
from tests.support.log import ScriptedWriter, make_job

MAX_BODY_BYTES = 4096
UNKNOWN = idempotent_post_id("ana", "nothing")
MINE = idempotent_post_id("ana", "mine")
THEIRS = idempotent_post_id("ben", "theirs")
SECRET = KEYS.partition(":")[2]
GOOD = {"title": "Ten tips"}


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """With a running post of ana's and one of ben's."""
    async with open_api(nats_url, tmp_path, max_body_bytes=MAX_BODY_BYTES) as opened:
        for owner, post in (("ana", MINE), ("ben", THEIRS)):
            writer = await ScriptedWriter.begin(opened.log, make_job(owner, post=post))
            await writer.open("s1")
            await writer.chunk("text")
        yield opened


@dataclass(frozen=True)
class Wrong:
    """One wrong request: ana's, well signed, but for what is given; ``code`` is the answer it must get."""

    name: str
    code: str
    method: str = "POST"
    path: str = "/posts"
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None
    data: Any = None
    signed: bool = True

    async def send(self, api: Api) -> Answer:
        options: dict[str, Any] = {"headers": self.headers, "subject": "ana" if self.signed else None}
        if self.data is not None:
            options["data"] = self.data() if callable(self.data) else self.data
        elif self.json is not None:
            options["json"] = self.json
        return await api.ask(self.method, self.path, **options)


def forged(*, secret: str = SECRET, algorithm: str = "HS256", kid: str = "k1", **claims: Any) -> str:
    """A token with these claims, whatever they are."""
    now = datetime.now(UTC)
    fields = {
        "iss": ISSUER,
        "aud": "inkwire",
        "sub": "ana",
        "iat": now,
        "exp": now + timedelta(minutes=5),
        "jti": "x",
        "scope": "post:read post:write",
    }
    merged = {name: value for name, value in {**fields, **claims}.items() if value is not None}
    return jwt.encode(merged, secret, algorithm=algorithm, headers={"kid": kid})


def unsigned() -> str:
    """The token of `alg: none`."""
    parts = ({"alg": "none", "typ": "JWT"}, {"iss": ISSUER, "aud": "inkwire", "sub": "ana", "iat": 0, "exp": 9**10})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, ""])


def tampered() -> str:
    """A good token whose claims were exchanged for ben's, under the old signature."""
    head, _, signature = token("ana").split(".")
    _, claims, _ = token("ben").split(".")
    return f"{head}.{claims}.{signature}"


def signed_in(name: str, code: str, authorization: str) -> Wrong:
    """A good POST with a wrong Authorization header."""
    return Wrong(name, code, headers={"Authorization": authorization} if authorization else {}, json=GOOD, signed=False)


def bearer(name: str, code: str, text: str) -> Wrong:
    """A good POST with a wrong token."""
    return signed_in(name, code, f"Bearer {text}")


def body(name: str, code: str, value: Any) -> Wrong:
    """A POST whose body is JSON, but wrong."""
    return Wrong(name, code, data=json.dumps(value), headers={"Content-Type": "application/json"})


def raw(name: str, code: str, data: Any, content_type: str = "application/json") -> Wrong:
    """A POST with these bytes."""
    return Wrong(name, code, data=data, headers={"Content-Type": content_type})


def reading(name: str, code: str, path: str) -> Wrong:
    """A GET."""
    return Wrong(name, code, "GET", path)


def tokens(name: str, code: str, value: Any = None, **headers: str) -> Wrong:
    """A POST /tokens with ana's token."""
    return Wrong(name, code, path="/tokens", json=value, headers=headers)


async def endless() -> AsyncIterator[bytes]:
    """A body without an announced length, well over the limit."""
    for _ in range(64):
        yield b" " * 1024


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"d": value}
    return value


def wrong_tokens() -> tuple[Wrong, ...]:
    """Made when they are sent: a token that waits for its test may expire."""
    now = datetime.now(UTC)
    return (
        signed_in("no token", "unauthenticated", ""),
        signed_in("another scheme", "unauthenticated", "Basic YW5hOnNlY3JldA=="),
        signed_in("a scheme without a token", "unauthenticated", "Bearer "),
        signed_in("a token without a scheme", "unauthenticated", token("ana")),
        bearer("nonsense", "invalid_token", "abc"),
        bearer("three parts of nonsense", "invalid_token", "a.b.c"),
        bearer("algorithm none", "invalid_token", unsigned()),
        bearer("another algorithm", "invalid_token", forged(secret=SECRET * 2, algorithm="HS512")),
        bearer("another secret", "invalid_token", forged(secret="x" * 40)),
        bearer("an unknown key id", "invalid_token", forged(kid="k9")),
        bearer("claims exchanged", "invalid_token", tampered()),
        bearer("another audience", "invalid_token", forged(aud="other")),
        bearer("another issuer", "invalid_token", forged(iss="other")),
        bearer("no subject", "invalid_token", forged(sub=None)),
        bearer("an empty subject", "invalid_token", forged(sub="")),
        bearer("no end", "invalid_token", forged(exp=None)),
        bearer("an end that is no time", "invalid_token", forged(exp=10**14)),
        bearer("expired", "token_expired", forged(iat=now - timedelta(hours=2), exp=now - timedelta(hours=1))),
        bearer("not issued yet", "invalid_token", forged(iat=now + timedelta(hours=1), exp=now + timedelta(hours=2))),
        bearer("too long", "invalid_token", forged(note="x" * 5000)),
        bearer("without the scope", "forbidden", token("ana", scopes=("post:read",))),
        bearer("without any scope", "forbidden", forged(scope=None)),
    )


BODIES = (
    raw("no body", "invalid_request", b""),
    raw("no JSON", "malformed_body", b"{title: Ten tips}"),
    raw("half a JSON", "malformed_body", b'{"title": "Ten'),
    raw("no UTF-8", "malformed_body", b'{"title": "\xff\xfe"}'),
    raw("nested without end", "malformed_body", b"[" * 4000),
    raw("compressed", "malformed_body", b"\x1f\x8b\x08\x00\x00\x00\x00\x00"),
    raw("plain text", "unsupported_media_type", b"Ten tips", "text/plain"),
    raw("JSON by another name", "unsupported_media_type", b'{"title": "Ten tips"}', "text/json"),
    raw("a form", "unsupported_media_type", b"title=Ten+tips", "application/x-www-form-urlencoded"),
    raw("too large", "body_too_large", json.dumps({"title": "x" * MAX_BODY_BYTES}).encode()),
    raw("too large in chunks", "body_too_large", endless),
    body("an array", "invalid_request", [GOOD]),
    body("null", "invalid_request", None),
    body("a string", "invalid_request", "Ten tips"),
    body("no title", "invalid_request", {}),
    body("an unknown field", "invalid_request", {**GOOD, "titel": "x"}),
    body("an unknown field that is no Unicode", "invalid_request", {**GOOD, "\ud800": 1}),
    body("a thousand unknown fields", "invalid_request", {**GOOD, **dict.fromkeys(map(str, range(300)), 1)}),
    body("title null", "invalid_request", {"title": None}),
    body("title a number", "invalid_request", {"title": 10}),
    body("title a list", "invalid_request", {"title": ["Ten tips"]}),
    body("title empty", "invalid_request", {"title": ""}),
    body("title blank", "invalid_request", {"title": " \u2003\t "}),
    body("title invisible", "invalid_request", {"title": "\u200b\u200d"}),
    body("title too long", "invalid_request", {"title": "x" * 201}),
    body("title of two lines", "invalid_request", {"title": "a\nb"}),
    body("title with NUL", "invalid_request", {"title": "a\u0000b"}),
    body("title with an escape sequence", "invalid_request", {"title": "a\u001b[2Jb"}),
    body("title with half a surrogate pair", "invalid_request", {"title": "a\ud83d"}),
    body("recipe unknown", "unknown_recipe", {**GOOD, "recipe": "haiku"}),
    body("recipe a path", "invalid_request", {**GOOD, "recipe": "../blog"}),
    body("recipe null", "invalid_request", {**GOOD, "recipe": None}),
    body("priority unknown", "invalid_request", {**GOOD, "priority": "now"}),
    body("priority a number", "invalid_request", {**GOOD, "priority": 1}),
    body("options a list", "invalid_request", {**GOOD, "options": []}),
    body("options null", "invalid_request", {**GOOD, "options": None}),
    body("options too deep", "invalid_request", {**GOOD, "options": deep(20)}),
    body("options too many", "invalid_request", {**GOOD, "options": {"a": [0] * 1_000}}),
    body("options not finite", "invalid_request", {**GOOD, "options": {"a": float("nan")}}),
    body("options with a huge number", "invalid_request", {**GOOD, "options": {"a": 10**30}}),
    body("options with half a surrogate pair", "invalid_request", {**GOOD, "options": {"a": "\udc00"}}),
    body("an unknown option", "invalid_options", {**GOOD, "options": {"colour": "red"}}),
    body("an option of another type", "invalid_options", {**GOOD, "options": {"length": {"$gt": ""}}}),
    Wrong("an empty key", "invalid_idempotency_key", json=GOOD, headers={"Idempotency-Key": ""}),
    Wrong("a key too long", "invalid_idempotency_key", json=GOOD, headers={"Idempotency-Key": "x" * 256}),
    Wrong("a key of two words", "invalid_idempotency_key", json=GOOD, headers={"Idempotency-Key": "a b"}),
    Wrong("a key not in ASCII", "invalid_idempotency_key", json=GOOD, headers={"Idempotency-Key": "naïve"}),
)

READS = (
    reading("an unknown post", "not_found", f"/posts/{UNKNOWN}"),
    reading("somebody else's post", "not_found", f"/posts/{THEIRS}"),
    reading("somebody else's text", "not_found", f"/posts/{THEIRS}/markdown"),
    reading("no id", "not_found", "/posts/1"),
    reading("a wildcard", "not_found", "/posts/*"),
    reading("a subject", "not_found", f"/posts/{MINE}.>"),
    reading("an id in capitals", "not_found", f"/posts/{MINE.upper()}"),
    reading("an id of kilobytes", "not_found", "/posts/" + "a" * 5000),
    reading("an unfinished text", "not_ready", f"/posts/{MINE}/markdown"),
    reading("limit zero", "invalid_request", "/posts?limit=0"),
    reading("limit too large", "invalid_request", "/posts?limit=101"),
    reading("limit a word", "invalid_request", "/posts?limit=all"),
    reading("status unknown", "invalid_request", "/posts?status=done"),
    reading("status deleted", "invalid_request", "/posts?status=deleted"),
    reading("cursor empty", "invalid_cursor", "/posts?cursor="),
    reading("cursor nonsense", "invalid_cursor", "/posts?cursor=abc"),
    reading("cursor too long", "invalid_request", "/posts?cursor=" + "A" * 300),
    reading(
        "cursor of another list",
        "invalid_cursor",
        f"/posts?cursor={encode_cursor('2026-01-01T00:00:00.000Z', MINE, 'failed')}",
    ),
    reading("an unknown address", "not_found", "/post"),
    reading("a file beside the page's", "not_found", "/static/../__init__.py"),
    reading("the same, encoded", "not_found", "/static/%2e%2e/__init__.py"),
    reading("the same, absolute", "not_found", "/static//etc/passwd"),
    reading("a page of no post", "not_found", "/p/1"),
    Wrong("DELETE of the list", "method_not_allowed", "DELETE", "/posts"),
    Wrong("PUT of a post", "method_not_allowed", "PUT", f"/posts/{MINE}", json=GOOD),
    Wrong("GET of tokens", "method_not_allowed", "GET", "/tokens"),
)

NARROWING = (
    tokens("more scopes", "forbidden", {"scopes": ["post:read", "ops"]}),
    tokens("an unknown scope", "invalid_request", {"scopes": ["admin"]}),
    tokens("no scopes", "invalid_request", {"scopes": []}),
    tokens("no channels", "invalid_request", {"channels": []}),
    tokens("too many channels", "invalid_request", {"channels": [f"post:{MINE}"] * 51}),
    tokens("somebody else's channel", "forbidden_channel", {"channels": ["user:ben"]}),
    tokens("a pattern of channels", "forbidden_channel", {"channels": ["post:*"]}),
    tokens("no life", "invalid_request", {"lifetime_s": 0}),
    tokens("a life of years", "invalid_request", {"lifetime_s": 10**9}),
    tokens("a life in words", "invalid_request", {"lifetime_s": "60"}),
    tokens("an owner", "invalid_request", {"owner": "ben"}),
    tokens("with a wrong token", "invalid_token", Authorization="Bearer abc"),
    Wrong(
        "sign-in from a page elsewhere",
        "forbidden_origin",
        path="/tokens",
        signed=False,
        headers={"Origin": "http://evil.org"},
    ),
    Wrong("sign-in from a sandbox", "forbidden_origin", path="/tokens", signed=False, headers={"Origin": "null"}),
    Wrong(
        "sign-in under a rebound name", "forbidden_origin", path="/tokens", signed=False, headers={"Host": "evil.org"}
    ),
    Wrong(
        "sign-in by a link elsewhere",
        "forbidden_origin",
        path="/tokens",
        signed=False,
        headers={"Sec-Fetch-Site": "cross-site"},
    ),
)


@pytest.mark.parametrize(
    "table",
    [wrong_tokens, lambda: BODIES, lambda: READS, lambda: NARROWING],
    ids=["tokens", "bodies", "reads", "narrowing"],
)
async def test_wrong_requests_change_nothing(api: Api, table: Callable[[], tuple[Wrong, ...]]) -> None:
    """Each row gets its code in a whole problem document, repeats no secret, and stores no message anywhere."""
    before = await api.stored()
    for wrong in table():
        answer = await wrong.send(api)
        check_problem(wrong, answer)
        assert await api.stored() == before, f"{wrong.name}: something was stored"
    assert await api.store.list_posts("ana", limit=10) == []
    assert (await api.create()).status == 202, "a right request passes still"


def check_problem(wrong: Wrong, answer: Answer) -> None:
    """A document of RFC 9457 with everything a person and a program need."""
    spec = ERROR_CODES[wrong.code]
    assert (answer.code, answer.status) == (wrong.code, spec.status), f"{wrong.name}: {answer.status} {answer.body!r}"
    assert answer.json["type"] == f"urn:inkwire:problem:{wrong.code}", wrong.name
    assert answer.json["title"] == spec.title and answer.json["status"] == spec.status, wrong.name
    assert len(answer.json["detail"]) > 5 and "?" not in answer.json["detail"], wrong.name
    assert "Traceback" not in answer.body.decode() and SECRET not in answer.body.decode(), wrong.name
    assert len(answer.body) < 5000, f"{wrong.name}: what was sent comes back"
    assert ("WWW-Authenticate" in answer.headers) == (spec.status == 401), wrong.name
    if wrong.code == "invalid_request":
        assert all(fault["detail"] for fault in answer.json["errors"]), wrong.name


async def test_two_keys_and_two_tokens_are_none(api: Api) -> None:
    """A header given twice could be read in two ways, so it is refused."""
    good = [("Authorization", f"Bearer {token('ana')}"), ("Content-Type", "application/json")]
    before = await api.stored()
    for extra, code in (
        ([("Idempotency-Key", "a"), ("Idempotency-Key", "b")], "invalid_idempotency_key"),
        ([("Authorization", f"Bearer {token('ben')}")], "unauthenticated"),
    ):
        async with api.session.post(f"{api.base_url}/posts", json=GOOD, headers=[*good, *extra]) as response:
            assert (await response.json(content_type=None))["code"] == code
    assert await api.stored() == before


async def test_the_faults_are_pointed_at(api: Api) -> None:
    """Several at once, each with a pointer into the body that was sent."""
    answer = await api.ask("POST", "/posts", json={"title": "", "priority": "now", "extra": 1})
    assert {fault["pointer"] for fault in answer.json["errors"]} == {"#/title", "#/priority", "#/extra"}
    answer = await api.ask("POST", "/posts", json={**GOOD, "options": {"colour": "red"}})
    assert [fault["pointer"] for fault in answer.json["errors"]] == ["#/options/colour"]


async def test_a_refused_method_is_told_what_the_address_takes(api: Api) -> None:
    """``Allow`` names every method of the address, not those of one of the functions behind it."""
    taken = {
        "/posts": "GET, HEAD, POST",
        f"/posts/{MINE}": "DELETE, GET, HEAD",
        f"/conversations/{UNKNOWN}": "DELETE, GET, HEAD, PATCH",
        f"/conversations/{UNKNOWN}/members/ben": "DELETE, PUT",
        "/tokens": "POST",
    }
    refused = {path: await api.ask("TRACE", path) for path in taken}
    assert {answer.status for answer in refused.values()} == {405}
    assert {path: answer.headers["Allow"] for path, answer in refused.items()} == taken
