"""Cancels under way: the api decides each, and none holds up a frame of its connection. Awaits a port, no I/O."""

import asyncio
from collections.abc import Callable

from pydantic import BaseModel

from inkwire_chassis.lifecycle import cancel_and_wait, spawn
from inkwire_chassis.logs import get_logger
from inkwire_contracts.client_frames import Cancelling
from inkwire_contracts.errors import InkwireError
from inkwire_gateway.ports import Cancelled, ConversationHistory, Damaged, PostApi, Unavailable
from inkwire_gateway.session import TOO_MANY_CANCELS, AskCancel, error_frame

Tell = Callable[[BaseModel], None]
"""Takes the answer; the connection may be gone by then."""


class Cancels:
    """Asks the api, one task for each wish, ``max_in_flight`` in all connections together.

    A wish that was sent is not taken back when its connection goes: who asked for a stop wants it.
    """

    def __init__(self, api: PostApi, conversations: ConversationHistory, *, max_in_flight: int) -> None:
        self._api = api
        self._conversations = conversations
        self._max_in_flight = max_in_flight
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """Wishes that wait for the api."""
        return len(self._tasks)

    def start(self, wish: AskCancel, tell: Tell) -> None:
        """Ask; ``tell`` gets exactly one answer, at once where too many wait already."""
        if len(self._tasks) >= self._max_in_flight:
            tell(_refusal(wish, InkwireError("rate_limited", **TOO_MANY_CANCELS)))
            return
        task = spawn(f"cancel {wish.channel}", self._ask(wish, tell))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, wish: AskCancel, tell: Tell) -> None:
        try:
            answer: BaseModel = await self._answer(wish)
        except InkwireError as error:
            answer = _refusal(wish, error)
        except Exception:  # noqa: BLE001 - whatever it is, the client is owed an answer
            get_logger().error("cancel broke", post=wish.post, exc_info=True)
            answer = _refusal(wish, InkwireError("internal"))
        tell(answer)

    async def _answer(self, wish: AskCancel) -> Cancelling:
        found = await self._cancelled(wish)
        return Cancelling(
            channel=wish.channel, run=found.run, status=found.status, accepted=found.accepted, id=wish.request_id
        )

    async def _cancelled(self, wish: AskCancel) -> Cancelled:
        if wish.conversation is None:
            return await self._api.cancel(wish.post, wish.token, run=wish.run)
        try:
            message = await self._conversations.message_of(wish.conversation, wish.post)
        except (Unavailable, Damaged):
            raise InkwireError("broker_unavailable") from None
        if message is None:
            raise InkwireError("not_found")
        return await self._api.cancel_reply(wish.conversation, message, wish.token, run=wish.run)

    async def stop(self) -> None:
        """Wait for nothing any more; what the api has been told stays told."""
        await cancel_and_wait(*self._tasks)


def _refusal(wish: AskCancel, error: InkwireError) -> BaseModel:
    return error_frame(error.code, error.params, channel=wish.channel, request_id=wish.request_id)
