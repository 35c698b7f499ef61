"""Begin, list, rename and delete conversations, and change who takes part: each decision from the folded conversation.

Whoever changes something reads the conversation again before answering: what counts is what the log made of it, where
others were at it too.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from inkwire_api import conversations, pagination
from inkwire_api.asking import in_time
from inkwire_api.conversation_access import ConversationAccess
from inkwire_api.pagination import Page
from inkwire_api.ports import FoldedConversation, Newer
from inkwire_api.posts import Posts, Wish
from inkwire_api.side_by_side import for_each
from inkwire_api.steering import Steering
from inkwire_chassis.auth import Principal
from inkwire_chassis.clock import Clock, rfc3339
from inkwire_contracts.conversations import (
    MAX_EMOJIS,
    MAX_MEMBERS,
    Conversation,
    Member,
    MemberData,
    Message,
    ReactionData,
)
from inkwire_contracts.errors import InkwireError
from inkwire_stores.conversation_ports import ConversationStore, ConversationSummary

DELETE_ROUNDS = 5
"""Looks at a conversation that others go on with while it is being deleted."""
DELETIONS_AT_ONCE = 8


class Conversations:
    """Conversations and their members."""

    def __init__(
        self,
        *,
        access: ConversationAccess,
        store: ConversationStore,
        posts: Posts,
        steering: Steering,
        issuer: str,
        clock: Clock,
        new_id: Callable[[], str],
        timeout_s: float,
    ) -> None:
        self._access = access
        self._store = store
        self._posts = posts
        self._steering = steering
        self._issuer = issuer
        self._clock = clock
        self._new_id = new_id
        self._timeout_s = timeout_s

    async def create(
        self, caller: Principal, *, title: str, recipe: str, options: dict[str, Any]
    ) -> FoldedConversation:
        """Begin a conversation; the caller owns it.

        Raises:
            InkwireError: the request is refused, or nothing can be promised at the moment.
        """
        caller.require("post:write")
        conversations.require_all_channels(caller)
        self._access.count_request(caller)
        request = self._posts.resolve(Wish(title, recipe, options, "normal"))
        conversation = self._new_id()
        event = conversations.created(
            conversation, caller, title=title, recipe=recipe, options=request.options, time=self._now()
        )
        async with in_time(self._timeout_s):
            await self._access.require_room()
            with suppress(Newer):  # our own first try, whose answer was lost: nobody else has that id
                await self._access.write(event)
            return await self._again(conversation)

    async def get(self, caller: Principal, conversation: str) -> FoldedConversation:
        """The conversation as it stands.

        Raises:
            InkwireError: as :meth:`ConversationAccess.of_member`.
        """
        async with in_time(self._timeout_s):
            return await self._access.of_member(caller, conversation)

    async def page(self, caller: Principal, *, limit: int, cursor: str | None) -> Page[ConversationSummary]:
        """The caller's conversations, last changed first.

        Raises:
            InkwireError: ``invalid_cursor``.
            StoreUnavailable: lists come from the store alone.
        """
        caller.require("post:read")
        conversations.require_all_channels(caller)
        before = None if cursor is None else pagination.decode_conversation_cursor(cursor)
        found = await self._store.list_conversations(caller.owner, limit=limit + 1, before=before)
        items = found[:limit]
        following = None
        if len(found) > limit:
            following = pagination.encode_conversation_cursor(items[-1].updated_at, items[-1].id)
        return Page(items, following)

    async def rename(self, caller: Principal, conversation: str, title: str) -> FoldedConversation:
        """Give a conversation a title, which no generated one replaces.

        Raises:
            InkwireError: ``owner_only``, or as :meth:`get`.
        """
        async with in_time(self._timeout_s):
            found = await self._to_change(caller, conversation)
            event = conversations.title_change(
                found.conversation, title, by=caller.owner, event_id=self._new_id(), time=self._now()
            )
            if event is None:
                return found
            await self._access.write(event)
            return await self._again(conversation)

    async def put_member(self, caller: Principal, conversation: str, user: str, *, name: str, avatar: str) -> Member:
        """Have somebody take part, or be named otherwise; ``user`` is a token's subject, or a member's own token.

        Raises:
            InkwireError: ``owner_only``, ``owner_stays``, ``too_many_members``, or as :meth:`get`.
        """
        data = await self._change_member(caller, conversation, user, name=name, avatar=avatar, present=True)
        known = data[1].member(data[0])
        if known is None:  # others were faster with the last place
            raise InkwireError("too_many_members", limit=MAX_MEMBERS)
        return known

    async def remove_member(self, caller: Principal, conversation: str, user: str) -> None:
        """Have somebody take no part any more; the owner may do so with everybody else, a member with itself.

        Raises:
            InkwireError: ``owner_only``, ``owner_stays``, or as :meth:`get`.
        """
        await self._change_member(caller, conversation, user, present=False)

    async def _change_member(
        self, caller: Principal, conversation: str, user: str, *, name: str = "", avatar: str = "", present: bool
    ) -> tuple[str, Conversation]:
        async with in_time(self._timeout_s):
            found = await self._to_change(caller, conversation)
            token = conversations.member_token(found.conversation, self._issuer, user)
            event = conversations.member_change(
                found.conversation,
                MemberData(user=token, name=name, avatar=avatar, present=present),
                by=caller.owner,
                event_id=self._new_id(),
                time=self._now(),
            )
            if event is None:
                return token, found.conversation
            await self._access.write(event)
            return token, (await self._again(conversation)).conversation

    async def react(self, caller: Principal, conversation: str, message: str, emoji: str, *, present: bool) -> Message:
        """Put an emoji of the caller's on a message, or take it away.

        Raises:
            InkwireError: ``invalid_request``, ``unknown_message``, ``too_many_reactions``, ``conversation_full``, or as
                :meth:`get`.
        """
        data = ReactionData(message=message, emoji=conversations.check_emoji(emoji), user=caller.owner, present=present)
        async with in_time(self._timeout_s):
            found = await self._to_change(caller, conversation)
            event = conversations.reaction_change(found.conversation, data, event_id=self._new_id(), time=self._now())
            if event is not None:
                await self._access.write(event)
                found = await self._again(conversation)
            changed = found.conversation.message(message)
            if changed is None:
                raise InkwireError("unknown_message")
            if present and caller.owner not in changed.reactions.get(emoji, []):
                raise InkwireError("too_many_reactions", limit=MAX_EMOJIS)
            return changed

    async def delete(self, caller: Principal, conversation: str) -> None:
        """Delete a conversation and all its answers; one that is being written is stopped first.

        ``deleted`` is written only if nothing was said since the conversation was read whose answers are gone.

        Raises:
            InkwireError: ``owner_only``, as :meth:`get`, or ``still_stopping``: the same request again goes on.
        """
        caller.require("post:write")
        conversations.require_channel(caller, conversation)
        gone: set[str] = set()
        try:
            async with asyncio.timeout(self._timeout_s):
                for _ in range(DELETE_ROUNDS):
                    found = await self._access.find(conversation)
                    if found is None or not conversations.is_member(found.conversation, caller.owner):
                        raise InkwireError("not_found")
                    conversations.require_owner(found.conversation, caller.owner)
                    if found.conversation.status != "active":
                        return
                    await self._delete_answers(caller, found.conversation, gone)
                    event = conversations.deleted(found.conversation, by=caller.owner, time=self._now())
                    try:
                        await self._access.write(event, after=found.newest_seq)
                    except Newer:
                        continue
                    return
        except TimeoutError:
            pass
        raise InkwireError("still_stopping")

    async def _delete_answers(self, caller: Principal, conversation: Conversation, gone: set[str]) -> None:
        async def delete(post: str) -> None:
            try:
                await self._steering.delete(conversation.owner, post, by=caller.subject)
            except InkwireError as error:
                # Nothing of it yet: whoever begins it will find the conversation deleted.
                if error.code not in ("not_found", "corrupt"):
                    raise
            gone.add(post)

        posts = [m.post for m in conversation.messages if m.post is not None and m.post not in gone]
        await for_each(posts, DELETIONS_AT_ONCE, delete)

    async def _to_change(self, caller: Principal, conversation: str) -> FoldedConversation:
        self._access.count_request(caller)
        found = await self._access.of_member(caller, conversation, "post:write")
        await self._access.require_room()
        return found

    async def _again(self, conversation: str) -> FoldedConversation:
        """The conversation with what was just written."""
        found = await self._access.find(conversation)
        if found is None:
            raise InkwireError("broker_unavailable")
        if found.conversation.status != "active":
            raise InkwireError("conversation_gone")
        return found

    def _now(self) -> str:
        return rfc3339(self._clock.now())
