"""Conversations in the SQLite file of the posts: the persister writes both."""

from typing import Final

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
from inkwire_stores.ports import check_limit
from inkwire_stores.sqlite_file import SqliteFile, transaction

TABLES: Final = (
    """CREATE TABLE conversations (
        conversation TEXT PRIMARY KEY NOT NULL,
        seq INTEGER NOT NULL,
        epoch TEXT NOT NULL,
        cut_seq INTEGER NOT NULL,
        cut_at TEXT NOT NULL,
        summary TEXT NOT NULL,
        folded TEXT NOT NULL
    ) STRICT""",
    # A line for each member's list, in its order.
    """CREATE TABLE conversation_members (
        user TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        conversation TEXT NOT NULL,
        PRIMARY KEY (user, updated_at, conversation)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX members_of_conversation ON conversation_members (conversation)",
    "CREATE INDEX conversations_to_cut ON conversations (cut_at, conversation) WHERE cut_at <> ''",
)
"""What makes the tables, for the file's migrations."""

_GET: Final = "SELECT folded, epoch, cut_seq, cut_at FROM conversations WHERE conversation = ?"
_INSERT: Final = """INSERT INTO conversations (seq, epoch, cut_seq, cut_at, summary, folded, conversation)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (conversation) DO NOTHING"""
_UPDATE: Final = """UPDATE conversations SET seq = ?, epoch = ?, cut_seq = ?, cut_at = ?, summary = ?, folded = ?
    WHERE conversation = ? AND epoch = ? AND seq = ?"""
_FORGET_MEMBERS: Final = "DELETE FROM conversation_members WHERE conversation = ?"
_ADD_MEMBER: Final = "INSERT INTO conversation_members (user, updated_at, conversation) VALUES (?, ?, ?)"
LIST: Final = """SELECT summary FROM conversation_members JOIN conversations USING (conversation)
    WHERE user = ? ORDER BY conversation_members.updated_at DESC, conversation_members.conversation DESC LIMIT ?"""
LIST_BEFORE: Final = """SELECT summary FROM conversation_members AS member JOIN conversations USING (conversation)
    WHERE user = ? AND (member.updated_at, member.conversation) < (?, ?)
    ORDER BY member.updated_at DESC, member.conversation DESC LIMIT ?"""
DUE: Final = """SELECT conversation, seq, cut_seq, cut_at FROM conversations
    WHERE cut_at <> '' AND cut_at < ? AND (cut_at, conversation) > (?, ?) AND epoch = ?
    ORDER BY cut_at, conversation LIMIT ?"""
_MOVE: Final = "UPDATE conversations SET cut_seq = ?, cut_at = ? WHERE conversation = ? AND epoch = ? AND seq = ?"


class SqliteConversations:
    """See :class:`inkwire_stores.conversation_ports.ConversationStore`."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def get(self, conversation: str) -> StoredConversation | None:
        """See :class:`inkwire_stores.conversation_ports.ConversationStore`."""
        return await self._file.read(lambda: self._get(conversation))

    async def put(self, stored: StoredConversation, *, expected: tuple[str, int] | None) -> bool:
        """See :class:`inkwire_stores.conversation_ports.ConversationStore`."""
        return await self._file.write(lambda: self._put(stored, expected))

    async def list_conversations(
        self, member: str, *, limit: int, before: tuple[str, str] | None = None
    ) -> list[ConversationSummary]:
        """See :class:`inkwire_stores.conversation_ports.ConversationStore`."""
        check_limit(limit)
        return await self._file.read(lambda: self._list(member, before, limit))

    async def due_cuts(self, *, epoch: str, before: str, limit: int, after: tuple[str, str] | None = None) -> list[Cut]:
        """See :class:`inkwire_stores.conversation_ports.ConversationStore`."""
        check_limit(limit)
        values = (before, *(after or ("", "")), epoch, limit)
        return await self._file.read(lambda: [Cut(*row) for row in self._file.connection().execute(DUE, values)])

    async def move_cut(self, conversation: str, *, expected: tuple[str, int], cut_seq: int, cut_at: str) -> bool:
        """See :class:`inkwire_stores.conversation_ports.ConversationStore`."""
        values = (cut_seq, cut_at, conversation, *expected)
        return await self._file.write(lambda: self._file.connection().execute(_MOVE, values).rowcount == 1)

    # -- in threads --------------------------------------------------------------------------------------------

    def _get(self, conversation: str) -> StoredConversation | None:
        row = self._file.connection().execute(_GET, (conversation,)).fetchone()
        if row is None:
            return None
        folded, epoch, cut_seq, cut_at = row
        return StoredConversation(Conversation.model_validate_json(folded), epoch, cut_seq, cut_at)

    def _put(self, stored: StoredConversation, expected: tuple[str, int] | None) -> bool:
        folded = stored.conversation
        text = folded.model_dump_json()
        if len(text.encode()) > MAX_CONVERSATION_BYTES:
            raise ConversationTooLarge(f"{folded.conversation} takes more than {MAX_CONVERSATION_BYTES} bytes")
        summary = summary_of_conversation(folded).model_dump_json()
        values = (folded.seq, stored.epoch, stored.cut_seq, stored.cut_at, summary, text, folded.conversation)
        connection = self._file.connection()
        with transaction(connection):
            if expected is None:
                written = connection.execute(_INSERT, values).rowcount == 1
            else:
                written = connection.execute(_UPDATE, (*values, *expected)).rowcount == 1
            if written:
                connection.execute(_FORGET_MEMBERS, (folded.conversation,))
                lines = [(user, folded.updated_at, folded.conversation) for user in listed_members(folded)]
                connection.executemany(_ADD_MEMBER, lines)
        return written

    def _list(self, member: str, before: tuple[str, str] | None, limit: int) -> list[ConversationSummary]:
        statement = LIST if before is None else LIST_BEFORE
        rows = self._file.connection().execute(statement, (member, *(before or ()), limit))
        return [ConversationSummary.model_validate_json(row[0]) for row in rows]
