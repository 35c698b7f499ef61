"""Conversations and their members over ports: begun, listed, renamed, deleted; races and repeats."""

import asyncio

import pytest

from inkwire_contracts.conversations import (
    MAX_EMOJIS,
    MAX_MEMBERS,
    ConversationDeleted,
    ConversationEvent,
    MemberChanged,
    MemberData,
    MessageCreated,
    MessageData,
    ReactionChanged,
    ReactionData,
)
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import idempotent_post_id
from inkwire_stores.conversation_ports import StoredConversation
from tests.support.api_conversations import TALK, TalkWorld, principal
from tests.support.api_fakes import EPOCH

EMOJI = "👍"
ALL_POSTS = [idempotent_post_id("ana", f"answer {n}") for n in range(4)]


@pytest.fixture
def world() -> TalkWorld:
    return TalkWorld("ben")


def answered(world: TalkWorld, post: str) -> None:
    """Have the conversation hold an answer."""
    message = idempotent_post_id("message", post)
    data = MessageData(message=message, role="assistant", post=post)
    world.put(MessageCreated, data, message)


async def code_of(awaited: object) -> str:
    with pytest.raises(InkwireError) as caught:
        await awaited  # type: ignore[misc]
    return caught.value.code


async def test_a_conversation_is_begun_with_all_its_options(world: TalkWorld) -> None:
    """Defaults are written down, so that later ones change nothing; a lost verdict begins no second one."""
    world.talks.silent_publishes = 1
    found = await world.conversations().create(principal("ben", name="Ben"), title="", recipe="chat", options={})
    talk = found.conversation
    assert (talk.owner, talk.status, talk.members[0].name, talk.recipe) == ("ben", "active", "Ben", "chat")
    assert "instructions" in talk.options
    begun = {event.conversation for _, event in world.talks.events if event.type == "created"}
    assert begun == {TALK, talk.conversation}


async def test_what_cannot_be_begun(world: TalkWorld) -> None:
    """Nothing is written."""
    create = world.conversations().create
    count = len(world.talks.events)
    for recipe, options, code in (
        ("nonsense", {}, "unknown_recipe"),
        ("chat", {"nonsense": 1}, "invalid_options"),
    ):
        assert await code_of(create(principal(), title="", recipe=recipe, options=options)) == code
    narrow = principal(channels=(f"conversation:{TALK}",))
    assert await code_of(create(narrow, title="", recipe="chat", options={})) == "forbidden_channel"
    world.talks.fill = 0.8
    assert await code_of(create(principal(), title="", recipe="chat", options={})) == "log_full"
    assert len(world.talks.events) == count


async def test_the_list_comes_in_pages(world: TalkWorld) -> None:
    """One's own only, last changed first, each once."""
    for n in range(5):
        other = TalkWorld("ben" if n else "eve").talk
        other.conversation = idempotent_post_id("talk", str(n))
        other.updated_at = f"2026-01-0{n + 1}T00:00:00.000Z"
        await world.lists.put(StoredConversation(other, EPOCH), expected=None)
    seen, cursor = [], None
    while True:
        page = await world.conversations().page(principal("ben"), limit=3, cursor=cursor)
        seen += [item.updated_at[9] for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ["5", "4", "3", "2"]
    assert await code_of(world.conversations().page(principal(), limit=3, cursor="nonsense")) == "invalid_cursor"


async def test_changes_count_for_the_caller(world: TalkWorld) -> None:
    """A request rate over all conversations."""
    talks = world.conversations()
    codes = [await _outcome(talks.react(principal("ben"), TALK, TALK, EMOJI, present=True)) for _ in range(1_001)]
    assert codes[0] == "unknown_message" and codes[-1] == "rate_limited"
    assert await _outcome(talks.react(principal("ana"), TALK, TALK, EMOJI, present=True)) == "unknown_message"


async def _outcome(awaited: object) -> str:
    try:
        await awaited  # type: ignore[misc]
    except InkwireError as error:
        return error.code
    return ""


async def test_members_come_and_go(world: TalkWorld) -> None:
    """Added by the subject of their token, and removed by themselves; twice is once."""
    talks = world.conversations()
    one = await talks.put_member(principal(), TALK, "auth0|eve", name="Eve", avatar="")
    again = await talks.put_member(principal(), TALK, one.user, name="", avatar="")
    assert one == again and one.name == "Eve"
    for _ in range(2):
        await talks.remove_member(principal(), TALK, "auth0|eve")
    await talks.remove_member(principal("ben"), TALK, "ben")
    assert [member.user for member in world.talk.members] == ["ana"]
    assert await code_of(talks.get(principal("ben"), TALK)) == "not_found"


async def test_the_last_place_is_given_once(world: TalkWorld) -> None:
    """Who comes too late is told so, though it was free when it was looked."""
    for n in range(MAX_MEMBERS - 3):
        world.put(MemberChanged, MemberData(user=f"u{n}", present=True), f"u{n}")
    added = await asyncio.gather(
        *(_outcome(world.conversations().put_member(principal(), TALK, f"x{n}", name="", avatar="")) for n in range(3))
    )
    assert sorted(added) == ["", "too_many_members", "too_many_members"]
    assert len(world.talk.members) == MAX_MEMBERS


async def test_reactions_come_and_go(world: TalkWorld) -> None:
    """Each in one's own name; twice is once, and the last kind is given once."""
    said = await world.say(reply=False)
    talks, message = world.conversations(), said.message.message
    for by in ("ana", "ben", "ben"):
        await talks.react(principal(by), TALK, message, EMOJI, present=True)
    assert (await talks.react(principal("ana"), TALK, message, EMOJI, present=False)).reactions == {EMOJI: ["ben"]}
    assert sum(event.type == "reaction_changed" for _, event in world.talks.events) == 3

    for n in range(MAX_EMOJIS - 2):
        data = ReactionData(message=message, emoji=chr(0x1F600 + n), user="ben", present=True)
        world.put(ReactionChanged, data, f"r{n}")
    outcomes = await asyncio.gather(
        *(_outcome(talks.react(principal(), TALK, message, emoji, present=True)) for emoji in ("🎉", "🤔"))
    )
    assert sorted(outcomes) == ["", "too_many_reactions"]


async def test_a_title_is_given_by_the_owner(world: TalkWorld) -> None:
    """Twice is once."""
    for _ in range(2):
        assert (await world.conversations().rename(principal(), TALK, "Quorums")).conversation.title == "Quorums"
    assert sum(event.type == "title_changed" for _, event in world.talks.events) == 1
    assert await code_of(world.conversations().rename(principal("ben"), TALK, "Mine")) == "owner_only"


async def test_a_deletion_takes_all_answers_with_it(world: TalkWorld) -> None:
    """First they, then the conversation; repeated, it does nothing; others are told that it is gone."""
    for post in ALL_POSTS[:3]:
        answered(world, post)
    world.steering.refuse[ALL_POSTS[1]] = "not_found"  # not begun: whoever begins it finds the conversation deleted
    world.talks.before_publish = lambda event: world.steering.done.append((event.type, "", ""))
    for _ in range(2):
        await world.conversations().delete(principal(), TALK)
    assert [what for what, _, _ in world.steering.done] == ["delete", "delete", "deleted"]
    assert await code_of(world.conversations().get(principal("ben"), TALK)) == "conversation_gone"
    assert await code_of(world.conversations().get(principal("eve"), TALK)) == "not_found"
    assert await code_of(world.conversations().delete(principal("eve"), TALK)) == "not_found"


async def test_only_the_owner_deletes(world: TalkWorld) -> None:
    """And only with a token that may write."""
    assert await code_of(world.conversations().delete(principal("ben"), TALK)) == "owner_only"
    reader = principal(scopes=frozenset({"post:read"}))
    assert await code_of(world.conversations().delete(reader, TALK)) == "forbidden"
    assert world.talk.status == "active"


async def test_what_is_said_meanwhile_is_deleted_too(world: TalkWorld) -> None:
    """``deleted`` is refused while there is anything newer than what was looked at."""
    answered(world, ALL_POSTS[0])
    late = iter(ALL_POSTS[1:])

    def say(event: ConversationEvent) -> None:
        if isinstance(event, ConversationDeleted) and (post := next(late, None)):
            answered(world, post)

    world.talks.before_publish = say
    await world.conversations().delete(principal(), TALK)
    assert [post for _, _, post in world.steering.done] == ALL_POSTS
    assert world.talk.status == "deleted"


async def test_a_deletion_goes_on_where_it_was(world: TalkWorld) -> None:
    """An answer that has not stopped yet keeps the conversation; asked again, it is gone."""
    answered(world, ALL_POSTS[0])
    world.steering.refuse[ALL_POSTS[0]] = "still_stopping"
    assert await code_of(world.conversations().delete(principal(), TALK)) == "still_stopping"
    assert world.talk.status == "active"
    world.steering.refuse.clear()
    await world.conversations().delete(principal(), TALK)
    assert world.talk.status == "deleted"


async def test_an_endless_conversation_is_not_deleted_for_ever(world: TalkWorld) -> None:
    """The owner is told to ask again."""
    count = 0

    def say(event: ConversationEvent) -> None:
        nonlocal count
        if isinstance(event, ConversationDeleted):
            count += 1
            answered(world, idempotent_post_id("late", str(count)))

    world.talks.before_publish = say
    assert await code_of(world.conversations().delete(principal(), TALK)) == "still_stopping"


async def test_a_silent_broker_promises_nothing(world: TalkWorld) -> None:
    """503 once the time is over."""
    world.talks.down = True
    assert await code_of(world.conversations(timeout_s=0.05).rename(principal(), TALK, "x")) == "broker_unavailable"
    assert await code_of(world.conversations(timeout_s=0.05).delete(principal(), TALK)) == "still_stopping"


async def test_a_change_of_what_is_deleted_meanwhile(world: TalkWorld) -> None:
    """It is told, not called done."""

    def delete(event: ConversationEvent) -> None:
        if isinstance(event, MemberChanged):
            fields = {"conversation": TALK, "id": "gone", "by": "ana", "time": "t"}
            world.talks.put(ConversationDeleted.model_validate(fields))

    world.talks.before_publish = delete
    put = world.conversations().put_member(principal(), TALK, "eve", name="", avatar="")
    assert await code_of(put) == "conversation_gone"
