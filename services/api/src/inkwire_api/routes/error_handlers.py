"""Everything that ends a request early, as a problem document."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from inkwire_api import problems
from inkwire_api.routes import page
from inkwire_api.routes.services import Services
from inkwire_chassis.logs import get_logger
from inkwire_contracts.errors import InkwireError
from inkwire_stores.ports import StoreUnavailable


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(InkwireError, _domain)
    app.add_exception_handler(StoreUnavailable, _store)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _framework)


def answer(error: InkwireError, extra_headers: dict[str, str] | None = None) -> JSONResponse:
    """The response for an error."""
    headers = {**problems.headers(error), **(extra_headers or {})}
    return JSONResponse(
        problems.problem(error), status_code=error.spec.status, headers=headers, media_type=problems.PROBLEM_TYPE
    )


async def _domain(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InkwireError)  # noqa: S101 - registered for it
    return answer(error)


async def _store(_request: Request, error: Exception) -> JSONResponse:
    get_logger().warning("the store did not answer", error=str(error))
    return answer(InkwireError("store_unavailable"))


async def _validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    return answer(problems.from_validation(error.errors(), request.headers.get("content-type")))


async def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    services: Services | None = getattr(request.app.state, "services", None)
    if error.status_code == 404 and services and (told := page.mistyped(services.assets, request)):
        return told
    headers = dict(error.headers or {})
    if methods := _methods(request.app, request.scope["path"]) if "Allow" in headers else "":
        headers["Allow"] = methods
    return answer(problems.from_status(error.status_code), headers)


def _methods(app: FastAPI, path: str) -> str:
    """What an address takes: each method is a route of its own, and the framework names those of the first alone."""
    items = [item for template, item in app.openapi()["paths"].items() if compile_path(template)[0].match(path)]
    methods = {method.upper() for item in items for method in item}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
