"""Say something in a conversation, and have it answered: the commit rules of docs/conversations.md over ports.

A message that asks for a reply is committed by the reply's job, like any post; then both messages are written to the
conversation's log, then ``requested``, then it is answered. Whoever finds the job on the way writes what is missing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from inkwire_api import messages
from inkwire_api.asking import in_time
from inkwire_api.conversation_access import ConversationAccess
from inkwire_api.conversations import standing_message
from inkwire_api.mentioning import Mentions
from inkwire_api.mentions import texts_of
from inkwire_api.messages import MessageWish
from inkwire_api.ports import FoldedConversation
from inkwire_api.posts import FIRST_RUN, Posts, Wish, check_key
from inkwire_api.reading import Reader
from inkwire_api.steering import Steered, Steering
from inkwire_chassis.auth import Principal
from inkwire_chassis.clock import Clock, rfc3339
from inkwire_chassis.logs import get_logger
from inkwire_contracts.commands import Job
from inkwire_contracts.conversations import Conversation, Message, MessageCreated
from inkwire_contracts.documents import DocumentRef
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.events import MAX_EVENT_BYTES, RequestedData
from inkwire_stores.ports import StoreUnavailable

MAX_STOPPED = 4
"""Answers that are stopped because what they answer was replaced, the newest ones."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message that stands, its answer if there will be one, and whether it had been accepted before."""

    conversation: Conversation
    message: Message
    answer: Message | None
    replayed: bool


class Messages:
    """Messages and their answers."""

    def __init__(
        self,
        *,
        access: ConversationAccess,
        posts: Posts,
        mentions: Mentions,
        steering: Steering,
        reader: Reader,
        clock: Clock,
        new_id: Callable[[], str],
        timeout_s: float,
    ) -> None:
        self._access = access
        self._posts = posts
        self._mentions = mentions
        self._steering = steering
        self._reader = reader
        self._clock = clock
        self._new_id = new_id
        self._timeout_s = timeout_s

    async def say(
        self,
        caller: Principal,
        conversation: str,
        wish: MessageWish,
        *,
        key: str | None,
        traceparent: str | None = None,
    ) -> Said:
        """Commit a message, with the run that answers it if one is asked for, or find what the key has made before.

        Raises:
            InkwireError: the request is refused, or nothing can be promised at the moment.
            StoreUnavailable: something cannot be looked up at the moment.
        """
        self._access.count_request(caller)
        async with in_time(self._timeout_s):
            found = await self._access.of_member(caller, conversation, "post:write")
            own_id = self._own_id(caller, conversation, key)
            known = _on_record(found.conversation, own_id, wish)
            if known is None:
                documents = await self._checked(caller, found.conversation, wish)
            else:
                documents = known.documents
            if wish.reply:
                return await self._ask(caller, found, wish, own_id, documents, key is not None, traceparent)
            return await self._note(caller, found, wish, own_id, documents, known)

    def _own_id(self, caller: Principal, conversation: str, key: str | None) -> str:
        return self._new_id() if key is None else messages.post_of_key(conversation, caller.owner, check_key(key))

    async def _checked(self, caller: Principal, conversation: Conversation, wish: MessageWish) -> list[DocumentRef]:
        """What is refused, is refused before anything is written."""
        await self._access.require_room()
        if wish.role == "system" and conversation.owner != caller.owner:
            raise InkwireError("owner_only")
        messages.require_editable(conversation, wish.replaces, caller.owner)
        # What the owner wrote into the conversation's options mentions the owner's documents, and nobody else's.
        is_owner = caller.owner == conversation.owner
        options = messages.reply_options(conversation, wish) if is_owner else dict(wish.options or {})
        texts = (wish.content, *texts_of(options))
        documents = await self._mentions.resolve(caller.owner, texts, wish.documents, allowed=not caller.channels)
        messages.require_room(conversation, messages=1 + wish.reply, chars=len(wish.content), mentions=len(documents))
        return documents

    async def _note(
        self,
        caller: Principal,
        found: FoldedConversation,
        wish: MessageWish,
        own_id: str,
        documents: list[DocumentRef],
        known: Message | None,
    ) -> Said:
        conversation = found.conversation.conversation
        event = messages.question_event(
            conversation, own_id, wish, documents, by=caller.owner, time=rfc3339(self._clock.now())
        )
        if known is None:
            await self._access.write(event)
            found = await self._after(conversation)
        stored = found.conversation.message(event.data.message)
        if stored is None:
            raise InkwireError("broker_unavailable")
        if not messages.says_the_same(stored, event):
            raise InkwireError("idempotency_mismatch")
        return Said(found.conversation, stored, None, replayed=known is not None)

    async def _ask(
        self,
        caller: Principal,
        found: FoldedConversation,
        wish: MessageWish,
        post: str,
        documents: list[DocumentRef],
        keyed: bool,
        traceparent: str | None,
    ) -> Said:
        conversation = found.conversation
        name, time = conversation.conversation, rfc3339(self._clock.now())
        recipe = wish.recipe or conversation.recipe
        options = messages.reply_options(conversation, wish)
        resolved = self._posts.resolve(Wish(messages.reply_title(wish.content), recipe, options, wish.priority))
        request = resolved.model_copy(
            update={
                "fingerprint": messages.fingerprint(wish),
                "documents": documents,
                "turn": messages.turn(name, post),
            }
        )
        question = messages.question_event(name, post, wish, documents, by=caller.owner, time=time)
        answer = messages.answer_event(name, post, question=question.data.message, by=caller.owner, time=time)
        job = _job(post, conversation.owner, request, time, traceparent, [question, answer])
        return await self._commit(caller, conversation, job, keyed=keyed)

    async def regenerate(
        self, caller: Principal, conversation: str, message: str, *, traceparent: str | None = None
    ) -> Said:
        """Have an answer written once more, in the place of the one there is; twice asked for, it is written once.

        Raises:
            InkwireError: ``unknown_message``, ``not_a_reply``, or as :meth:`say`.
            StoreUnavailable: as :meth:`say`.
        """
        self._access.count_request(caller)
        async with in_time(self._timeout_s):
            found = (await self._access.of_member(caller, conversation, "post:write")).conversation
            replaced, old_post = messages.answer_in(found, message)
            post = messages.post_of_regeneration(message)
            if found.message(messages.answer_id(post)) is None:
                standing_message(found, message)
                await self._access.require_room()
                messages.require_room(found, messages=1)
            question = found.message(replaced.reply_to or "")
            if question is None:
                raise InkwireError("not_a_reply")
            request = await self._same_request(found, question, old_post, post)
            time = rfc3339(self._clock.now())
            answer = messages.answer_event(
                conversation, post, question=question.message, by=caller.owner, time=time, replaces=message
            )
            job = _job(post, found.owner, request, time, traceparent, [answer])
            return await self._commit(caller, found, job, keyed=True)

    async def _same_request(
        self, conversation: Conversation, question: Message, old_post: str, post: str
    ) -> RequestedData:
        """What the answer was asked for with; where that is gone, the question with the conversation's options."""
        try:
            old = (await self._reader.post(conversation.owner, old_post)).snapshot
        except InkwireError as error:
            if error.code not in ("not_found", "gone", "corrupt"):
                raise
            title = messages.reply_title(question.content)
            request = self._posts.resolve(Wish(title, conversation.recipe, conversation.options, "normal"))
            request = request.model_copy(update={"documents": question.documents})
        else:
            request = RequestedData.model_validate({name: getattr(old, name) for name in RequestedData.model_fields})
        own = {"fingerprint": post, "turn": messages.turn(conversation.conversation, post, question.message)}
        return request.model_copy(update=own)

    async def _commit(self, caller: Principal, conversation: Conversation, job: Job, *, keyed: bool) -> Said:
        async def write_messages(stored: Job) -> None:
            for event in stored.messages:
                await self._access.write(event)

        self._posts.count_request(job.owner)
        accepted = await self._posts.commit(job, keyed=keyed, prepare=write_messages)
        now = (await self._after(conversation.conversation, job, caller)).conversation
        assert job.request.turn is not None  # noqa: S101 - made so
        question, answer = now.message(job.request.turn.message), now.message(job.request.turn.reply)
        if question is None or answer is None:
            raise InkwireError("broker_unavailable")
        if not accepted.replayed:
            await self._stop_replaced(caller, conversation, now)
        return Said(now, question, answer, accepted.replayed)

    async def _after(
        self, conversation: str, job: Job | None = None, caller: Principal | None = None
    ) -> FoldedConversation:
        """The conversation with what was just written. An answer that came too late for it goes with it."""
        found = await self._access.find(conversation)
        if found is None:
            raise InkwireError("broker_unavailable")
        if found.conversation.status != "active":
            if job is not None and caller is not None:
                await self._steering.delete(job.owner, job.post, by=caller.subject)
            raise InkwireError("conversation_gone")
        return found

    async def _stop_replaced(self, caller: Principal, before: Conversation, now: Conversation) -> None:
        """What nobody will read any more costs nothing any more; if that fails, it only costs."""
        known = {m.message for m in before.messages if m.superseded_by is not None}
        replaced = [m.post for m in now.messages if m.post and m.superseded_by and m.message not in known]
        for post in replaced[-MAX_STOPPED:]:
            try:
                await self._steering.cancel(before.owner, post, by=caller.subject)
            except (InkwireError, StoreUnavailable) as error:
                get_logger().warning("an answer that was replaced is not stopped", post=post, error=str(error))

    async def cancel(self, caller: Principal, conversation: str, message: str, *, run: int | None) -> Steered:
        """Stop an answer; any member may, also one that was replaced.

        Raises:
            InkwireError: ``unknown_message``, ``not_a_reply``, or as :meth:`Steering.cancel`.
            StoreUnavailable: as :meth:`Steering.cancel`.
        """
        owner, post = await self._answer(caller, conversation, message, "post:cancel")
        return await _begun(lambda: self._steering.cancel(owner, post, by=caller.subject, run=run), run)

    async def retry(
        self, caller: Principal, conversation: str, message: str, *, run: int | None, traceparent: str | None = None
    ) -> Steered:
        """Begin the next run of an answer that failed or was stopped; any member may.

        Raises:
            InkwireError: ``unknown_message``, ``not_a_reply``, or as :meth:`Steering.retry`.
            StoreUnavailable: as :meth:`Steering.retry`.
        """
        owner, post = await self._answer(caller, conversation, message, "post:write", standing=True)
        return await _begun(lambda: self._steering.retry(owner, post, after_run=run, traceparent=traceparent), None)

    async def _answer(
        self, caller: Principal, conversation: str, message: str, scope: str, *, standing: bool = False
    ) -> tuple[str, str]:
        self._access.count_request(caller)
        async with in_time(self._timeout_s):
            found = (await self._access.of_member(caller, conversation, scope)).conversation
        if standing:
            standing_message(found, message)
        return found.owner, messages.answer_in(found, message)[1]


def _on_record(conversation: Conversation, own_id: str, wish: MessageWish) -> Message | None:
    """The message that the same request has made before."""
    asked, noted = (conversation.message(of(own_id)) for of in (messages.question_id, messages.note_id))
    if (noted if wish.reply else asked) is not None:
        raise InkwireError("idempotency_mismatch")
    return asked if wish.reply else noted


def _job(
    post: str,
    owner: str,
    request: RequestedData,
    time: str,
    traceparent: str | None,
    events: list[MessageCreated],
) -> Job:
    job = Job(
        post=post, owner=owner, run=FIRST_RUN, time=time, request=request, traceparent=traceparent, messages=events
    )
    if len(job.model_dump_json().encode()) > MAX_EVENT_BYTES:
        raise InkwireError("body_too_large", limit_bytes=MAX_EVENT_BYTES)
    return job


async def _begun(steer: Callable[[], Awaitable[Steered]], run: int | None) -> Steered:
    """An answer that has not begun yet is there all the same: it can be steered in a moment."""
    try:
        return await steer()
    except InkwireError as error:
        if error.code == "not_found" and run is None:
            raise InkwireError("broker_unavailable") from None
        raise
