"""Conversations and their members over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from inkwire_api.adapters.exports import TRANSCRIPT_FORMS
from inkwire_api.articles import ExportFormat
from inkwire_api.conversation_schemas import (
    ChangeConversation,
    ConversationHead,
    ConversationList,
    ConversationView,
    CreateConversation,
    PutMember,
    head,
    message_view,
    view,
)
from inkwire_api.conversations import MAX_SUBJECT_CHARS
from inkwire_api.history import newest_first
from inkwire_api.pagination import DEFAULT_LIMIT
from inkwire_api.problems import documented
from inkwire_api.routes.exports import FILES, file_response
from inkwire_api.routes.posts import IDENTITY
from inkwire_api.routes.services import Caller, Cursor, Here, Limit
from inkwire_api.schemas import EXAMPLE_ID
from inkwire_api.transcripts import transcript
from inkwire_contracts.conversations import Member
from inkwire_contracts.errors import InkwireError

router = APIRouter(tags=["conversations"])

MAX_EXPORT_CHARS = 16_000_000
"""Text of one exported conversation, all its answers together."""
NEWEST_MESSAGES = 50
"""Messages that come with a conversation."""

ConversationPath = Annotated[str, Path(examples=[EXAMPLE_ID])]
UserPath = Annotated[
    str, Path(max_length=MAX_SUBJECT_CHARS, description="The subject of the member's token, or its token here.")
]
READING = (
    *IDENTITY,
    "forbidden_channel",
    "not_found",
    "conversation_gone",
    "corrupt",
    "broker_unavailable",
    "store_unavailable",
)
BODY = ("malformed_body", "body_too_large", "unsupported_media_type", "invalid_request")
WRITING = (*READING, "rate_limited", "log_full")


@router.post(
    "/conversations",
    status_code=201,
    summary="Begin a conversation",
    responses={
        201: {"headers": {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}},
        **documented(
            *IDENTITY,
            "forbidden_channel",
            *BODY,
            "unknown_recipe",
            "invalid_options",
            "rate_limited",
            "broker_unavailable",
            "log_full",
        ),
    },
)
async def create_conversation(
    caller: Caller, here: Here, response: Response, body: CreateConversation
) -> ConversationHead:
    """You own it: its answers are yours, you add the members, and you alone can delete it."""
    found = await here.conversations.create(caller, title=body.title, recipe=body.recipe, options=body.options)
    response.headers["Location"] = f"/conversations/{found.conversation.conversation}"
    return head(found)


@router.get(
    "/conversations",
    summary="List conversations",
    responses=documented(*IDENTITY, "forbidden_channel", "invalid_cursor", "invalid_request", "store_unavailable"),
)
async def list_conversations(
    caller: Caller,
    here: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> ConversationList:
    """Those that you take part in, last changed first; one that was just begun comes into the list in a moment."""
    page = await here.conversations.page(caller, limit=limit, cursor=cursor)
    return ConversationList(items=page.items, next_cursor=page.next_cursor)


@router.get("/conversations/{conversation}", summary="Read a conversation", responses=documented(*READING))
async def get_conversation(conversation: ConversationPath, caller: Caller, here: Here) -> ConversationView:
    """With its members and its newest messages, newest first, as they stand at this moment.

    Whoever takes no part is told that there is no such conversation.
    """
    found = await here.conversations.get(caller, conversation)
    page = await newest_first(here.answers, found.conversation, limit=NEWEST_MESSAGES)
    messages = [message_view(found.conversation, joined) for joined in page.items]
    return view(found, messages, page.next_cursor)


@router.get(
    "/conversations/{conversation}/export",
    summary="Take a conversation away",
    response_class=Response,
    responses={**FILES, **documented(*READING, "invalid_request", "too_long_to_render", "rate_limited")},
)
async def export_conversation(
    conversation: ConversationPath,
    caller: Caller,
    here: Here,
    request: Request,
    format: ExportFormat = Query("markdown", description="What kind of file."),
) -> Response:
    """Markdown, HTML that needs nothing else, JSON with everything that is known, or a Word file.

    Every message stands under the name of who said it, and the time; answers that are being written as far as they
    are. Superseded messages are left out. What people and models wrote is never markup of the file's own: in Markdown
    it is quoted, elsewhere its headings come below the file's.
    """
    found = (await here.conversations.get(caller, conversation)).conversation
    standing = found.standing
    joined = await here.answers.joined(found, standing, max_chars=MAX_EXPORT_CHARS)
    if len(joined) < len(standing):
        raise InkwireError("too_long_to_render", limit=MAX_EXPORT_CHARS)
    whole = transcript(found, joined)
    form = TRANSCRIPT_FORMS[format]
    return file_response(request, await here.exports.file(whole, form), form, whole.title)


@router.patch(
    "/conversations/{conversation}",
    summary="Give a conversation a title",
    responses=documented(*WRITING, *BODY, "owner_only"),
)
async def change_conversation(
    conversation: ConversationPath, caller: Caller, here: Here, body: ChangeConversation
) -> ConversationHead:
    """The owner's alone. May be repeated."""
    found = await here.conversations.rename(caller, conversation, body.title)
    return head(found)


@router.delete(
    "/conversations/{conversation}",
    status_code=204,
    summary="Delete a conversation",
    responses=documented(*(code for code in READING if code != "conversation_gone"), "owner_only", "still_stopping"),
)
async def delete_conversation(conversation: ConversationPath, caller: Caller, here: Here) -> Response:
    """The owner's alone. Its answers are deleted with it; one that is being written is stopped first.

    May be repeated; after 503 `still_stopping` it goes on where it was.
    """
    await here.conversations.delete(caller, conversation)
    return Response(status_code=204)


@router.put(
    "/conversations/{conversation}/members/{user:path}",
    summary="Have somebody take part",
    responses=documented(*WRITING, *BODY, "owner_only", "owner_stays", "too_many_members"),
)
async def put_member(
    conversation: ConversationPath,
    user: UserPath,
    caller: Caller,
    here: Here,
    body: PutMember | None = None,
) -> Member:
    """The owner's alone. A member reads everything, also what was said before, and takes part. May be repeated."""
    wished = body or PutMember()
    member = await here.conversations.put_member(caller, conversation, user, name=wished.name, avatar=wished.avatar)
    return member


@router.delete(
    "/conversations/{conversation}/members/{user:path}",
    status_code=204,
    summary="Have somebody take no part any more",
    responses=documented(*WRITING, "invalid_request", "owner_only", "owner_stays"),
)
async def remove_member(conversation: ConversationPath, user: UserPath, caller: Caller, here: Here) -> Response:
    """The owner may remove everybody else, a member itself. What was said stays. May be repeated by the owner."""
    await here.conversations.remove_member(caller, conversation, user)
    return Response(status_code=204)
