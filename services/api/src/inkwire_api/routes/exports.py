"""Finished posts to take away."""

import hashlib
from typing import Any

from fastapi import APIRouter, Query, Request, Response

from inkwire_api.adapters.exports import FORMS, Form
from inkwire_api.articles import ExportFormat
from inkwire_api.problems import documented
from inkwire_api.reading import content_disposition, repr_digest
from inkwire_api.routes.posts import IDENTITY, PostPath, is_unchanged, readable
from inkwire_api.routes.services import Caller, Here

router = APIRouter(tags=["posts"])


def _media_types() -> dict[str, Any]:
    return {
        form.media_type.partition(";")[0]: {
            "schema": {"type": "string", **({"format": "binary"} if name == "docx" else {})}
        }
        for name, form in FORMS.items()
    }


FILES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": _media_types()},
    304: {"description": "Unchanged since the ETag given in If-None-Match."},
}


@router.get(
    "/posts/{post}/export",
    summary="Take a finished post away",
    response_class=Response,
    responses={
        **FILES,
        **documented(
            *IDENTITY,
            "forbidden_channel",
            "not_found",
            "gone",
            "not_ready",
            "invalid_request",
            "too_long_to_render",
            "rate_limited",
            "corrupt",
            "broker_unavailable",
            "store_unavailable",
        ),
    },
)
async def export_post(
    post: PostPath,
    caller: Caller,
    here: Here,
    request: Request,
    format: ExportFormat = Query("markdown", description="What kind of file."),
) -> Response:
    """Markdown with front matter, HTML that needs nothing else, JSON with everything that is known, or a Word file.

    The front matter holds title, description, tags, date, status, words, reading time, and the SHA-256 of what follows
    it and its empty line.

    Of a failed or cancelled post: what had been written, and its status says so. What a model wrote is never markup
    of its own: raw HTML stays text, links lead to http, https and mailto only, images become links.
    """
    found = await here.reader.article(caller.owner, readable(caller, post))
    form = FORMS[format]
    raw = await here.exports.file(found, form)
    return file_response(request, raw, form, found.title)


def file_response(request: Request, raw: bytes, form: Form[Any], title: str) -> Response:
    """A made file, named after its title; 304 for whoever has it already."""
    sha256 = hashlib.sha256(raw).hexdigest()
    headers = {
        "ETag": f'"{sha256}"',
        "Repr-Digest": repr_digest(sha256),
        "Content-Disposition": content_disposition(title, form.extension),
        "Cache-Control": "private, no-cache",
        **(form.headers or {}),
    }
    if is_unchanged(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(raw, media_type=form.media_type, headers=headers)
