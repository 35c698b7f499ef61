"""Posts over HTTP."""

import re
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from inkwire_api.identity import require_list, require_read
from inkwire_api.pagination import DEFAULT_LIMIT
from inkwire_api.posts import MAX_KEY_CHARS, Accepted, Wish
from inkwire_api.problems import documented
from inkwire_api.reading import content_disposition, repr_digest
from inkwire_api.routes.services import Caller, Cursor, Here, Limit, Services
from inkwire_api.schemas import EXAMPLE_ID, AcceptedPost, CreatePost, FilterStatus, PostDetail, PostList, detail
from inkwire_chassis.auth import Principal
from inkwire_chassis.clock import rfc3339
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import is_id

router = APIRouter(tags=["posts"])

PostPath = Annotated[str, Path(examples=[EXAMPLE_ID])]
_TRACEPARENT = re.compile(r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$", re.ASCII)
IDENTITY = ("unauthenticated", "invalid_token", "token_expired", "forbidden")
KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Your own name for this request: repeated with the same body it is answered with the same post.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS},
}
REPLAYED = {
    "Idempotency-Replayed": {
        "description": "`true` if this request had been accepted before.",
        "schema": {"type": "string"},
    }
}


@router.post(
    "/posts",
    status_code=202,
    summary="Have a post written",
    responses={
        202: {
            "headers": {
                "Location": {"description": "Where the post is.", "schema": {"type": "string"}},
                **REPLAYED,
            }
        },
        **documented(
            "malformed_body",
            "invalid_idempotency_key",
            *IDENTITY,
            "forbidden_channel",
            "gone",
            "body_too_large",
            "unsupported_media_type",
            "invalid_request",
            "unknown_recipe",
            "invalid_options",
            "unknown_document",
            "too_many_documents",
            "idempotency_mismatch",
            "rate_limited",
            "too_many_posts",
            "broker_unavailable",
            "store_unavailable",
            "log_full",
        ),
    },
    openapi_extra={"parameters": [KEY_HEADER]},
)
async def create_post(
    body: CreatePost, caller: Caller, here: Here, request: Request, response: Response
) -> AcceptedPost:
    """Answered once the request is stored for good. Follow the post on `websocket_url`, channel `channel`."""
    caller.require("post:write")
    accepted = await here.posts.accept(
        caller.owner,
        Wish(body.title, body.recipe, body.options, body.priority, tuple(body.documents)),
        key=key_of(request),
        documents_allowed=not caller.channels,
        traceparent=traceparent_of(request),
    )
    answer = _accepted(accepted, caller, here)
    response.headers["Location"] = f"/posts/{accepted.post}"
    if accepted.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return answer


@router.get(
    "/posts",
    summary="List own posts",
    responses=documented(*IDENTITY, "forbidden_channel", "invalid_cursor", "invalid_request", "store_unavailable"),
)
async def list_posts(
    caller: Caller,
    here: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    status: FilterStatus | None = None,
    replies: bool = False,
) -> PostList:
    """Newest first. Go on with `next_cursor`, under the same filter, until it is null.

    Answers in conversations are posts too, and left out unless `replies` asks for them.
    """
    require_list(caller)
    page = await here.reader.page(caller.owner, limit=limit, cursor=cursor, status=status, replies=replies)
    return PostList(items=page.items, next_cursor=page.next_cursor)


@router.get(
    "/posts/{post}",
    summary="Read a post",
    responses=documented(
        *IDENTITY, "forbidden_channel", "not_found", "gone", "corrupt", "broker_unavailable", "store_unavailable"
    ),
)
async def get_post(post: PostPath, caller: Caller, here: Here) -> PostDetail:
    """The post up to this moment, also while it is being written."""
    folded = await here.reader.post(caller.owner, readable(caller, post))
    return detail(folded.snapshot, folded.epoch)


@router.get(
    "/posts/{post}/markdown",
    summary="Download a finished post",
    response_class=Response,
    responses={
        200: {"description": "The document.", "content": {"text/markdown": {"schema": {"type": "string"}}}},
        304: {"description": "Unchanged since the ETag given in If-None-Match."},
        **documented(
            *IDENTITY,
            "forbidden_channel",
            "not_found",
            "gone",
            "not_ready",
            "corrupt",
            "broker_unavailable",
            "store_unavailable",
        ),
    },
)
async def get_markdown(post: PostPath, caller: Caller, here: Here, request: Request) -> Response:
    """Exactly the bytes that `sha256` is over. Of a failed or cancelled post: what had been written."""
    found = await here.reader.markdown(caller.owner, readable(caller, post))
    headers = {
        "ETag": f'"{found.sha256}"',
        "Repr-Digest": repr_digest(found.sha256),
        "Content-Disposition": content_disposition(found.title),
        "Cache-Control": "private, no-cache",
    }
    if is_unchanged(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(found.text.encode(), media_type="text/markdown; charset=utf-8", headers=headers)


def _accepted(accepted: Accepted, caller: Principal, here: Services) -> AcceptedPost:
    now = here.clock.now()
    channel = f"post:{accepted.post}"
    lifetime_s = here.settings.token_lifetime_s
    token = here.keys.mint(
        caller.subject,
        now=now,
        lifetime_s=lifetime_s,
        jti=here.new_id(),
        scopes=("post:read",),
        channels=(channel,),
        name=caller.name,
    )
    return AcceptedPost(
        id=accepted.post,
        run=accepted.run,
        status_url=f"{here.settings.public_url}/posts/{accepted.post}",
        channel=channel,
        websocket_url=here.settings.websocket_url,
        token=token,
        token_expires_at=rfc3339(now + timedelta(seconds=lifetime_s)),
    )


def is_unchanged(request: Request, etag: str) -> bool:
    """Whether the caller has that representation already; a proxy that compresses may have made the tag a weak one."""
    return etag in [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]


def readable(caller: Principal, post: str) -> str:
    """The post's id, if it is one and the caller may read it."""
    if not is_id(post):
        raise InkwireError("not_found")
    require_read(caller, post)
    return post


def key_of(request: Request) -> str | None:
    """The Idempotency-Key as it was sent; given twice, it is none."""
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1:
        raise InkwireError("invalid_idempotency_key", limit=MAX_KEY_CHARS)
    return keys[0] if keys else None


def traceparent_of(request: Request) -> str | None:
    """The caller's trace, if it sent a valid one."""
    value = request.headers.get("traceparent", "")
    return value if _TRACEPARENT.match(value) else None
