"""What the routes call, made once by the composition and carried in the application's state, and what several take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Query, Request
from fastapi.security import HTTPBearer

from inkwire_api.adapters.assets import Asset
from inkwire_api.adapters.exports import Exports
from inkwire_api.answers import Answers
from inkwire_api.conversing import Conversations
from inkwire_api.dead_letters import DeadLetters
from inkwire_api.documents import Documents
from inkwire_api.identity import bearer_token
from inkwire_api.messaging import Messages
from inkwire_api.pagination import MAX_CURSOR_CHARS, MAX_LIMIT
from inkwire_api.posts import Posts
from inkwire_api.reading import Reader
from inkwire_api.schemas import PublicConfig
from inkwire_api.settings import Settings
from inkwire_api.steering import Steering
from inkwire_chassis.auth import KeyRing, Principal
from inkwire_chassis.clock import Clock
from inkwire_chassis.health import Health
from inkwire_recipes.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Services:
    """Typed state of the application."""

    settings: Settings
    posts: Posts
    reader: Reader
    exports: Exports
    documents: Documents
    steering: Steering
    dead_letters: DeadLetters
    conversations: Conversations
    messages: Messages
    answers: Answers
    keys: KeyRing
    recipes: Mapping[str, Recipe]
    assets: Mapping[str, Asset]
    config: PublicConfig
    health: Health
    clock: Clock
    new_id: Callable[[], str]


async def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


Here = Annotated[Services, Depends(_services)]

# For the OpenAPI document alone; the check is ours, so that its errors are.
_scheme = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A token of `POST /tokens`.")


async def _principal(request: Request, here: Here, _documented: Annotated[Any, Depends(_scheme)]) -> Principal:
    token = bearer_token(request.headers.getlist("authorization"))
    return here.keys.verify(token, now=here.clock.now())


Caller = Annotated[Principal, Depends(_principal)]

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
"""Lines of one page of a list."""
Cursor = Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS)]
"""Where a list goes on."""
