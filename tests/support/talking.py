"""A conversation on a real log, and replies to it as the api commits them."""

from dataclasses import dataclass
from typing import Any

from inkwire_chassis.clock import new_id
from inkwire_chassis.conversation_log import ConversationLog, fold_stored
from inkwire_chassis.event_log import EventLog
from inkwire_contracts.commands import Job
from inkwire_contracts.conversations import (
    Conversation,
    ConversationCreated,
    ConversationDeleted,
    ConversationEvent,
    CreatedData,
    MemberChanged,
    MemberData,
    MessageCreated,
    MessageData,
    TitleChanged,
    TitleData,
)
from inkwire_contracts.events import RequestedData, Turn
from tests.support.generator import commit_job
from tests.support.log import TIME


@dataclass
class Talk:
    """Plays the api of one conversation. ``recipe`` and ``options`` are those of its replies."""

    log: EventLog
    conversations: ConversationLog
    conversation: str
    owner: str
    recipe: str
    options: dict[str, Any]

    @classmethod
    async def begin(
        cls, log: EventLog, *, owner: str = "local", recipe: str = "chat", title: str = "", **options: Any
    ) -> "Talk":
        """Create it."""
        talk = cls(log, ConversationLog(log.jetstream), new_id(), owner, recipe, options)
        await talk.write(ConversationCreated, CreatedData(title=title, recipe=recipe, options=options, name="Lea"))
        return talk

    async def write(self, kind: type[ConversationEvent], data: Any, *, by: str = "", event: str = "") -> None:
        """One event, at once."""
        await self.conversations.publish(self._event(kind, data, by=by, event=event))

    async def join(self, user: str, name: str) -> None:
        """A member comes."""
        await self.write(MemberChanged, MemberData(user=user, name=name, present=True))

    async def entitle(self, title: str) -> None:
        """The owner gives a title."""
        await self.write(TitleChanged, TitleData(title=title))

    async def delete(self) -> None:
        """It is gone."""
        await self.conversations.publish(
            ConversationDeleted(conversation=self.conversation, id="deleted", by=self.owner, time=TIME)
        )

    async def note(self, content: str, *, by: str = "") -> str:
        """A message that nobody is asked to answer; its id."""
        data = MessageData(message=new_id(), role="user", author=by or self.owner, content=content)
        await self.write(MessageCreated, data, by=by, event=data.message)
        return data.message

    async def ask(
        self, content: str, *, by: str = "", replaces: str | None = None, told: bool = True, post: str = ""
    ) -> Job:
        """A message with its reply, committed. ``told`` false: the api died right after the job."""
        question = MessageData(
            message=new_id(), role="user", author=by or self.owner, content=content, replaces=replaces
        )
        return await self._commit(question.message, [self._event(MessageCreated, question, by=by)], None, told, post)

    async def again(self, job: Job) -> Job:
        """The same question once more, in place of that answer."""
        turn = turn_of(job)
        return await self._commit(turn.message, [], turn.reply, True, "")

    async def read(self) -> Conversation:
        """The conversation as its log tells it."""
        events = await self.conversations.read(self.conversation)
        return fold_stored(Conversation(conversation=self.conversation), events)

    async def _commit(
        self, question: str, before: list[ConversationEvent], replaces: str | None, told: bool, post: str
    ) -> Job:
        post = post or new_id()
        answer = MessageData(message=new_id(), role="assistant", reply_to=question, post=post, replaces=replaces)
        messages = [*before, self._event(MessageCreated, answer)]
        title = (messages[0].model_dump()["data"]["content"] or "Again").partition("\n")[0][:300]
        turn = Turn(conversation=self.conversation, message=question, reply=answer.message)
        request = RequestedData(title=title, recipe=self.recipe, options=self.options, turn=turn)
        job = Job.model_validate(
            {"post": post, "owner": self.owner, "run": 1, "time": TIME, "request": request, "messages": messages}
        )
        if told:
            for event in messages:
                await self.conversations.publish(event)
            await self.log.ensure_requested(job)
        await commit_job(self.log, job)
        return job

    def _event(self, kind: type[ConversationEvent], data: Any, *, by: str = "", event: str = "") -> ConversationEvent:
        return kind.model_validate(
            {
                "conversation": self.conversation,
                "id": event or (data.message if isinstance(data, MessageData) else new_id()),
                "by": by or self.owner,
                "time": TIME,
                "data": data,
            }
        )


def turn_of(job: Job) -> Turn:
    """Where a reply belongs."""
    turn = job.request.turn
    assert turn is not None
    return turn
