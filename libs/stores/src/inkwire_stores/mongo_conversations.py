"""Conversations in MongoDB, one document each, so that compare-and-set is one atomic write.

What lists and the janitor ask for has fields of its own. The conversation itself is JSON text: emojis are keys there,
and MongoDB's names are narrower than JSON's.
"""

from typing import Any

from pymongo import ASCENDING, DESCENDING

from inkwire_contracts.conversations import Conversation
from inkwire_stores.conversation_ports import (
    MAX_CONVERSATION_BYTES,
    ConversationSummary,
    ConversationTooLarge,
    Cut,
    StoredConversation,
    listed_members,
    summary_of_conversation,
)
from inkwire_stores.indexes import CONVERSATION_INDEXES
from inkwire_stores.mongo_database import Collection, Document, Indexes, driver_errors, insert_new
from inkwire_stores.ports import check_limit


class MongoConversations:
    """See :class:`inkwire_stores.conversation_ports.ConversationStore`."""

    def __init__(self, conversations: Collection) -> None:
        self._conversations = conversations
        self._indexes = Indexes(conversations, CONVERSATION_INDEXES)

    async def get(self, conversation: str) -> StoredConversation | None:
        """See :class:`inkwire_stores.conversation_ports.ConversationStore`."""
        fields = {"folded": 1, "epoch": 1, "cut_seq": 1, "cut_at": 1}
        with driver_errors():
            found = await self._conversations.find_one({"_id": conversation}, fields)
        if found is None:
            return None
        folded = Conversation.model_validate_json(found["folded"])
        return StoredConversation(folded, str(found["epoch"]), int(found["cut_seq"]), str(found["cut_at"]))

    async def put(self, stored: StoredConversation, *, expected: tuple[str, int] | None) -> bool:
        """See :class:`inkwire_stores.conversation_ports.ConversationStore`."""
        document = _to_document(stored)
        with driver_errors(lambda: _too_large(stored.conversation)):
            await self._indexes.make()
            if expected is None:
                return await insert_new(self._conversations, document)
            result = await self._conversations.replace_one(_at(document["_id"], expected), document)
        return result.matched_count == 1

    async def list_conversations(
        self, member: str, *, limit: int, before: tuple[str, str] | None = None
    ) -> list[ConversationSummary]:
        """See :class:`inkwire_stores.conversation_ports.ConversationStore`."""
        check_limit(limit)
        query: Document = {"members": member}
        if before is not None:
            updated_at, conversation = before
            query["$or"] = [
                {"updated_at": {"$lt": updated_at}},
                {"updated_at": updated_at, "_id": {"$lt": conversation}},
            ]
        order = [("updated_at", DESCENDING), ("_id", DESCENDING)]
        with driver_errors():
            found = await self._conversations.find(query, {"summary": 1}).sort(order).limit(limit).to_list(limit)
        return [ConversationSummary.model_validate(line["summary"]) for line in found]

    async def due_cuts(self, *, epoch: str, before: str, limit: int, after: tuple[str, str] | None = None) -> list[Cut]:
        """See :class:`inkwire_stores.conversation_ports.ConversationStore`."""
        check_limit(limit)
        query: Document = {"epoch": epoch, "cut_at": {"$gt": "", "$lt": before}}
        if after is not None:
            cut_at, conversation = after
            query["$or"] = [{"cut_at": {"$gt": cut_at}}, {"cut_at": cut_at, "_id": {"$gt": conversation}}]
        order = [("cut_at", ASCENDING), ("_id", ASCENDING)]
        fields = {"seq": 1, "cut_seq": 1, "cut_at": 1}
        with driver_errors():
            found = await self._conversations.find(query, fields).sort(order).limit(limit).to_list(limit)
        return [Cut(line["_id"], line["seq"], line["cut_seq"], line["cut_at"]) for line in found]

    async def move_cut(self, conversation: str, *, expected: tuple[str, int], cut_seq: int, cut_at: str) -> bool:
        """See :class:`inkwire_stores.conversation_ports.ConversationStore`."""
        change = {"$set": {"cut_seq": cut_seq, "cut_at": cut_at}}
        with driver_errors():
            result = await self._conversations.update_one(_at(conversation, expected), change)
        return result.matched_count == 1


def _at(conversation: str, place: tuple[str, int]) -> Document:
    epoch, seq = place
    return {"_id": conversation, "epoch": epoch, "seq": seq}


def _to_document(stored: StoredConversation) -> dict[str, Any]:
    folded = stored.conversation
    text = folded.model_dump_json()
    if len(text.encode()) > MAX_CONVERSATION_BYTES:
        raise _too_large(folded)
    return {
        "_id": folded.conversation,
        "owner": folded.owner,
        "status": folded.status,
        "members": listed_members(folded),
        "updated_at": folded.updated_at,
        "seq": folded.seq,
        "epoch": stored.epoch,
        "cut_seq": stored.cut_seq,
        "cut_at": stored.cut_at,
        "summary": summary_of_conversation(folded).model_dump(),
        "folded": text,
    }


def _too_large(conversation: Conversation) -> ConversationTooLarge:
    return ConversationTooLarge(f"{conversation.conversation} takes more than {MAX_CONVERSATION_BYTES} bytes")
