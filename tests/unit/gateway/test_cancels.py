"""Cancels under way: one answer each, bounded, and none waits for another."""

import asyncio
from typing import Any

from pydantic import BaseModel

from inkwire_contracts.client_frames import Cancelling, ErrorFrame
from inkwire_contracts.errors import InkwireError
from inkwire_gateway.cancels import Cancels
from inkwire_gateway.ports import Cancelled
from inkwire_gateway.session import AskCancel
from tests.support.wait import eventually
from tests.unit.gateway.conversation_fakes import CONVERSATION, FakeConversations

POST, OTHER = "a" * 26, "b" * 26


class HeldApi:
    """Answers when it is told to; an exception is raised instead."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int | None]] = []
        self.answers: dict[str, asyncio.Future[Cancelled]] = {}

    async def cancel(self, post: str, token: str, *, run: int | None) -> Cancelled:
        self.asked.append((post, token, run))
        return await self.answers.setdefault(post, asyncio.get_running_loop().create_future())

    async def cancel_reply(self, conversation: str, message: str, token: str, *, run: int | None) -> Cancelled:
        return await self.cancel(f"{conversation}/{message}", token, run=run)

    def answer(self, post: str, result: Cancelled | Exception) -> None:
        """Let all who ask for this post go on."""
        future = self.answers[post]
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def wish(post: str = POST, **changes: Any) -> AskCancel:
    fields: dict[str, Any] = {"post": post, "run": None, "token": "t", "request_id": 1, **changes}
    return AskCancel(**fields)


async def test_a_slow_answer_holds_up_no_other() -> None:
    """The second post is answered while the first one waits, each with what the api said."""
    api, told = HeldApi(), list[BaseModel]()
    cancels = Cancels(api, FakeConversations(), max_in_flight=5)
    cancels.start(wish(), told.append)
    cancels.start(wish(OTHER, run=3, request_id=2), told.append)
    await eventually(lambda: len(api.asked) == 2, what="both are asked")
    api.answer(OTHER, Cancelled(3, "generating", accepted=True))
    await eventually(lambda: bool(told), what="an answer")
    assert told == [Cancelling(channel=f"post:{OTHER}", run=3, status="generating", accepted=True, id=2)]
    assert api.asked == [(POST, "t", None), (OTHER, "t", 3)] and cancels.in_flight == 1
    await cancels.stop()
    assert cancels.in_flight == 0 and len(told) == 1


async def test_refusals_keep_code_and_parameters() -> None:
    """What the api refuses the client is told in the api's own words."""
    api, told = HeldApi(), list[BaseModel]()
    cancels = Cancels(api, FakeConversations(), max_in_flight=5)
    cancels.start(wish(), told.append)
    await eventually(lambda: bool(api.asked), what="it is asked")
    api.answer(POST, InkwireError("rate_limited", retry_after_s=7))
    await eventually(lambda: bool(told), what="an answer")
    (frame,) = told
    assert isinstance(frame, ErrorFrame) and "7 s" in frame.message
    assert (frame.code, frame.params, frame.channel, frame.id) == (
        "rate_limited",
        {"retry_after_s": 7},
        f"post:{POST}",
        1,
    )


async def test_a_fault_of_ours_is_answered_too() -> None:
    """Nobody waits for an answer that never comes, and nothing of the fault is shown."""
    api, told = HeldApi(), list[BaseModel]()
    cancels = Cancels(api, FakeConversations(), max_in_flight=5)
    cancels.start(wish(), told.append)
    await eventually(lambda: bool(api.asked), what="it is asked")
    api.answer(POST, KeyError("secret"))
    await eventually(lambda: bool(told), what="an answer")
    (frame,) = told
    assert isinstance(frame, ErrorFrame) and frame.code == "internal" and "secret" not in frame.message


async def test_beyond_the_bound_it_is_refused_at_once() -> None:
    """One more than may wait is told to come again, and the api is not asked."""
    api, told = HeldApi(), list[BaseModel]()
    cancels = Cancels(api, FakeConversations(), max_in_flight=1)
    cancels.start(wish(), told.append)
    cancels.start(wish(OTHER, request_id=2), told.append)
    (frame,) = told
    assert isinstance(frame, ErrorFrame) and (frame.code, frame.id) == ("rate_limited", 2)
    await eventually(lambda: bool(api.asked), what="the first is asked")
    api.answer(POST, Cancelled(1, "cancelled", accepted=True))
    await eventually(lambda: cancels.in_flight == 0, what="there is room")
    cancels.start(wish(OTHER), told.append)
    await eventually(lambda: len(api.asked) == 2, what="room for another")
    await cancels.stop()


async def test_an_answer_is_cancelled_through_its_message() -> None:
    """A wish for a reply's channel reaches the api as one for the message whose words the post is."""
    api, told, conversations = HeldApi(), list[BaseModel](), FakeConversations().begin()
    answer = conversations.say("", role="assistant", author=None, post=POST)
    message = conversations.truth.messages[-1].message
    cancels = Cancels(api, conversations, max_in_flight=5)
    cancels.start(wish(conversation=CONVERSATION), told.append)
    await eventually(lambda: api.asked, what="the api is asked")
    assert answer.seq and api.asked == [(f"{CONVERSATION}/{message}", "t", None)]
    api.answer(f"{CONVERSATION}/{message}", Cancelled(1, "cancelled", accepted=True))
    await eventually(lambda: told, what="the answer")
    assert isinstance(told[0], Cancelling) and told[0].channel == f"reply:{CONVERSATION}:{POST}"


async def test_a_post_that_is_no_answer_there_is_not_found() -> None:
    """The api is not even asked for a post that no message of the conversation names."""
    api, told, conversations = HeldApi(), list[BaseModel](), FakeConversations().begin()
    cancels = Cancels(api, conversations, max_in_flight=5)
    cancels.start(wish(conversation=CONVERSATION), told.append)
    await eventually(lambda: told, what="the answer")
    assert isinstance(told[0], ErrorFrame) and told[0].code == "not_found" and not api.asked
    conversations.down = True
    cancels.start(wish(conversation=CONVERSATION), told.append)
    await eventually(lambda: len(told) == 2, what="the second answer")
    assert isinstance(told[1], ErrorFrame) and told[1].code == "broker_unavailable"
