"""The native protocol's client side: every frame, every refusal, and that a refusal changes nothing."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from inkwire_chassis.auth import DEFAULT_SCOPES, LEEWAY_S, KeyRing
from inkwire_contracts.client_frames import ErrorFrame, Pong, Refreshed, Unsubscribed, Welcome
from inkwire_gateway.session import AskCancel, Close, Effect, Join, Leave, Say, Send, Session, SessionLimits

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNIX_S = NOW.timestamp()
KEYS = KeyRing([("k1", "s" * 40)], "inkwire")
OTHER_KEYS = KeyRing([("k1", "x" * 40)], "inkwire")
POST = "post:" + "a" * 26
OTHER_POST = "post:" + "b" * 26
TALK = "c" * 26
PRESENCE, REPLY = f"presence:{TALK}", f"reply:{TALK}:{'a' * 26}"


def token(owner: str = "ada", *, lifetime_s: int = 60, keys: KeyRing = KEYS, **claims: Any) -> str:
    """A token."""
    claims = {"scopes": DEFAULT_SCOPES, **claims}
    return keys.mint(owner, now=NOW, lifetime_s=lifetime_s, jti="j", **claims)


def new(limits: SessionLimits | None = None, *, admit: bool = True) -> Session:
    """A connection that has just been opened."""
    return Session(
        "c1",
        limits or SessionLimits(),
        verify=lambda text, now: KEYS.verify(text, now=now),
        admit=lambda owner: admit,
        opened_s=0.0,
    )


def signed_in(limits: SessionLimits | None = None, **claims: Any) -> Session:
    """An authenticated connection."""
    session = new(limits)
    session.open(token(**claims), NOW)
    assert session.owner == "ada"
    return session


def send(session: Session, frame: Any, *, now: datetime = NOW, now_s: float = 0.0) -> list[Effect]:
    """Receive a frame."""
    return session.receive(frame if isinstance(frame, str | bytes) else json.dumps(frame), now, now_s)


def only(effects: list[Effect], kind: type[BaseModel]) -> Any:
    """The one answer, of that type."""
    assert len(effects) == 1 and isinstance(effects[0], Send) and isinstance(effects[0].frame, kind), effects
    return effects[0].frame


def refused(effects: list[Effect]) -> str:
    """The code of the refusal, which is the only effect."""
    frame: ErrorFrame = only(effects, ErrorFrame)
    assert frame.message and "?" not in frame.message
    return frame.code


def test_handshake_token_is_welcomed() -> None:
    """A token in the handshake needs no first frame."""
    welcome: Welcome = only(new().open(token(), NOW), Welcome)
    assert (welcome.owner, welcome.connection, welcome.expires_at) == ("ada", "c1", "2026-01-01T00:01:00.000Z")


def test_first_frame_authenticates() -> None:
    """Without one in the handshake the first frame carries the token."""
    session = new()
    assert session.open(None, NOW) == []
    only(send(session, {"type": "authenticate", "token": token()}), Welcome)
    assert session.owner == "ada"


@pytest.mark.parametrize(
    ("bad", "code", "closes"),
    [
        ("nonsense", "invalid_token", "unauthenticated"),
        (token(keys=OTHER_KEYS), "invalid_token", "unauthenticated"),
        (token(lifetime_s=-60), "token_expired", "token_expired"),
        (token(scopes=("post:write",)), "forbidden", "forbidden"),
    ],
)
def test_bad_tokens_end_the_connection(bad: str, code: str, closes: str) -> None:
    """A token that is refused says why and closes with the code that says whether to come back."""
    for effects in (new().open(bad, NOW), send(new(), {"type": "authenticate", "token": bad})):
        first, second = effects
        assert isinstance(first, Send) and isinstance(first.frame, ErrorFrame) and first.frame.code == code
        assert second == Close(closes)


def test_too_many_connections_of_an_owner() -> None:
    """The owner's bound closes with a code that says to wait."""
    assert new(admit=False).open(token(), NOW) == [Close("over_capacity")]


def test_unauthenticated_frames_are_refused() -> None:
    """Before the token only ping is answered."""
    session = new()
    assert only(send(session, {"type": "ping", "id": 3}), Pong).id == 3
    assert refused(send(session, {"type": "subscribe", "channel": POST})) == "unauthenticated"
    assert session.channels == set()


def test_token_must_come_in_time() -> None:
    """Who does not authenticate is closed; who did is not."""
    limits = SessionLimits(authenticate_within_s=5)
    session = new(limits)
    assert session.overdue(UNIX_S, 5.0) is None
    assert session.overdue(UNIX_S, 5.1) == "unauthenticated_timeout"
    assert signed_in(limits).overdue(UNIX_S, 5.1) is None


def test_expiry_closes_after_the_leeway() -> None:
    """The token's end closes the connection, with the same leeway that verifying has."""
    session = signed_in(lifetime_s=60)
    assert session.overdue(UNIX_S + 60, 0) is None
    assert session.overdue(UNIX_S + 60 + LEEWAY_S, 0) == "token_expired"


def test_refresh_in_place() -> None:
    """A newer token of the same owner moves the end."""
    session = signed_in(lifetime_s=60)
    send(session, {"type": "subscribe", "channel": POST})
    answer: Refreshed = only(send(session, {"type": "refresh", "token": token(lifetime_s=600), "id": 1}), Refreshed)
    assert answer.id == 1 and answer.expires_at == "2026-01-01T00:10:00.000Z"
    assert session.overdue(UNIX_S + 500, 0) is None and session.channels == {POST}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (token("eve"), "invalid_token"),
        (token(keys=OTHER_KEYS), "invalid_token"),
        (token(lifetime_s=-60), "token_expired"),
        (token(scopes=("post:write",)), "forbidden"),
    ],
)
def test_refresh_refused_keeps_the_old_token(bad: str, code: str) -> None:
    """Another owner's, a forged, an expired or a useless token changes nothing."""
    session = signed_in(lifetime_s=60)
    before = session.principal
    assert refused(send(session, {"type": "refresh", "token": bad})) == code
    assert session.principal is before


def test_refresh_to_fewer_channels_ends_the_others() -> None:
    """A narrower token takes effect at once."""
    session = signed_in()
    send(session, {"type": "subscribe", "channel": POST})
    send(session, {"type": "subscribe", "channel": OTHER_POST})
    effects = send(session, {"type": "refresh", "token": token(channels=(POST,))})
    assert effects[1] == Leave(OTHER_POST)
    assert isinstance(effects[2], Send) and isinstance(effects[2].frame, Unsubscribed)
    assert effects[2].frame.code == "forbidden_channel" and session.channels == {POST}


def test_subscribe_and_unsubscribe() -> None:
    """A channel is joined with its position, and left with an answer."""
    session = signed_in()
    frame = {"type": "subscribe", "channel": POST, "position": {"epoch": "e", "seq": 5}, "id": 9, "more": 1}
    (joined,) = send(session, frame)
    assert isinstance(joined, Join) and joined.position is not None
    assert (joined.owner, joined.channel, joined.position.seq, joined.request_id) == ("ada", POST, 5, 9)
    left, answer = send(session, {"type": "unsubscribe", "channel": POST, "id": 10})
    assert left == Leave(POST)
    assert answer == Send(Unsubscribed(channel=POST, id=10))
    assert isinstance(send(session, frame)[0], Join), "and again"


def test_own_user_channel() -> None:
    """The owner's own channel may be followed, nobody else's."""
    session = signed_in()
    assert isinstance(send(session, {"type": "subscribe", "channel": "user:ada"})[0], Join)
    assert refused(send(session, {"type": "subscribe", "channel": "user:eve"})) == "forbidden_channel"


def test_token_narrowed_to_channels() -> None:
    """A token that names channels allows those alone."""
    session = signed_in(channels=(POST,))
    assert isinstance(send(session, {"type": "subscribe", "channel": POST})[0], Join)
    assert refused(send(session, {"type": "subscribe", "channel": OTHER_POST})) == "forbidden_channel"
    assert refused(send(session, {"type": "subscribe", "channel": "user:ada"})) == "forbidden_channel"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("", "invalid_frame"),
        ("{", "invalid_frame"),
        ("null", "invalid_frame"),
        ("[]", "invalid_frame"),
        ('"subscribe"', "invalid_frame"),
        ("42", "invalid_frame"),
        (b"{}", "invalid_frame"),
        ("[" * 5_000, "invalid_frame"),
        ({}, "invalid_frame"),
        ({"type": 7}, "invalid_frame"),
        ({"type": "publish", "channel": POST}, "invalid_frame"),
        ({"type": "subscribe"}, "invalid_frame"),
        ({"type": "subscribe", "channel": ""}, "invalid_frame"),
        ({"type": "subscribe", "channel": 5}, "invalid_frame"),
        ({"type": "subscribe", "channel": "x" * 161}, "invalid_frame"),
        ({"type": "subscribe", "channel": POST, "id": "one"}, "invalid_frame"),
        ({"type": "subscribe", "channel": POST, "position": 5}, "invalid_frame"),
        ({"type": "subscribe", "channel": POST, "position": {"seq": 5}}, "invalid_frame"),
        ({"type": "subscribe", "channel": POST, "position": {"epoch": "e", "seq": -1}}, "invalid_frame"),
        ({"type": "subscribe", "channel": POST, "position": {"epoch": "e" * 65, "seq": 1}}, "invalid_frame"),
        ({"type": "subscribe", "channel": "post:short"}, "invalid_channel"),
        ({"type": "subscribe", "channel": POST + "\n"}, "invalid_channel"),
        ({"type": "subscribe", "channel": POST.upper()}, "invalid_channel"),
        ({"type": "subscribe", "channel": "post:" + "a" * 24 + ".>"}, "invalid_channel"),
        ({"type": "subscribe", "channel": "post:*"}, "invalid_channel"),
        ({"type": "subscribe", "channel": "user:*"}, "invalid_channel"),
        ({"type": "subscribe", "channel": "user:"}, "invalid_channel"),
        ({"type": "subscribe", "channel": "room:1"}, "invalid_channel"),
        ({"type": "subscribe", "channel": 'post:"},{"'}, "invalid_channel"),
        ({"type": "subscribe", "channel": "user:eve"}, "forbidden_channel"),
        ({"type": "unsubscribe", "channel": POST}, "not_subscribed"),
        ({"type": "unsubscribe", "channel": "post:*"}, "not_subscribed"),
        ({"type": "cancel"}, "invalid_frame"),
        ({"type": "cancel", "channel": POST, "run": 0}, "invalid_frame"),
        ({"type": "cancel", "channel": POST, "run": 1_000_001}, "invalid_frame"),
        ({"type": "cancel", "channel": POST, "run": "first"}, "invalid_frame"),
        ({"type": "cancel", "channel": "post:../../tokens"}, "invalid_channel"),
        ({"type": "cancel", "channel": POST + "/cancel"}, "invalid_channel"),
        ({"type": "cancel", "channel": "user:ada"}, "invalid_channel"),
        ({"type": "refresh"}, "invalid_frame"),
        ({"type": "refresh", "token": ""}, "invalid_frame"),
        ({"type": "refresh", "token": "t" * 4097}, "invalid_frame"),
        ({"type": "refresh", "token": "nonsense"}, "invalid_token"),
        ({"type": "authenticate", "token": token()}, "invalid_frame"),
        ({"type": "ping", "id": 1.5}, "invalid_frame"),
    ],
)
def test_refusals_say_why_and_change_nothing(frame: Any, code: str) -> None:
    """Each wrong frame has its code and a message that repeats nothing of it; the session stays as it was."""
    session = signed_in()
    principal = session.principal
    effects = send(session, frame)
    assert refused(effects) == code
    assert (session.channels, session.principal) == (set(), principal)
    message = only(effects, ErrorFrame).message
    assert "nonsense" not in message and "tttt" not in message


def test_cancel_is_asked_with_the_tokens_own_words() -> None:
    """Without following the channel: the post, the run and the connection's token go on, which no log line shows."""
    session = new()
    given = token()
    session.open(given, NOW)
    (asked,) = send(session, {"type": "cancel", "channel": POST, "run": 2, "id": 4})
    assert asked == AskCancel("a" * 26, 2, given, 4)
    assert given not in repr(asked)
    assert session.channels == set()
    (again,) = send(session, {"type": "cancel", "channel": POST})
    assert again == AskCancel("a" * 26, None, given, None)


def test_cancel_uses_the_refreshed_token() -> None:
    """After a refresh in place the newest token counts, for its scopes too."""
    session = signed_in()
    newer = token(lifetime_s=600)
    send(session, {"type": "refresh", "token": newer})
    (asked,) = send(session, {"type": "cancel", "channel": POST})
    assert isinstance(asked, AskCancel) and asked.token == newer
    send(session, {"type": "refresh", "token": token(scopes=("post:read",))})
    answer: ErrorFrame = only(send(session, {"type": "cancel", "channel": POST, "id": 1}), ErrorFrame)
    assert (answer.code, answer.params, answer.channel, answer.id) == ("forbidden", {"scope": "post:cancel"}, POST, 1)


def test_a_refused_refresh_does_not_lend_its_token() -> None:
    """The token in force is the one that was accepted."""
    session = new()
    given = token()
    session.open(given, NOW)
    send(session, {"type": "refresh", "token": token("eve")})
    (asked,) = send(session, {"type": "cancel", "channel": POST})
    assert isinstance(asked, AskCancel) and asked.token == given


def test_cancel_within_the_tokens_channels() -> None:
    """A token that names channels stops those posts alone."""
    session = signed_in(channels=(POST,))
    assert isinstance(send(session, {"type": "cancel", "channel": POST})[0], AskCancel)
    assert refused(send(session, {"type": "cancel", "channel": OTHER_POST})) == "forbidden_channel"


def test_waiting_cancels_are_bounded() -> None:
    """So many wait for their answer; each answer makes room for one more."""
    session = signed_in(SessionLimits(max_cancels=2))
    assert [type(send(session, {"type": "cancel", "channel": POST})[0]) for _ in range(2)] == [AskCancel] * 2
    answer: ErrorFrame = only(send(session, {"type": "cancel", "channel": POST, "id": 3}), ErrorFrame)
    assert (answer.code, answer.params, answer.id) == ("rate_limited", {"retry_after_s": 1}, 3)
    session.cancel_answered()
    assert isinstance(send(session, {"type": "cancel", "channel": POST})[0], AskCancel)
    assert isinstance(only(send(session, {"type": "cancel", "channel": POST}), ErrorFrame), ErrorFrame)


@pytest.mark.parametrize(
    ("frame", "channel", "request_id"),
    [
        ({"type": "publish", "channel": POST, "id": 5}, POST, 5),
        ({"channel": "user:ada", "id": 0}, "user:ada", 0),
        ({"type": "subscribe", "channel": "post:short", "position": 1, "id": 6}, None, 6),
        ({"type": "subscribe", "channel": [POST], "id": 6}, None, 6),
        ({"type": "cancel", "channel": POST, "run": 0, "id": 7}, POST, 7),
        ({"type": "subscribe", "channel": POST, "id": "six"}, POST, None),
        ({"type": "subscribe", "channel": POST, "id": True, "position": 1}, POST, None),
        ({"type": "subscribe", "channel": POST, "id": 1.5}, POST, None),
        ({"type": "authenticate", "token": "x", "id": 8}, None, None),
        ("{", None, None),
        ("[1]", None, None),
    ],
)
def test_an_invalid_frame_is_told_apart(frame: Any, channel: str | None, request_id: int | None) -> None:
    """Where the frame was an object, the refusal repeats its id and channel, as far as they are well-formed."""
    answer: ErrorFrame = only(send(signed_in(), frame), ErrorFrame)
    assert (answer.code, answer.channel, answer.id) == ("invalid_frame", channel, request_id)


def test_twice_and_too_many() -> None:
    """A channel is followed once, and only so many of them."""
    session = signed_in(SessionLimits(max_channels=1))
    send(session, {"type": "subscribe", "channel": POST})
    assert refused(send(session, {"type": "subscribe", "channel": POST})) == "already_subscribed"
    answer: ErrorFrame = only(send(session, {"type": "subscribe", "channel": OTHER_POST}), ErrorFrame)
    assert answer.code == "too_many_channels" and answer.params == {"limit": 1} and answer.channel == OTHER_POST
    session.ended(POST)
    assert isinstance(send(session, {"type": "subscribe", "channel": OTHER_POST})[0], Join), "room again"


def test_many_invalid_frames_close() -> None:
    """A client that does not speak the protocol is told so for good."""
    session = signed_in(SessionLimits(max_invalid_frames=3))
    assert [refused(send(session, "{")) for _ in range(2)] == ["invalid_frame"] * 2
    assert send(session, "{")[1] == Close("invalid_frame")


def test_refused_but_valid_frames_do_not_count_as_invalid() -> None:
    """Asking for what is not there is no offence, however often."""
    session = signed_in(SessionLimits(max_invalid_frames=2))
    for _ in range(10):
        assert refused(send(session, {"type": "unsubscribe", "channel": POST})) == "not_subscribed"


def test_too_many_frames_close() -> None:
    """Beyond burst and rate the connection is closed, resumably."""
    session = signed_in(SessionLimits(frames_per_s=1, frame_burst=2))
    assert [len(send(session, {"type": "ping"}, now_s=10.0)) for _ in range(2)] == [1, 1]
    assert send(session, {"type": "ping"}, now_s=10.0) == [Close("rate_limited")]


@pytest.mark.parametrize("channel", [f"conversation:{TALK}", PRESENCE, REPLY])
def test_channels_of_a_conversation_are_joined_as_who_the_token_names(channel: str) -> None:
    """Who may follow is asked elsewhere; the session says who asks, by the token alone."""
    session = signed_in(name="Ada", avatar="https://example.com/a.png")
    joined = send(session, {"type": "subscribe", "channel": channel, "name": "Eve"})[0]
    assert joined == Join("ada", channel, None, None, "Ada", "https://example.com/a.png")


@pytest.mark.parametrize(
    "channel",
    ["conversation:", "conversation:*", f"conversation:{TALK}.x", f"presence:{TALK}:x", f"reply:{TALK}", "reply:a:b",
     f"reply:{TALK}:{TALK}:x", f"conversation:{TALK}\n", f"presence:{TALK.upper()}"],
)  # fmt: skip
def test_no_channels(channel: str) -> None:
    """Names that a broker might take for more than one thing are no channels."""
    assert refused(send(signed_in(), {"type": "subscribe", "channel": channel})) == "invalid_channel"


def test_an_answer_is_cancelled_by_its_channel() -> None:
    """The wish names the conversation, so that members can be told from others by the api."""
    wish = send(signed_in(), {"type": "cancel", "channel": REPLY, "id": 3})[0]
    assert isinstance(wish, AskCancel) and (wish.conversation, wish.post) == (TALK, "a" * 26)
    assert wish.channel == REPLY
    for other in (PRESENCE, f"conversation:{TALK}", f"reply:{TALK}"):
        assert refused(send(signed_in(), {"type": "cancel", "channel": other})) == "invalid_channel"


def test_whispers_are_passed_on_from_where_one_is() -> None:
    """Only on a presence channel that was asked for; what it carries is JSON of bounded size."""
    session = signed_in()
    whisper: dict[str, Any] = {"type": "whisper", "channel": PRESENCE, "name": "typing", "data": {"on": True}, "id": 4}
    assert refused(send(session, whisper)) == "not_subscribed"
    send(session, {"type": "subscribe", "channel": PRESENCE})
    assert send(session, whisper) == [Say(PRESENCE, "typing", b'{"on":true}', 4)]
    assert refused(send(session, {**whisper, "channel": f"conversation:{TALK}"})) == "invalid_channel"
    fits = {"x": "é" * 1_020}
    assert isinstance(send(session, {**whisper, "data": fits})[0], Say)
    assert refused(send(session, {**whisper, "data": {"x": "é" * 1_021}})) == "invalid_frame"
    assert refused(send(session, {**whisper, "data": {"n": 2**64}})) == "invalid_frame"
    assert send(session, {**whisper, "data": {}})[0] == Say(PRESENCE, "typing", b"{}", 4)


def test_too_many_whispers_are_refused() -> None:
    """Beyond the burst they are refused until some time has gone by; the connection goes on."""
    session = signed_in(SessionLimits(whispers_per_s=1.0, whisper_burst=2))
    send(session, {"type": "subscribe", "channel": PRESENCE})
    whisper = {"type": "whisper", "channel": PRESENCE, "name": "typing"}
    kinds = [type(send(session, whisper)[0]) for _ in range(3)]
    assert kinds == [Say, Say, Send]
    assert refused(send(session, whisper)) == "rate_limited"
    assert isinstance(send(session, whisper, now_s=1.5)[0], Say)


def test_who_follows_and_sends_nothing_is_idle() -> None:
    """Frames and channels keep a connection; without either it is overdue, counted from the last of them."""
    session = signed_in(SessionLimits(idle_timeout_s=10.0), lifetime_s=6 * 3600)
    assert session.overdue(UNIX_S, 10.0) is None
    send(session, {"type": "ping"}, now_s=8.0)
    assert session.overdue(UNIX_S, 18.0) is None
    assert session.overdue(UNIX_S, 18.1) == "idle"
    send(session, {"type": "subscribe", "channel": POST}, now_s=19.0)
    assert session.overdue(UNIX_S, 900.0) is None
    session.ended(POST)
    assert session.overdue(UNIX_S, 910.0) is None
    assert session.overdue(UNIX_S, 910.1) == "idle"
