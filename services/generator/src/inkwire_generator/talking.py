"""The conversation around one attempt at a reply: its messages, its history, its title. Sees ports only.

Whoever is first writes the messages that a job carries: so a message that asks for a reply is committed with its job.
"""

from inkwire_chassis.clock import Clock, rfc3339
from inkwire_chassis.jetstream import BrokerError
from inkwire_chassis.logs import get_logger
from inkwire_contracts.commands import Job
from inkwire_contracts.conversations import Conversation, TitleChanged, TitleData
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Snapshot
from inkwire_generator.context import NO_TALK, Recollection, Talk, standing, title_for
from inkwire_generator.ports import Talks
from inkwire_generator.pulse import Pulse
from inkwire_stores.ports import StoreUnavailable


class Talking:
    """Made for one attempt. A post that is no reply has no conversation: then nothing is read or written."""

    def __init__(self, talks: Talks, clock: Clock, pulse: Pulse, job: Job) -> None:
        self._talks = talks
        self._clock = clock
        self._pulse = pulse
        self._job = job
        self._turn = job.request.turn
        self._conversation: Conversation | None = None
        self._problem: InkwireError | None = None
        self.talk: Talk = NO_TALK
        """What the recipe sees, once it is recalled."""

    async def announce(self) -> None:
        """Write those of the job's messages that the conversation lacks; one that was deleted gets none.

        Raises:
            BrokerError: no verdict; nothing is claimed yet, so the job is handed back.
        """
        if self._turn is None or not self._job.messages:
            return
        missing = self._job.messages
        try:
            self._conversation = await self._talks.read(self._turn.conversation)
        except BrokerError:
            raise
        except Exception as error:  # noqa: BLE001 - recall() meets it again, under the claim, where it counts
            # Written twice they mean nothing more, but unwritten a committed message would be lost.
            get_logger().warning("conversation not read", error=f"{type(error).__name__}: {error}")
        else:
            found = self._conversation
            if found is None or found.status != "active":
                return
            missing = [event for event in missing if found.message(event.data.message) is None]
        for event in missing:
            await self._talks.publish(event)
            get_logger().info("message written for the api", message=event.data.message)
        if missing:
            self._conversation = None  # to be read again, with them

    async def recall(self) -> None:
        """Read what was said before the question. A conversation that is gone is no reason to stop here: see require().

        Raises:
            BrokerError, StoreUnavailable: it cannot be read now.
        """
        if self._turn is None:
            return
        self._touch()
        conversation = self._conversation or await self._talks.read(self._turn.conversation)
        try:
            conversation, path = standing(conversation, self._turn)
        except InkwireError as error:
            self._problem = error
            return
        recollection = Recollection(conversation, path)
        while (message := recollection.next) is not None:
            post = message.post
            recollection.add(None if post is None else await self._talks.post(conversation.owner, post))
            self._touch()
        self.talk = recollection.talk()
        counts = {"turns": len(self.talk.earlier), "left_out": self.talk.left_out}
        get_logger().info("conversation read", summarised=self.talk.summary != "", **counts)

    def require(self) -> None:
        """Go on only where the reply has a place.

        Raises:
            InkwireError: ``conversation_gone`` or ``unknown_message``: the run ends with it.
        """
        if self._problem is not None:
            raise self._problem

    async def entitle(self, snapshot: Snapshot) -> None:
        """Give a conversation its title if it still has none; again is harmless, and a person's is never replaced.

        Raises:
            BrokerError: no verdict; the job is handed back, and whoever goes on does it again.
        """
        question = self.talk.question
        if self._turn is None or question is None or self.talk.titled:
            return
        try:
            conversation = await self._talks.read(self._turn.conversation)
        except StoreUnavailable:
            pass
        else:
            if conversation is None or conversation.status != "active" or conversation.title:
                return
        await self._talks.publish(
            TitleChanged(
                conversation=self._turn.conversation,
                id=f"{self._job.post}.title",
                by=self._job.owner,
                time=rfc3339(self._clock.now()),
                data=TitleData(title=title_for(snapshot, question.text), generated=True),
            )
        )

    def _touch(self) -> None:
        self._pulse.touch(self._clock.monotonic_s())
