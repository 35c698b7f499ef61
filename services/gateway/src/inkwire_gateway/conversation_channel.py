"""``conversation:<id>``: what its members follow, and what the channels of its answers and of its presence hang on."""

from inkwire_gateway.catch_up import CatchUp
from inkwire_gateway.channel import Channel, HubLimits, LogChannel
from inkwire_gateway.dialects import Dialect
from inkwire_gateway.live_conversation import LiveConversation
from inkwire_gateway.ring import Batch, Ring
from inkwire_gateway.subscription import Subscription


class ConversationChannel(LogChannel[LiveConversation]):
    """Shared by all members. Applicants for its parts wait here too, until it is known whether they are members."""

    def __init__(self, conversation: str, limits: HubLimits) -> None:
        ring = Ring(limits.ring_events, limits.ring_bytes, limits.rings)
        live = LiveConversation(conversation, ring, max_buffer=limits.buffer_events)
        super().__init__(f"conversation:{conversation}", "", live, limits)
        self.conversation = conversation
        self.parts: set[Channel] = set()
        """Channels of answers and of presence: they need to know who is a member."""
        self.roster: frozenset[str] = frozenset()
        """Who is let in, as it was enforced last."""
        self.whole_at = 0
        """Up to where it is known to be whole although the log has forgotten its end."""

    @property
    def in_use(self) -> bool:
        """See :class:`Channel`."""
        return bool(self.subscriptions or self.parts)

    def _made_in(self, dialect: Dialect) -> CatchUp:
        capture = self.live.capture()
        return CatchUp(capture.seq, iter((dialect.conversation(self.name, capture),)))

    def reaches_back(self, subscription: Subscription) -> bool:
        """Whether the reader resumes from before the ring, so that the log may have what it needs."""
        position = subscription.position
        wants = subscription.name == self.name and position is not None
        return wants and position is not None and position.epoch == self.live.epoch and position.seq < self.ring.floor

    def lets_in(self, subscription: Subscription) -> bool:
        """Whether the reader is a member."""
        return subscription.who.user in self.live.roster

    def refusal(self, subscription: Subscription) -> str:
        """Why somebody is not let in who asks: strangers are told nothing."""
        knows_it = self.live.is_deleted and self.live.conversation.member(subscription.who.user) is not None
        return "conversation_gone" if knows_it else "not_found"

    def frame(self, dialect: Dialect, batch: Batch) -> bytes:
        """See :class:`Channel`."""
        return dialect.conversation_event(self.name, self.live.epoch, batch)
