"""Wrong frames, tokens and handshakes on a real socket: each has a clear answer, and nothing is changed."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
from websockets.exceptions import InvalidHandshake, InvalidStatus

from inkwire_contracts.close_codes import CLOSE_CODES
from inkwire_contracts.errors import ERROR_CODES
from inkwire_contracts.fold import document
from inkwire_contracts.topology import EVENTS
from tests.integration.gateway_support import SECRET, Author, World, close_code, reader, token, world
from tests.support.ports import free_port

pytestmark = pytest.mark.nats

UNKNOWN = "post:" + "z" * 26
SECRETS_OF_OURS = (SECRET, "Traceback", "inkwire_gateway", "nats://", "sqlite")


@pytest_asyncio.fixture
async def gateway(nats_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A gateway and its broker."""
    limits = {"max_channels": 3, "max_invalid_frames": 3, "ping_interval_s": 60.0}
    async with world(nats_url, tmp_path, api_url=f"http://127.0.0.1:{free_port()}", **limits) as w:
        yield w


async def stored(w: World) -> int:
    """How much the broker holds."""
    return int((await w.log.jetstream.stream_info(EVENTS))["state"]["last_seq"])


FRAMES: list[tuple[str, Any, str]] = [
    ("empty", "", "invalid_frame"),
    ("not JSON", "subscribe post:x", "invalid_frame"),
    ("cut JSON", '{"type":"subscribe"', "invalid_frame"),
    ("an array", "[1,2]", "invalid_frame"),
    ("null", "null", "invalid_frame"),
    ("binary", b'{"type":"ping"}', "invalid_frame"),
    ("deeply nested", "[" * 9_000, "invalid_frame"),
    ("no type", {"channel": UNKNOWN}, "invalid_frame"),
    ("unknown type", {"type": "publish", "channel": UNKNOWN}, "invalid_frame"),
    ("a server's type", {"type": "event", "channel": UNKNOWN}, "invalid_frame"),
    ("no channel", {"type": "subscribe"}, "invalid_frame"),
    ("channel is a number", {"type": "subscribe", "channel": 1}, "invalid_frame"),
    ("channel too long", {"type": "subscribe", "channel": "post:" + "a" * 500}, "invalid_frame"),
    ("position is a number", {"type": "subscribe", "channel": UNKNOWN, "position": 3}, "invalid_frame"),
    ("negative seq", {"type": "subscribe", "channel": UNKNOWN, "position": {"epoch": "e", "seq": -1}}, "invalid_frame"),
    ("no channel kind", {"type": "subscribe", "channel": "z" * 26}, "invalid_channel"),
    ("unknown kind", {"type": "subscribe", "channel": "admin:all"}, "invalid_channel"),
    ("wildcard", {"type": "subscribe", "channel": "post:*"}, "invalid_channel"),
    ("subject in a channel", {"type": "subscribe", "channel": "post:a.b.>"}, "invalid_channel"),
    ("another subject's part", {"type": "subscribe", "channel": "post:" + "a" * 20 + "\r\nPUB x"}, "invalid_channel"),
    ("anothers user channel", {"type": "subscribe", "channel": "user:eve"}, "forbidden_channel"),
    ("unknown post", {"type": "subscribe", "channel": UNKNOWN}, "not_found"),
    ("not subscribed", {"type": "unsubscribe", "channel": UNKNOWN}, "not_subscribed"),
    ("authenticated already", {"type": "authenticate", "token": "x"}, "invalid_frame"),
    ("refresh with nonsense", {"type": "refresh", "token": "x.y.z"}, "invalid_token"),
    ("refresh to another owner", {"type": "refresh", "token": token("eve")}, "invalid_token"),
    ("cancel without a channel", {"type": "cancel", "id": 1}, "invalid_frame"),
    ("cancel of no run", {"type": "cancel", "channel": UNKNOWN, "run": 0}, "invalid_frame"),
    ("cancel of all", {"type": "cancel", "channel": "post:*"}, "invalid_channel"),
    ("cancel of an owner", {"type": "cancel", "channel": "user:ada"}, "invalid_channel"),
    ("a path in a cancel", {"type": "cancel", "channel": "post:../../tokens?" + "a" * 12}, "invalid_channel"),
    ("a header in a cancel", {"type": "cancel", "channel": UNKNOWN + "\r\nX-Owner: eve"}, "invalid_channel"),
    ("cancel while the api is away", {"type": "cancel", "channel": UNKNOWN}, "api_unavailable"),
    ("refresh without a token", {"type": "refresh"}, "invalid_frame"),
]


@pytest.mark.parametrize(("why", "frame", "code"), FRAMES, ids=[row[0] for row in FRAMES])
async def test_bad_frame(gateway: World, why: str, frame: Any, code: str) -> None:
    """A wrong frame is answered with its code and a sentence; what was followed before goes on unharmed."""
    author = Author(gateway.log)
    await author.begin("s")
    await author.open_section("s")
    async with reader(gateway.port, token()) as r:
        await r.follow(author.channel)
        before = await stored(gateway)
        await r.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
        answer = await r.until("error")
        assert answer["code"] == code and code in ERROR_CODES
        assert len(answer["message"]) > 10 and "?" not in answer["message"]
        assert not any(secret in json.dumps(answer) for secret in SECRETS_OF_OURS)
        assert await stored(gateway) == before
        await author.chunk("still here")
        await r.until("event", name="chunk.produced")
        assert document(r.snapshots[author.channel]) == "still here" and r.exact
        await r.send(type="ping", id=7)
        await r.until("pong", id=7)


def forged(**changes: Any) -> str:
    """A token that differs from a good one in what is said; ``None`` leaves a claim out."""
    now = datetime.now(UTC)
    key, algorithm = changes.pop("key", SECRET), changes.pop("algorithm", "HS256")
    headers = {"kid": changes.pop("kid", "k1")}
    claims = {
        "iss": "inkwire",
        "aud": "inkwire",
        "sub": "ada",
        "iat": now,
        "exp": now + timedelta(minutes=5),
        "jti": "j",
        "scope": "post:read",
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers=headers)


HOUR = timedelta(hours=1)
TOKENS: list[tuple[str, Callable[[], str], str, str]] = [
    ("nonsense", lambda: "nonsense", "invalid_token", "unauthenticated"),
    ("three dots", lambda: "a.b.c", "invalid_token", "unauthenticated"),
    ("wrong key", lambda: forged(key="y" * 40), "invalid_token", "unauthenticated"),
    ("unknown key id", lambda: forged(kid="k9"), "invalid_token", "unauthenticated"),
    ("no signature", lambda: forged(key=None, algorithm="none"), "invalid_token", "unauthenticated"),
    ("another algorithm", lambda: forged(key="z" * 64, algorithm="HS512"), "invalid_token", "unauthenticated"),
    ("another audience", lambda: forged(aud="elsewhere"), "invalid_token", "unauthenticated"),
    ("another issuer", lambda: forged(iss="elsewhere"), "invalid_token", "unauthenticated"),
    ("no subject", lambda: forged(sub=None), "invalid_token", "unauthenticated"),
    ("no end", lambda: forged(exp=None), "invalid_token", "unauthenticated"),
    ("from the future", lambda: forged(iat=datetime.now(UTC) + HOUR), "invalid_token", "unauthenticated"),
    (
        "expired",
        lambda: forged(iat=datetime.now(UTC) - HOUR, exp=datetime.now(UTC) - HOUR),
        "token_expired",
        "token_expired",
    ),
    ("may not read", lambda: forged(scope="post:write"), "forbidden", "forbidden"),
    ("no scope", lambda: forged(scope=None), "forbidden", "forbidden"),
]
"""Made when they are sent: a token that waits for its test may expire."""


@pytest.mark.parametrize(("why", "make", "code", "closes"), TOKENS, ids=[row[0] for row in TOKENS])
async def test_bad_token(gateway: World, why: str, make: Callable[[], str], code: str, closes: str) -> None:
    """Whichever way it comes, a bad token is refused with its reason and the code that says whether to come back."""
    bad = make()
    for way in ("subprotocol", "frame", "header"):
        headers = {"Authorization": f"Bearer {bad}"} if way == "header" else None
        async with reader(gateway.port, bad if way == "subprotocol" else None, additional_headers=headers) as r:
            if way == "frame":
                await r.send(type="authenticate", token=bad)
            answer = await r.until("error")
            assert answer["code"] == code and bad not in json.dumps(answer)
            assert await close_code(r) == CLOSE_CODES[closes].code, way
            assert "welcome" not in [f["type"] for f in r.frames]


async def test_too_many_invalid_frames(gateway: World) -> None:
    """Who cannot speak the protocol is closed with a code that says not to come back like that."""
    async with reader(gateway.port, token()) as r:
        for _ in range(3):
            await r.socket.send("{")
        assert await close_code(r) == 4000
        assert [f["type"] for f in r.frames] == ["welcome", "error", "error", "error"]


async def test_too_large_frame(gateway: World) -> None:
    """A frame beyond the bound is not even read."""
    async with reader(gateway.port, token()) as r:
        await r.socket.send(json.dumps({"type": "ping", "pad": "x" * 11_000}))
        assert await close_code(r) == 1009


async def test_too_many_channels(gateway: World) -> None:
    """Channels of a connection are bounded; the ones it has stay."""
    authors = [Author(gateway.log) for _ in range(4)]
    async with reader(gateway.port, token()) as r:
        for author in authors[:3]:
            await author.begin("s")
            await r.follow(author.channel)
        await authors[3].begin("s")
        await r.send(type="subscribe", channel=authors[3].channel)
        assert (await r.until("error"))["params"] == {"limit": 3}
        await r.send(type="subscribe", channel=authors[0].channel)
        await r.until("error", code="already_subscribed")
        await r.send(type="unsubscribe", channel=authors[0].channel)
        await r.until("unsubscribed", channel=authors[0].channel)
        await r.follow(authors[3].channel)


HANDSHAKES: list[tuple[str, dict[str, Any], int]] = [
    ("another page", {"origin": "http://evil.example"}, 403),
    ("a sandboxed page", {"origin": "null"}, 403),
    ("another port", {"origin": "http://127.0.0.1:1"}, 403),
    ("only other subprotocols", {"subprotocols": ["graphql-ws"]}, 400),
    ("only the token", {"subprotocols": ["token.abc"]}, 400),
    ("two origins", {"additional_headers": [("Origin", "http://a.example"), ("Origin", "http://b.example")]}, 400),
]


@pytest.mark.parametrize(("why", "options", "status"), HANDSHAKES, ids=[row[0] for row in HANDSHAKES])
async def test_bad_handshake(gateway: World, why: str, options: dict[str, Any], status: int) -> None:
    """A handshake that is refused gets an HTTP status and a sentence."""
    with pytest.raises(InvalidStatus) as refused:
        async with reader(gateway.port, **{"jwt": token(), **options}):
            raise AssertionError("it was let in")
    assert refused.value.response.status_code == status
    body = bytes(refused.value.response.body or b"").decode()
    assert len(body) > 10 and not any(secret in body for secret in SECRETS_OF_OURS)


async def test_our_own_page_and_programs_may_connect(gateway: World) -> None:
    """The same origin, and clients without one, are let in."""
    for origin in (None, f"http://127.0.0.1:{gateway.port}"):
        async with reader(gateway.port, token(), origin=origin) as r:
            await r.until("welcome")


async def test_without_subprotocols(gateway: World) -> None:
    """A client that offers none speaks the native protocol all the same."""
    async with reader(gateway.port, subprotocols=[]) as r:
        assert r.socket.subprotocol is None
        await r.send(type="authenticate", token=token())
        await r.until("welcome")


async def test_frames_before_the_token(gateway: World) -> None:
    """Nothing is told to who has not said who it is."""
    author = Author(gateway.log)
    await author.whole()
    async with reader(gateway.port) as r:
        await r.send(type="subscribe", channel=author.channel)
        await r.until("error", code="unauthenticated")
        assert gateway.gateway.hub.channels == {}
        await r.send(type="authenticate", token=token())
        await r.until("welcome")
        await r.follow(author.channel)


async def test_no_token_reaches_the_log(gateway: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever happens to a token, no output of the process holds it."""
    good, bad = token(), forged(key="y" * 40)
    async with reader(gateway.port, good) as r:
        await r.until("welcome")
        await r.send(type="refresh", token=bad)
        await r.until("error")
    async with reader(gateway.port, bad) as r:
        await close_code(r)
    with pytest.raises(InvalidHandshake):
        async with reader(gateway.port, good, origin="http://evil.example"):
            raise AssertionError("it was let in")
    captured = capsys.readouterr()
    assert captured.out + captured.err, "debug lines are there to look at"
    for secret in (good, bad, good.rpartition(".")[2]):
        assert secret not in captured.out + captured.err


def test_the_table_is_long_enough() -> None:
    """Frames, tokens and handshakes together are at least forty, and every row names itself."""
    names = [str(row[0]) for row in (*FRAMES, *TOKENS, *HANDSHAKES)]
    assert len(names) >= 40 and len(set(names)) == len(names)
