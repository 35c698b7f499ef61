"""The page and its files; the same page for the addresses of posts, conversations and documents."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from inkwire_api.adapters.assets import Asset
from inkwire_api.asyncapi import asyncapi
from inkwire_api.docs_page import render
from inkwire_api.routes.posts import is_unchanged
from inkwire_api.routes.services import Here
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import is_id

router = APIRouter(include_in_schema=False)
INDEX = "index.html"
STATIC = "static/"
"""The folder of the package that is served; what lies beside it is not."""
_METHODS = ["GET", "HEAD"]


@router.api_route("/", methods=_METHODS)
async def index(here: Here, request: Request) -> Response:
    """The page."""
    return _serve(here.assets, INDEX, request)


@router.api_route("/library", methods=_METHODS)
async def library_page(here: Here, request: Request) -> Response:
    """The page, showing one's documents."""
    return _serve(here.assets, INDEX, request)


@router.api_route("/p/{item}", methods=_METHODS)
@router.api_route("/c/{item}", methods=_METHODS)
async def item_page(item: str, here: Here, request: Request) -> Response:
    """The page, showing a post or a conversation; to a browser with a mistyped address, the page that says so."""
    if is_id(item):
        return _serve(here.assets, INDEX, request)
    page = mistyped(here.assets, request)
    if page is None:
        raise InkwireError("not_found")
    return page


@router.api_route("/static/{path:path}", methods=_METHODS)
async def static(path: str, here: Here, request: Request) -> Response:
    """A file of the page."""
    return _serve(here.assets, STATIC + path, request)


@router.api_route("/favicon.ico", methods=_METHODS)
async def favicon(here: Here, request: Request) -> Response:
    """Where browsers look by themselves."""
    names = (f"{STATIC}favicon.ico", f"{STATIC}favicon.svg")
    return _serve(here.assets, next((name for name in names if name in here.assets), names[0]), request)


@router.api_route("/docs", methods=_METHODS)
async def docs(request: Request) -> HTMLResponse:
    """The OpenAPI document for people, without scripts."""
    return HTMLResponse(render(request.app.openapi()))


@router.api_route("/asyncapi.json", methods=_METHODS)
async def asyncapi_document() -> JSONResponse:
    """The AsyncAPI document, beside openapi.json."""
    return JSONResponse(asyncapi())


def mistyped(assets: Mapping[str, Asset], request: Request) -> Response | None:
    """The page, which says that there is nothing at this address; None for a program, which is told in its own way."""
    page = assets.get(INDEX)
    if page is None or request.method not in _METHODS or "text/html" not in request.headers.get("accept", ""):
        return None
    return Response(page.body, status_code=404, headers={"Content-Type": page.content_type})


def _serve(assets: Mapping[str, Asset], path: str, request: Request) -> Response:
    asset = assets.get(path)
    if asset is None:
        raise InkwireError("not_found")
    # Asked again each time and answered 304: an update shows at once, and no file is ever an old one.
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
    if is_unchanged(request, asset.etag):
        return Response(status_code=304, headers=headers)
    return Response(asset.body, headers={**headers, "Content-Type": asset.content_type})
