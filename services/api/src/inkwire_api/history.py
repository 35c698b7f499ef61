"""Pages of a conversation's messages, newest first."""

from inkwire_api import pagination
from inkwire_api.answers import Answers, Joined
from inkwire_api.pagination import Page
from inkwire_contracts.conversations import Conversation
from inkwire_contracts.errors import InkwireError


async def newest_first(
    answers: Answers,
    conversation: Conversation,
    *,
    limit: int,
    cursor: str | None = None,
    superseded: bool = False,
) -> Page[Joined]:
    """At most ``limit`` messages, and fewer where their text is long; superseded ones only if asked for.

    Raises:
        InkwireError: ``invalid_cursor``, ``broker_unavailable`` or ``store_unavailable``.
    """
    messages = conversation.messages
    if cursor is not None:
        last = pagination.decode_message_cursor(cursor, conversation.conversation, superseded=superseded)
        place = next((i for i, m in enumerate(messages) if m.message == last), None)
        if place is None:
            raise InkwireError("invalid_cursor")
        messages = messages[:place]
    chosen = [m for m in reversed(messages) if superseded or m.superseded_by is None]
    items = await answers.joined(conversation, chosen[:limit])
    following = None
    if len(items) < len(chosen):
        oldest = items[-1].message.message
        following = pagination.encode_message_cursor(conversation.conversation, oldest, superseded=superseded)
    return Page(items, following)
