"""Documents over HTTP."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from inkwire_api.adapters.progress import NDJSON, ProgressResponse, Tell
from inkwire_api.adapters.uploads import read_upload
from inkwire_api.identity import require_documents
from inkwire_api.pagination import DEFAULT_LIMIT
from inkwire_api.problems import documented
from inkwire_api.routes.posts import IDENTITY
from inkwire_api.routes.services import Caller, Cursor, Here, Limit
from inkwire_api.schemas import EXAMPLE_ID, DocumentDetail, DocumentList
from inkwire_stores.document_ports import DocumentView

router = APIRouter(tags=["documents"])

STREAMED = (("POST", "/documents"),)
"""Reads its body itself; see BodyLimit."""
MAX_NAME_QUERY_CHARS = 1_000

DocumentPath = Annotated[str, Path(examples=[EXAMPLE_ID])]
_FILE = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["file"], "properties": {"file": _FILE}},
        },
        "application/octet-stream": {"schema": _FILE},
    },
}


@router.post(
    "/documents",
    status_code=201,
    summary="Upload a document",
    response_model=DocumentView,
    responses={
        200: {
            "description": "With `Accept: application/x-ndjson`: progress, a line each, then the document or an error.",
            "content": {NDJSON: {"schema": {"type": "string"}}},
        },
        201: {"headers": {"Location": {"description": "Where the document is.", "schema": {"type": "string"}}}},
        **documented(
            "malformed_upload",
            *IDENTITY,
            "forbidden_channel",
            "upload_too_slow",
            "document_limit",
            "document_too_large",
            "unsupported_document",
            "document_unreadable",
            "document_empty",
            "document_too_long",
            "invalid_request",
            "rate_limited",
            "store_unavailable",
        ),
    },
    openapi_extra={"requestBody": _BODY},
)
async def upload_document(
    caller: Caller,
    here: Here,
    request: Request,
    name: Annotated[
        str | None, Query(max_length=MAX_NAME_QUERY_CHARS, description="The file's name, where the body is the file.")
    ] = None,
) -> Response:
    """Text, Markdown, HTML, PDF or DOCX, as a form's part named `file`, or as the body itself with `?name=`.

    Answered once it is stored. Mention it by its number, which is never given again: `@3`.
    """
    require_documents(caller, "post:write")
    documents, owner = here.documents, caller.owner
    with ExitStack() as stack:
        stack.enter_context(documents.place(owner))
        await documents.require_room(owner)
        upload = await read_upload(request, name=name, max_bytes=documents.max_bytes)
        if NDJSON not in request.headers.get("accept", ""):
            view = await documents.upload(owner, upload)
            return JSONResponse(view.model_dump(), 201, {"Location": f"/documents/{view.id}"})
        kept = stack.pop_all()

    async def work(tell: Tell) -> Mapping[str, Any]:
        with kept:
            view = await documents.upload(owner, upload, tell)
        return {"type": "document", "document": view.model_dump()}

    return ProgressResponse(work)


@router.get(
    "/documents",
    summary="List own documents",
    responses=documented(*IDENTITY, "forbidden_channel", "invalid_cursor", "invalid_request", "store_unavailable"),
)
async def list_documents(
    caller: Caller,
    here: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> DocumentList:
    """Newest first. Go on with `next_cursor` until it is null."""
    require_documents(caller, "post:read")
    page = await here.documents.page(caller.owner, limit=limit, cursor=cursor)
    return DocumentList(items=page.items, next_cursor=page.next_cursor)


@router.get(
    "/documents/{document}",
    summary="Read a document",
    responses=documented(*IDENTITY, "forbidden_channel", "not_found", "store_unavailable"),
)
async def get_document(document: DocumentPath, caller: Caller, here: Here) -> DocumentDetail:
    """With its text, in the passages that it is searched by."""
    require_documents(caller, "post:read")
    found = await here.documents.get(caller.owner, document)
    return DocumentDetail(**found.view.model_dump(), content=list(found.passages))


@router.delete(
    "/documents/{document}",
    status_code=204,
    summary="Delete a document",
    responses=documented(*IDENTITY, "forbidden_channel", "not_found", "store_unavailable"),
)
async def delete_document(document: DocumentPath, caller: Caller, here: Here) -> Response:
    """Posts that were written from it stay as they are; one that is being written says that it is missing."""
    require_documents(caller, "post:write")
    await here.documents.delete(caller.owner, document)
    return Response(status_code=204)
