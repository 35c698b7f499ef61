"""Dead letters over HTTP, for operators."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from inkwire_api.pagination import DEFAULT_LIMIT
from inkwire_api.problems import documented
from inkwire_api.routes.posts import IDENTITY, traceparent_of
from inkwire_api.routes.services import Caller, Cursor, Here, Limit
from inkwire_api.schemas import DeadLetterList, ReplayedLetter
from inkwire_contracts.dead_letters import DeadLetter, LetterKind

router = APIRouter(tags=["operations"])

SCOPE = "ops"
MAX_REASON_CHARS = 40

LetterPath = Annotated[str, Path(examples=["17"])]


@router.get(
    "/dead-letters",
    summary="List dead letters",
    responses=documented(*IDENTITY, "invalid_cursor", "invalid_request", "broker_unavailable"),
)
async def list_dead_letters(
    caller: Caller,
    here: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    kind: LetterKind | None = None,
    reason: Annotated[str | None, Query(max_length=MAX_REASON_CHARS, pattern="^[a-z_]+$")] = None,
) -> DeadLetterList:
    """Jobs and events that could not be worked on, of all owners, newest first; they are kept for 14 days.

    Go on with `next_cursor`, under the same filters, until it is null.
    """
    caller.require(SCOPE)
    page = await here.dead_letters.page(limit=limit, cursor=cursor, kind=kind, reason=reason)
    return DeadLetterList(items=page.items, next_cursor=page.next_cursor)


@router.get(
    "/dead-letters/{letter}",
    summary="Look at a dead letter",
    responses=documented(*IDENTITY, "not_found", "broker_unavailable"),
)
async def get_dead_letter(letter: LetterPath, caller: Caller, here: Here) -> DeadLetter:
    """Why it lies there and what to do with it. Of what its owner wrote it shows the title, nothing else."""
    caller.require(SCOPE)
    found = await here.dead_letters.get(letter)
    return found


@router.post(
    "/dead-letters/{letter}/replay",
    status_code=202,
    summary="Have a dead letter's job worked on again",
    responses={
        202: {"headers": {"Location": {"description": "Where the post is.", "schema": {"type": "string"}}}},
        **documented(
            *IDENTITY,
            "not_found",
            "gone",
            "not_replayable",
            "not_retryable",
            "corrupt",
            "broker_unavailable",
            "store_unavailable",
            "log_full",
        ),
    },
)
async def replay_dead_letter(
    letter: LetterPath, caller: Caller, here: Here, request: Request, response: Response
) -> ReplayedLetter:
    """A run that has ended is followed by the next one, which keeps finished sections; one that has not goes on.

    The letter is taken away once the job is stored for good, so a second replay is `not_found`; where the first was
    cut before that, it ends in the same run. The owner's limits do not count here.
    """
    caller.require(SCOPE)
    replayed = await here.dead_letters.replay(letter, traceparent=traceparent_of(request))
    response.headers["Location"] = f"/posts/{replayed.post}"
    return ReplayedLetter(post=replayed.post, run=replayed.run, status=replayed.status)


@router.delete(
    "/dead-letters/{letter}",
    status_code=204,
    summary="Discard a dead letter",
    responses=documented(*IDENTITY, "not_found", "broker_unavailable"),
)
async def discard_dead_letter(letter: LetterPath, caller: Caller, here: Here) -> Response:
    """Takes the letter away for good. The post it belongs to stays as it is."""
    caller.require(SCOPE)
    await here.dead_letters.discard(letter)
    return Response(status_code=204)
