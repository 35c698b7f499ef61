"""Messages and their answers over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from inkwire_api.conversation_schemas import (
    AcceptedReply,
    CreateMessage,
    MessageList,
    MessageView,
    Reactions,
    SentMessage,
    SteeredReply,
    bare_message,
    message_view,
    reply_channel,
)
from inkwire_api.history import newest_first
from inkwire_api.messages import MessageWish
from inkwire_api.messaging import Said
from inkwire_api.pagination import DEFAULT_LIMIT
from inkwire_api.posts import FIRST_RUN
from inkwire_api.problems import documented
from inkwire_api.routes.conversations import BODY, READING, WRITING, ConversationPath
from inkwire_api.routes.posts import KEY_HEADER, REPLAYED, key_of, traceparent_of
from inkwire_api.routes.services import Caller, Cursor, Here, Limit, Services
from inkwire_api.routes.steering import MAX_RUN
from inkwire_api.schemas import EXAMPLE_ID
from inkwire_api.steering import Steered
from inkwire_contracts.conversations import Message
from inkwire_contracts.errors import InkwireError

router = APIRouter(tags=["conversations"])

MessagePath = Annotated[str, Path(examples=[EXAMPLE_ID])]
EmojiPath = Annotated[str, Path(examples=["👍"])]
Run = Annotated[int | None, Query(ge=1, le=MAX_RUN, description="The run that is meant.")]


@router.get(
    "/conversations/{conversation}/messages",
    summary="Read a conversation's messages",
    responses=documented(*READING, "invalid_cursor", "invalid_request"),
)
async def list_messages(
    conversation: ConversationPath,
    caller: Caller,
    here: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    superseded: Annotated[bool, Query(description="Also messages in whose place others stand.")] = False,
) -> MessageList:
    """Newest first, answers with their text as far as it is written. Go on with `next_cursor` until it is null."""
    found = (await here.conversations.get(caller, conversation)).conversation
    page = await newest_first(here.answers, found, limit=limit, cursor=cursor, superseded=superseded)
    items = [message_view(found, joined) for joined in page.items]
    return MessageList(items=items, next_cursor=page.next_cursor)


@router.get(
    "/conversations/{conversation}/messages/{message}",
    summary="Read one message",
    responses=documented(*READING, "unknown_message"),
)
async def get_message(conversation: ConversationPath, message: MessagePath, caller: Caller, here: Here) -> MessageView:
    """Also one that was superseded."""
    found = (await here.conversations.get(caller, conversation)).conversation
    known = found.message(message)
    if known is None:
        raise InkwireError("unknown_message")
    (joined,) = await here.answers.joined(found, [known])
    return message_view(found, joined)


@router.post(
    "/conversations/{conversation}/messages",
    status_code=202,
    summary="Say something",
    responses={
        201: {
            "model": SentMessage,
            "description": "The message stands; no answer was asked for.",
            "headers": REPLAYED,
        },
        202: {"description": "The message is stored, and its answer will be written.", "headers": REPLAYED},
        **documented(
            *WRITING,
            *BODY,
            "invalid_idempotency_key",
            "idempotency_mismatch",
            "gone",
            "unknown_recipe",
            "invalid_options",
            "unknown_document",
            "too_many_documents",
            "unknown_message",
            "author_only",
            "owner_only",
            "conversation_full",
            "too_many_posts",
        ),
    },
    openapi_extra={"parameters": [KEY_HEADER]},
)
async def create_message(
    conversation: ConversationPath,
    caller: Caller,
    here: Here,
    request: Request,
    response: Response,
    body: CreateMessage,
) -> SentMessage:
    """Answered once message and run are stored for good. Sent twice with one key, it is said once.

    The answer is the conversation's owner's post: it counts among the owner's open posts, and is the owner's cost.
    """
    said = await here.messages.say(
        caller,
        conversation,
        _wish(body),
        key=key_of(request),
        traceparent=traceparent_of(request),
    )
    return _sent(said, here, response)


@router.post(
    "/conversations/{conversation}/messages/{message}/regenerate",
    status_code=202,
    summary="Have an answer written once more",
    responses={
        202: {"description": "The new answer will be written, in the place of the old one.", "headers": REPLAYED},
        **documented(*WRITING, "unknown_message", "not_a_reply", "gone", "conversation_full", "too_many_posts"),
    },
)
async def regenerate_message(
    conversation: ConversationPath,
    message: MessagePath,
    caller: Caller,
    here: Here,
    request: Request,
    response: Response,
) -> SentMessage:
    """With the same request. The old answer and all after it are superseded. Asked for twice, it is written once."""
    said = await here.messages.regenerate(caller, conversation, message, traceparent=traceparent_of(request))
    return _sent(said, here, response)


@router.post(
    "/conversations/{conversation}/messages/{message}/cancel",
    status_code=202,
    summary="Stop an answer",
    responses={
        200: {"model": SteeredReply, "description": "The run had ended before; nothing was changed."},
        202: {"description": "The wish is stored: the run stops, whatever dies meanwhile."},
        **documented(*READING, "rate_limited", "unknown_message", "not_a_reply", "gone", "invalid_request"),
    },
)
async def cancel_message(
    conversation: ConversationPath,
    message: MessagePath,
    caller: Caller,
    here: Here,
    response: Response,
    run: Run = None,
) -> SteeredReply:
    """Any member may. What was written is kept. As `POST /posts/{post}/cancel`."""
    return _steered(message, await here.messages.cancel(caller, conversation, message, run=run), response)


@router.post(
    "/conversations/{conversation}/messages/{message}/retry",
    status_code=202,
    summary="Try a failed or stopped answer again",
    responses={
        202: {"description": "The next run is in the log and will end."},
        **documented(
            *WRITING,
            "unknown_message",
            "not_a_reply",
            "gone",
            "not_retryable",
            "too_many_posts",
            "invalid_request",
        ),
    },
)
async def retry_message(
    conversation: ConversationPath,
    message: MessagePath,
    caller: Caller,
    here: Here,
    request: Request,
    response: Response,
    run: Run = None,
) -> SteeredReply:
    """Any member may. As `POST /posts/{post}/retry`."""
    steered = await here.messages.retry(caller, conversation, message, run=run, traceparent=traceparent_of(request))
    return _steered(message, steered, response)


@router.put(
    "/conversations/{conversation}/messages/{message}/reactions/{emoji}",
    summary="Put an emoji on a message",
    responses=documented(*WRITING, "invalid_request", "unknown_message", "too_many_reactions", "conversation_full"),
)
async def put_reaction(
    conversation: ConversationPath,
    message: MessagePath,
    emoji: EmojiPath,
    caller: Caller,
    here: Here,
) -> Reactions:
    """In one's own name. May be repeated."""
    return _reactions(await here.conversations.react(caller, conversation, message, emoji, present=True))


@router.delete(
    "/conversations/{conversation}/messages/{message}/reactions/{emoji}",
    summary="Take one's emoji off a message",
    responses=documented(*WRITING, "invalid_request", "unknown_message"),
)
async def remove_reaction(
    conversation: ConversationPath,
    message: MessagePath,
    emoji: EmojiPath,
    caller: Caller,
    here: Here,
) -> Reactions:
    """May be repeated."""
    return _reactions(await here.conversations.react(caller, conversation, message, emoji, present=False))


def _wish(body: CreateMessage) -> MessageWish:
    is_asked = body.role == "user" if body.reply is None else body.reply
    if body.role == "system" and is_asked:
        raise InkwireError("invalid_request", detail="reply: a system message is never answered")
    return MessageWish(
        content=body.content,
        role=body.role,
        reply=is_asked,
        recipe=body.recipe,
        options=body.options,
        documents=tuple(body.documents),
        priority=body.priority,
        replaces=body.replaces,
    )


def _sent(said: Said, here: Services, response: Response) -> SentMessage:
    response.status_code = 201 if said.answer is None else 202
    if said.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    reply = None
    if said.answer is not None and said.answer.post is not None:
        conversation = said.conversation.conversation
        reply = AcceptedReply(
            message=said.answer.message,
            post=said.answer.post,
            run=FIRST_RUN,
            channel=reply_channel(conversation, said.answer.post),
            websocket_url=here.settings.websocket_url,
        )
    return SentMessage(message=bare_message(said.message), reply=reply)


def _steered(message: str, steered: Steered, response: Response) -> SteeredReply:
    response.status_code = 202 if steered.accepted else 200
    return SteeredReply(message=message, post=steered.post, run=steered.run, status=steered.status)


def _reactions(message: Message) -> Reactions:
    return Reactions(message=message.message, reactions=message.reactions)
