"""Conversations are read from the log and the store, whichever of them answers."""

import asyncio
import random
from typing import cast
from unittest.mock import patch

import pytest

from inkwire_chassis.conversation_log import ConversationLog
from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.lifecycle import spawn
from inkwire_contracts import subjects
from inkwire_contracts.conversations import encode_conversation_event
from inkwire_gateway.adapters.conversation_history import LogConversations
from inkwire_gateway.live_conversation import LoadedConversation
from inkwire_gateway.ports import Unavailable
from inkwire_stores.conversation_ports import StoredConversation
from tests.support.conversation_logs import ConversationScript
from tests.support.memory_conversations import MemoryConversations
from tests.support.memory_stream import MemoryStream, Turns
from tests.support.wait import scaled_s


class HangingConversations(MemoryConversations):
    """Takes questions and never answers."""

    async def get(self, conversation: str) -> StoredConversation | None:
        await asyncio.Event().wait()
        return None


def talk() -> ConversationScript:
    """Two events."""
    script = ConversationScript()
    script.created(title="Bees", name="Ana")
    script.message(1, content="What do bees eat?")
    return script


async def load(script: ConversationScript, *, forgotten: int = 0) -> LoadedConversation | None:
    """A conversation of which the log has forgotten so many events, where the store hangs."""
    turns = Turns(random.Random(0))
    stream = MemoryStream(turns)
    for _, event in script.events:
        stream.store(subjects.conversation(script.conversation), encode_conversation_event(event), {})
    del stream.messages[:forgotten]
    history = LogConversations(ConversationLog(cast(JetStream, stream)), HangingConversations())
    with patch("inkwire_gateway.adapters.store_time.STORE_TIMEOUT_S", 0.01):
        loading = spawn("load", history.load(script.conversation, since=None))
        async with asyncio.timeout(scaled_s(10)):
            await turns.play(loading)
    return loading.result()


async def test_a_store_that_hangs_is_not_waited_for_where_the_log_tells_all() -> None:
    """A conversation whose beginning is in the log is read there."""
    script = talk()
    loaded = await load(script)
    assert loaded is not None and loaded.conversation == script.folded()


async def test_a_store_that_hangs_is_told_where_it_is_needed() -> None:
    """What only the store may know is asked for again by whoever wants it, in turn with others."""
    with pytest.raises(Unavailable):
        await load(talk(), forgotten=1)
