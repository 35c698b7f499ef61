"""A file out of a request's body, with every bound kept while it is read."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from inkwire_api.documents import Upload
from inkwire_contracts.errors import InkwireError

UPLOAD_TIMEOUT_S: Final = 120.0
"""How long a client may take to send a file."""
FORM_BYTES: Final = 16 * 1024
"""What a form has around its file: boundaries, headers, names."""
MAX_FIELDS: Final = 4
PART: Final = "file"


async def read_upload(request: Request, *, name: str | None, max_bytes: int) -> Upload:
    """The file: a form's part named ``file``, or the body itself under a name.

    Args:
        request: whose body nobody has touched.
        name: what the file is called, if it is the body itself; else the part's own name comes first.
        max_bytes: most that the file may have.

    Raises:
        InkwireError: ``document_too_large``, as soon as that is known; ``malformed_upload``; ``upload_too_slow``.
    """
    content_type = request.headers.get("content-type", "")
    is_form = content_type.partition(";")[0].strip().lower() == "multipart/form-data"
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > max_bytes + FORM_BYTES * is_form:
        raise InkwireError("document_too_large", limit_bytes=max_bytes)
    try:
        async with asyncio.timeout(UPLOAD_TIMEOUT_S):
            if is_form:
                return await _from_form(request, name, max_bytes)
            return await _from_body(request, name, max_bytes)
    except TimeoutError:
        raise InkwireError("upload_too_slow") from None
    except (MultiPartException, ClientDisconnect, KeyError, ValueError):
        raise InkwireError("malformed_upload") from None


async def _from_body(request: Request, name: str | None, max_bytes: int) -> Upload:
    if not name:
        raise InkwireError("malformed_upload")
    data = bytearray()
    async for chunk in _bounded(request, max_bytes, max_bytes):
        data += chunk
    return Upload(name, request.headers.get("content-type"), bytes(data))


async def _from_form(request: Request, name: str | None, max_bytes: int) -> Upload:
    stream = _bounded(request, max_bytes + FORM_BYTES, max_bytes)
    parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=MAX_FIELDS, max_part_size=FORM_BYTES)
    form = await parser.parse()
    try:
        part = form.get(PART)
        if not isinstance(part, UploadFile):
            raise InkwireError("malformed_upload")
        if (part.size or 0) > max_bytes:
            raise InkwireError("document_too_large", limit_bytes=max_bytes)
        return Upload(part.filename or name or "", part.content_type, await part.read())
    finally:
        await form.close()


async def _bounded(request: Request, most_bytes: int, shown_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks, up to a bound.

    Raises:
        InkwireError: ``document_too_large``, which tells ``shown_bytes``.
    """
    read_bytes = 0
    async for chunk in request.stream():
        read_bytes += len(chunk)
        if read_bytes > most_bytes:
            raise InkwireError("document_too_large", limit_bytes=shown_bytes)
        yield chunk
