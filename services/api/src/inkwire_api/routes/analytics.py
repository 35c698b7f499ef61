"""What posts have cost, over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query

from inkwire_api.identity import require_list
from inkwire_api.period import HOW, MAX_TIME_CHARS, parse_period
from inkwire_api.problems import documented
from inkwire_api.routes.posts import IDENTITY
from inkwire_api.routes.services import Caller, Here
from inkwire_api.schemas import Analytics
from inkwire_chassis.auth import Principal
from inkwire_contracts.ids import OWNER_PATTERN

router = APIRouter(tags=["operations"])

EVERYBODY = "all"
SCOPE = "ops"


@router.get(
    "/analytics",
    summary="What posts have cost",
    responses=documented(*IDENTITY, "forbidden_channel", "invalid_request", "store_unavailable"),
)
async def get_analytics(
    caller: Caller,
    here: Here,
    since: Annotated[
        str | None, Query(alias="from", max_length=MAX_TIME_CHARS, description=f"Created then or later; {HOW}.")
    ] = None,
    until: Annotated[
        str | None, Query(alias="to", max_length=MAX_TIME_CHARS, description="Created before; as `from`.")
    ] = None,
    owner: Annotated[
        str | None,
        Query(
            pattern=OWNER_PATTERN, description="`all`, or somebody's name; needs the scope `ops`. Own posts without."
        ),
    ] = None,
) -> Analytics:
    """Posts by status, tokens paid and wasted, cost, words, by model, and how long posts take.

    A post counts with all its runs, in the period in which it was created, also after it was deleted. `cost_usd` leaves
    out `posts_without_price`, and is null where no price is known. Percentiles are by nearest rank over the newest
    `sampled_posts` published posts, at most 1,000. Figures come from the store and may lag some seconds behind.
    """
    whose = _whose(caller, owner)
    period = parse_period(since, until)
    found = await here.reader.usage(whose, since=period.since, until=period.until)
    return Analytics(
        owner=EVERYBODY if whose is None else whose, since=period.since, until=period.until, **found.model_dump()
    )


def _whose(caller: Principal, owner: str | None) -> str | None:
    """The owner asked for; None for all. Own posts need what a list of them needs, others an operator."""
    if owner is None or (owner == caller.owner and owner != EVERYBODY):
        require_list(caller)
        return caller.owner
    caller.require(SCOPE)
    return None if owner == EVERYBODY else owner
