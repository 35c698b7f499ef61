"""Steering posts over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from inkwire_api.approving import approval
from inkwire_api.identity import require_steer
from inkwire_api.problems import documented
from inkwire_api.routes.posts import IDENTITY, PostPath, traceparent_of
from inkwire_api.routes.services import Caller, Here
from inkwire_api.schemas import ApprovePost, SteeredPost
from inkwire_api.steering import Steered
from inkwire_chassis.auth import Principal
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import is_id

router = APIRouter(tags=["posts"])

MAX_RUN = 1_000_000

_COMMON = (*IDENTITY, "forbidden_channel", "not_found", "gone", "corrupt", "broker_unavailable", "store_unavailable")


@router.post(
    "/posts/{post}/cancel",
    status_code=202,
    summary="Stop writing a post",
    responses={
        200: {"model": SteeredPost, "description": "The run had ended before; nothing was changed."},
        202: {"description": "The wish is stored: the run stops, whatever dies meanwhile."},
        **documented(*_COMMON, "invalid_request"),
    },
)
async def cancel_post(
    post: PostPath,
    caller: Caller,
    here: Here,
    response: Response,
    run: Annotated[int | None, Query(ge=1, le=MAX_RUN, description="The run that is meant.")] = None,
) -> SteeredPost:
    """Stops the latest run and what it costs; what was written is kept. May be repeated.

    With `run` only that run is stopped: if a later one has begun meanwhile, nothing is changed (200), and the answer
    tells of the later one. A run that there has not been yet is `not_found`.

    `status` is the post's at this moment: `cancelled` where nobody had begun yet, else as it was; the end follows as an
    event, in most cases within a tenth of a second.
    """
    steered = await here.steering.cancel(
        caller.owner, _steerable(caller, post, "post:cancel"), by=caller.subject, run=run
    )
    return _answer(steered, response)


@router.post(
    "/posts/{post}/retry",
    status_code=202,
    summary="Try a failed or cancelled post again",
    responses={
        202: {"description": "The next run is in the log and will end."},
        **documented(*_COMMON, "invalid_request", "not_retryable", "rate_limited", "too_many_posts", "log_full"),
    },
)
async def retry_post(
    post: PostPath,
    caller: Caller,
    here: Here,
    request: Request,
    response: Response,
    run: Annotated[int | None, Query(ge=1, le=MAX_RUN, description="The run that ended. Repeat safely.")] = None,
) -> SteeredPost:
    """A new run of the same post: finished sections stay and are not paid for again.

    With `run`, the number of the run that ended, a request that is sent twice begins one run. Without it, a post that
    is being written in a later run is answered as it is.
    """
    steered = await here.steering.retry(
        caller.owner, _steerable(caller, post, "post:write"), after_run=run, traceparent=traceparent_of(request)
    )
    return _answer(steered, response)


@router.post(
    "/posts/{post}/approve",
    status_code=202,
    summary="Go on with a post that waits for its author",
    responses={
        202: {"description": "The next run is in the log, with the approved outline, and will end."},
        **documented(
            *_COMMON,
            "malformed_body",
            "body_too_large",
            "unsupported_media_type",
            "invalid_request",
            "unknown_recipe",
            "invalid_options",
            "not_approvable",
            "approved_otherwise",
            "rate_limited",
            "too_many_posts",
            "log_full",
        ),
    },
)
async def approve_post(
    post: PostPath,
    caller: Caller,
    here: Here,
    request: Request,
    response: Response,
    body: ApprovePost | None = None,
    run: Annotated[int | None, Query(ge=1, le=MAX_RUN, description="The run that paused. Repeat safely.")] = None,
) -> SteeredPost:
    """A post made with the option `review` is `paused` after its outline; the next run writes the article.

    Without a body, or without `outline`, the outline stands as it was proposed. With `run`, the number of the run that
    paused, a request that is sent twice begins one run; where another outline was approved meanwhile, it is told so
    (`approved_otherwise`). What is approved stays for every later run.
    """
    outline = None if body is None or body.outline is None else body.outline.model_dump(mode="json")
    steered = await here.steering.approve(
        caller.owner,
        _steerable(caller, post, "post:write"),
        approval(here.recipes, outline),
        after_run=run,
        traceparent=traceparent_of(request),
    )
    return _answer(steered, response)


@router.delete(
    "/posts/{post}",
    status_code=204,
    summary="Delete a post",
    responses=documented(*(code for code in _COMMON if code != "gone"), "still_stopping"),
)
async def delete_post(post: PostPath, caller: Caller, here: Here) -> Response:
    """One that is being written is stopped first. Nothing of it can be read any more, and its id is never used again.

    May be repeated; after 503 `still_stopping` it goes on where it was.
    """
    await here.steering.delete(caller.owner, _steerable(caller, post, "post:write"), by=caller.subject)
    return Response(status_code=204)


def _steerable(caller: Principal, post: str, scope: str) -> str:
    if not is_id(post):
        raise InkwireError("not_found")
    require_steer(caller, post, scope)
    return post


def _answer(steered: Steered, response: Response) -> SteeredPost:
    response.status_code = 202 if steered.accepted else 200
    return SteeredPost(id=steered.post, run=steered.run, status=steered.status)
