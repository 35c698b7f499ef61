"""Who may do what in a conversation, and which event follows."""

import pytest

from inkwire_api import conversations
from inkwire_contracts.conversations import (
    MAX_EMOJIS,
    MAX_MEMBERS,
    MAX_REACTIONS,
    Conversation,
    Member,
    MemberData,
    Message,
    ReactionData,
)
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import idempotent_post_id, owner_token
from tests.support.api_conversations import principal

TALK, MESSAGE = idempotent_post_id("ana", "talk"), idempotent_post_id("ana", "message")


def talk(**fields: object) -> Conversation:
    members = [Member(user="ana", role="owner"), Member(user="ben", name="Ben")]
    messages = [Message(message=MESSAGE, seq=2, role="user", author="ana", reactions={"👍": ["ben"]})]
    values = {"conversation": TALK, "owner": "ana", "status": "active", "members": members, "messages": messages}
    return Conversation.model_validate({**values, **fields})


def code_of(caught: pytest.ExceptionInfo[InkwireError]) -> str:
    return caught.value.code


def test_strangers_are_never_told_that_there_is_a_conversation() -> None:
    """The same error for none, for somebody else's, and for somebody else's that was deleted."""
    for found in (None, talk(), talk(status="deleted")):
        with pytest.raises(InkwireError) as caught:
            conversations.require_member(found, "eve")
        assert code_of(caught) == "not_found"
    with pytest.raises(InkwireError) as caught:
        conversations.require_member(talk(status="deleted"), "ben")
    assert code_of(caught) == "conversation_gone"
    assert conversations.require_member(talk(), "ben").conversation == TALK


@pytest.mark.parametrize(
    ("by", "user", "present", "code"),
    [
        ("ana", "eve", True, None),
        ("ana", "ben", False, None),
        ("ben", "ben", False, None),
        ("ben", "eve", True, "owner_only"),
        ("ben", "ana", False, "owner_only"),
        ("ben", "ben", True, "owner_only"),
        ("ana", "ana", False, "owner_stays"),
        ("ana", "ana", True, "owner_stays"),
    ],
)
def test_the_owner_decides_who_takes_part(by: str, user: str, present: bool, code: str | None) -> None:
    """A member may go; the owner stays."""
    data = MemberData(user=user, present=present)
    if code is None:
        event = conversations.member_change(talk(), data, by=by, event_id="e", time="t")
        assert event is not None and (event.by, event.data) == (by, data)
        return
    with pytest.raises(InkwireError) as caught:
        conversations.member_change(talk(), data, by=by, event_id="e", time="t")
    assert code_of(caught) == code


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        (MemberData(user="ben", present=True), False),
        (MemberData(user="ben", name="Ben", present=True), False),
        (MemberData(user="ben", name="Benjamin", present=True), True),
        (MemberData(user="ben", avatar="https://x.example/b.png", present=True), True),
        (MemberData(user="eve", present=False), False),
    ],
)
def test_what_is_so_already_needs_no_event(data: MemberData, changes: bool) -> None:
    """Requests may be repeated."""
    assert (conversations.member_change(talk(), data, by="ana", event_id="e", time="t") is not None) == changes


def test_members_have_a_bound() -> None:
    """The ones that are there can still be named otherwise."""
    members = [Member(user=f"u{n}") for n in range(MAX_MEMBERS)]
    with pytest.raises(InkwireError) as caught:
        conversations.member_change(
            talk(members=members), MemberData(user="eve", present=True), by="ana", event_id="e", time="t"
        )
    assert code_of(caught) == "too_many_members"
    again = MemberData(user="u1", name="One", present=True)
    assert conversations.member_change(talk(members=members), again, by="ana", event_id="e", time="t")


def test_a_path_names_a_member_or_a_subject() -> None:
    """A member by the token that is shown, everybody else by the subject of their tokens, whatever is in it."""
    strange = owner_token("inkwire", "auth0|eve/x")
    assert conversations.member_token(talk(), "inkwire", "auth0|eve/x") == strange != "auth0|eve/x"
    assert conversations.member_token(talk(members=[Member(user=strange)]), "inkwire", strange) == strange
    assert conversations.member_token(talk(), "inkwire", strange) != strange
    assert conversations.member_token(talk(), "inkwire", "ben") == "ben"
    for user in ("", "a\nb", "x" * 256):
        with pytest.raises(InkwireError) as caught:
            conversations.member_token(talk(), "inkwire", user)
        assert code_of(caught) == "invalid_request"


@pytest.mark.parametrize("emoji", ["👍", "❤️", "❤", "👩🏽‍💻", "👨‍👩‍👧‍👦", "🇫🇷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣", "#⃣", "☺", "✅", "🏳️‍🌈"])
def test_emojis_of_every_kind(emoji: str) -> None:
    """With skins, joined, flags, keys."""
    assert conversations.check_emoji(emoji) == emoji


@pytest.mark.parametrize(
    "text", ["", "a", "ok", "👍👍", "👍 ", "<b>", "1", "\u200d", "🇫", "👍\u200d", "\u202e", "é", "👍" * 17, "\ufe0f"]
)
def test_what_is_no_single_emoji_is_refused(text: str) -> None:
    """Words, several, halves, invisible ones."""
    with pytest.raises(InkwireError) as caught:
        conversations.check_emoji(text)
    assert code_of(caught) == "invalid_request"


def react(conversation: Conversation, emoji: str, user: str, *, present: bool, message: str = MESSAGE) -> bool:
    data = ReactionData(message=message, emoji=emoji, user=user, present=present)
    return conversations.reaction_change(conversation, data, event_id="e", time="t") is not None


def test_reactions_change_only_what_is_not_so() -> None:
    """Each member for itself."""
    assert react(talk(), "👍", "ana", present=True) and react(talk(), "👍", "ben", present=False)
    assert not react(talk(), "👍", "ben", present=True) and not react(talk(), "👍", "ana", present=False)


def test_reactions_are_bounded_and_need_a_message_that_stands() -> None:
    """One more of a kind that is there is always possible."""
    full = talk()
    full.messages[0].reactions = {chr(0x1F600 + n): ["ben"] for n in range(MAX_EMOJIS)}
    assert react(full, chr(0x1F600), "ana", present=True)
    with pytest.raises(InkwireError) as caught:
        react(full, "👍", "ana", present=True)
    assert code_of(caught) == "too_many_reactions"
    full.messages[0].reactions = {"🎉": [f"user-{n}" for n in range(MAX_REACTIONS)]}
    assert react(full, "🎉", "user-1", present=False)
    with pytest.raises(InkwireError) as caught:
        react(full, "👍", "ana", present=True)
    assert code_of(caught) == "conversation_full"
    full.messages[0].superseded_by = TALK
    for message in (MESSAGE, TALK):
        with pytest.raises(InkwireError) as caught:
            react(full, "👍", "ana", present=True, message=message)
        assert code_of(caught) == "unknown_message"


def test_a_title_is_the_owners() -> None:
    """The same one again changes something only where it was a generated one."""
    named = talk(title="Quorums")
    assert conversations.title_change(named, "Quorums", by="ana", event_id="e", time="t") is None
    generated = talk(title="Quorums", title_generated=True)
    event = conversations.title_change(generated, "Quorums", by="ana", event_id="e", time="t")
    assert event is not None and not event.data.generated
    with pytest.raises(InkwireError) as caught:
        conversations.title_change(named, "Mine", by="ben", event_id="e", time="t")
    assert code_of(caught) == "owner_only"


def test_the_first_event_shows_the_owner_as_the_token_does() -> None:
    """A name on one line, a picture only if it is a web address."""
    caller = principal(name="Ana\n\u2028B.", avatar="javascript:alert(1)")
    data = conversations.created(TALK, caller, title="", recipe="chat", options={}, time="t").data
    assert (data.name, data.avatar) == ("Ana B.", "")


@pytest.mark.parametrize("url", ["https://x.example/a.png", "http://x.example", ""])
def test_pictures_have_web_addresses(url: str) -> None:
    """Or there is none."""
    assert conversations.clean_avatar(url) == url


@pytest.mark.parametrize(
    "url", ["ftp://x.example/a", "//x.example", "https://", "data:image/png;base64,", "https://x y"]
)
def test_other_addresses_are_refused(url: str) -> None:
    """Nothing that does something else when it is opened."""
    with pytest.raises(ValueError, match="must"):
        conversations.clean_avatar(url)


def test_names_are_readable() -> None:
    """On one line, of a bounded length, and of something that can be seen."""
    assert conversations.clean_name("  Ana B. ") == "Ana B." and conversations.clean_name("") == ""
    for name in ("x" * 101, "a\nb", "\u200b", "a\x00", "Ana\u202e"):
        with pytest.raises(ValueError, match="must"):
            conversations.clean_name(name)


def test_the_name_of_a_token_cannot_turn_a_line_around() -> None:
    """It is shown without what would; joiners stay, which emoji need."""
    assert conversations.shown_name("Ana\u202e \u2067B.\n👩‍👧") == "Ana B. 👩‍👧"


def test_tokens_of_other_channels_touch_nothing() -> None:
    """Before anybody looks whether there is such a conversation."""
    mine = principal(channels=(f"conversation:{TALK}",))
    conversations.require_channel(mine, TALK)
    conversations.require_channel(principal(), TALK)
    for caller in (principal(channels=(f"conversation:{MESSAGE}",)), principal(channels=(f"post:{TALK}",))):
        with pytest.raises(InkwireError) as caught:
            conversations.require_channel(caller, TALK)
        assert code_of(caught) == "forbidden_channel"
    with pytest.raises(InkwireError):
        conversations.require_all_channels(mine)
    conversations.require_all_channels(principal(channels=("user:ana",)))
