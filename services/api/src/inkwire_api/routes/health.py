"""Liveness and readiness."""

from fastapi import APIRouter, Response

from inkwire_api.routes.services import Here
from inkwire_api.schemas import Liveness, Readiness
from inkwire_chassis.http import health_answer

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Whether the process turns", response_model=Liveness)
async def livez(here: Here) -> Response:
    """Always 200 while the process can answer."""
    return await _answer(here, "/livez")


@router.get(
    "/readyz",
    summary="Whether the api can work",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "A dependency does not answer; the body names it."}},
)
async def readyz(here: Here) -> Response:
    """200 if nats, the streams and the store answer in time."""
    return await _answer(here, "/readyz")


async def _answer(here: Here, path: str) -> Response:
    status, body = await health_answer(here.health, path)
    return Response(body, status_code=status, media_type="application/json")
