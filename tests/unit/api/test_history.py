"""Pages of a conversation's messages with their answers, and answers that are not there."""

import asyncio
from typing import Any

import pytest

from inkwire_api.answers import Answers
from inkwire_api.history import newest_first
from inkwire_api.ports import Folded
from inkwire_api.reading import Reader
from inkwire_contracts.conversations import Conversation, Message
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Section, Snapshot
from inkwire_contracts.ids import idempotent_post_id
from tests.support.api_fakes import FakeBroker
from tests.support.memory_store import MemoryStore

TALK = idempotent_post_id("ana", "talk")


def name(number: int) -> str:
    return idempotent_post_id("message", str(number))


class World:
    """A conversation of questions (even) and answers (odd), the first two superseded, and the answers' posts."""

    def __init__(self, messages: int = 12) -> None:
        self.broker, self.store = FakeBroker(), MemoryStore()
        self.timeout_s = 5.0
        self.talk = Conversation(conversation=TALK, owner="ana", status="active")
        for n in range(messages):
            fields: dict[str, Any] = {"message": name(n), "seq": n + 2, "role": "user", "content": f"q{n}"}
            if n % 2:
                fields = {**fields, "role": "assistant", "content": "", "post": name(1_000 + n)}
                self.answer(n)
            self.talk.messages.append(Message(superseded_by=name(2) if n < 2 else None, **fields))

    def answer(self, number: int, text: str | None = None, **fields: Any) -> None:
        post, text = name(1_000 + number), text or f"a{number}"
        section = Section(section="reply", title="", text=text, length=len(text), status="done")
        turn = {"conversation": TALK, "message": name(number - 1), "reply": name(number)}
        values = {"post": post, "owner": "ana", "status": "published", "sections": [section], "turn": turn, **fields}
        self.broker.folded[post] = Snapshot.model_validate(values)

    async def page(self, **options: Any) -> tuple[list[str], str | None]:
        answers = Answers(Reader(log=self.broker, store=self.store, timeout_s=5.0), timeout_s=self.timeout_s)
        page = await newest_first(answers, self.talk, **{"limit": 5, **options})
        return [joined.text for joined in page.items], page.next_cursor

    async def all(self, **options: Any) -> list[str]:
        found, cursor = await self.page(**options)
        while cursor is not None:
            more, cursor = await self.page(**options, cursor=cursor)
            found += more
        return found


EXPECTED = [f"{'a' if n % 2 else 'q'}{n}" for n in reversed(range(12))]


@pytest.mark.parametrize("limit", [1, 3, 10, 100])
async def test_pages_give_each_message_once_newest_first(limit: int) -> None:
    """Superseded ones only where they are asked for."""
    assert await World().all(limit=limit) == EXPECTED[:-2]
    assert await World().all(limit=limit, superseded=True) == EXPECTED


async def test_new_messages_do_not_move_the_pages() -> None:
    """A page goes on behind what was seen."""
    world = World()
    first, cursor = await world.page()
    world.talk.messages.append(Message(message=name(99), seq=99, role="user", content="new"))
    second, _ = await world.page(cursor=cursor)
    assert first + second == EXPECTED[:10]


async def test_a_cursor_belongs_to_its_list() -> None:
    """Of that conversation, under that filter."""
    _, cursor = await World().page()
    other = World()
    other.talk.conversation = name(5)
    for world, options in ((other, {}), (World(), {"superseded": True}), (World(4), {})):
        with pytest.raises(InkwireError) as caught:
            await world.page(cursor=cursor, **options)
        assert caught.value.code == "invalid_cursor"


async def test_a_page_of_long_answers_ends_early() -> None:
    """And goes on where it was; one that is too long alone is a page."""
    world = World()
    for n in range(1, 12, 2):
        world.answer(n, "x" * 900_000)
    lengths = [len(texts) for texts in [(await world.page(limit=100))[0]]]
    assert lengths[0] < 10 and len(await world.all(limit=100)) == 10
    world.answer(11, "x" * 3_000_000)
    assert len((await world.page())[0]) == 1


async def test_answers_that_are_not_there_are_told_as_what_they_are() -> None:
    """Not begun, deleted, unreadable, or a post of something else; the page is given all the same."""
    world = World()
    posts = [name(1_000 + n) for n in (5, 7, 9, 11)]
    del world.broker.folded[posts[0]]
    world.answer(7, status="deleted")
    world.broker.damaged.add(posts[2])
    world.answer(11, turn=None)
    answers = Answers(Reader(log=world.broker, store=world.store, timeout_s=5.0), timeout_s=5.0)
    page = await newest_first(answers, world.talk, limit=8)
    found = {j.message.post: j.answer.snapshot for j in page.items if j.answer is not None}
    assert [found[post].status for post in posts] == ["queued", "deleted", "failed", "failed"]
    problems = [found[post].error for post in posts]
    assert [problem and problem.code for problem in problems] == [None, None, "corrupt", "corrupt"]
    assert found[posts[3]].sections == []


async def test_a_page_needs_its_answers() -> None:
    """Where nothing can be read, that is the answer."""
    world = World()
    world.broker.down = True
    with pytest.raises(InkwireError) as caught:
        await world.page()
    assert caught.value.code == "broker_unavailable"


async def test_a_page_is_not_waited_for_for_ever() -> None:
    """However many answers the broker is slow with."""

    class Silent(FakeBroker):
        async def fold(self, *_args: object, **_options: object) -> Folded | None:
            await asyncio.Event().wait()
            raise AssertionError("never")

    world = World()
    world.broker, world.timeout_s = Silent(), 0.05
    with pytest.raises(InkwireError) as caught:
        await world.page()
    assert caught.value.code == "broker_unavailable"
