"""Tokens over HTTP."""

from datetime import timedelta

from fastapi import APIRouter, Request

from inkwire_api.identity import LOCAL_SUBJECT, Grant, bearer_token, check_local_page, narrow
from inkwire_api.problems import documented
from inkwire_api.routes.services import Here, Services
from inkwire_api.schemas import Token, TokenRequest
from inkwire_chassis.auth import DEFAULT_SCOPES, Principal
from inkwire_chassis.clock import rfc3339
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import owner_token

router = APIRouter(tags=["tokens"])


@router.post(
    "/tokens",
    summary="Get a token",
    responses=documented(
        "malformed_body",
        "unauthenticated",
        "invalid_token",
        "token_expired",
        "forbidden",
        "forbidden_origin",
        "forbidden_channel",
        "body_too_large",
        "unsupported_media_type",
        "invalid_request",
    ),
    openapi_extra={"security": [{"HTTPBearer": []}, {}]},
)
async def create_token(here: Here, request: Request, body: TokenRequest | None = None) -> Token:
    """With a token: one that allows the same or less and ends no later, to hand on.

    Without one, on a developer's machine only: a token of the owner `local`.
    """
    wish = body or TokenRequest()
    headers = request.headers.getlist("authorization")
    caller = here.keys.verify(bearer_token(headers), now=here.clock.now()) if headers else _local(here, request)
    grant = narrow(caller, scopes=wish.scopes, channels=wish.channels, lifetime_s=wish.lifetime_s, now=here.clock.now())
    return _mint(here, grant)


def _local(here: Services, request: Request) -> Principal:
    """Whom anyone on this machine may be."""
    settings = here.settings
    if not settings.dev_sign_in:
        raise InkwireError("unauthenticated")
    check_local_page(
        host=request.headers.get("host", ""),
        origin=request.headers.get("origin"),
        fetch_site=request.headers.get("sec-fetch-site"),
        public_url=settings.public_url,
        allowed_origins=settings.origins,
    )
    return Principal(
        owner=owner_token(settings.jwt_issuer, LOCAL_SUBJECT),
        subject=LOCAL_SUBJECT,
        scopes=DEFAULT_SCOPES,
        channels=frozenset(),
        expires_at=here.clock.now() + timedelta(seconds=settings.token_lifetime_s + 1),
    )


def _mint(here: Services, grant: Grant) -> Token:
    now = here.clock.now()
    token = here.keys.mint(
        grant.subject,
        now=now,
        lifetime_s=grant.lifetime_s,
        jti=here.new_id(),
        scopes=grant.scopes,
        channels=grant.channels,
        name=grant.name,
        avatar=grant.avatar,
    )
    return Token(
        token=token,
        expires_at=rfc3339(now + timedelta(seconds=grant.lifetime_s)),
        owner=owner_token(here.settings.jwt_issuer, grant.subject),
        scopes=sorted(grant.scopes),
        channels=sorted(grant.channels),
    )
