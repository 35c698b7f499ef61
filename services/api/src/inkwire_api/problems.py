"""Errors as problem documents (RFC 9457): one table for everything that can end a request. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from inkwire_contracts.errors import ERROR_CODES, InkwireError, render

PROBLEM_TYPE = "application/problem+json"
MAX_ERRORS = 20
"""Faults listed in one answer; the first ones are enough to go on."""

MAX_NAME_CHARS = 100
"""Of a field's name in a fault."""

STATUS_CODES: Mapping[int, str] = {
    400: "malformed_body",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}
"""What the framework itself refuses, as one of our codes; anything else is ``internal``."""


_TOO_SHORT = frozenset({"string_too_short", "too_short"})
_SAID: Mapping[str, str] = {
    "missing": "is missing",
    "empty": "must not be empty",
    "extra_forbidden": "there is no such field",
    "string_too_long": "must have at most {max_length} characters",
    "string_type": "must be a text",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_parsing": "must be true or false",
    "less_than_equal": "must be at most {le}",
    "greater_than_equal": "must be at least {ge}",
    "literal_error": "must be {expected}",
}
"""Kind of a fault of pydantic's -> what a person is told."""


class Fault(BaseModel):
    """One thing wrong with a request: in the body (``pointer``, a JSON pointer) or a named ``parameter``."""

    pointer: str | None = None
    parameter: str | None = None
    detail: str


class Problem(BaseModel):
    """An error, for people (``title``, ``detail``) and programs (``code``). More members belong to the code."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:inkwire:problem:not_found"])
    title: str
    status: int
    detail: str
    code: str
    errors: list[Fault] | None = None


def problem(error: InkwireError) -> dict[str, Any]:
    """The problem document of an error."""
    spec = error.spec
    return {
        **error.params,
        "type": f"urn:inkwire:problem:{spec.code}",
        "title": spec.title,
        "status": spec.status,
        "detail": render(spec.code, error.params).removeprefix(f"{spec.title}. "),
        "code": spec.code,
    }


def headers(error: InkwireError) -> dict[str, str]:
    """What else an error says in headers."""
    found: dict[str, str] = {}
    if error.spec.status == 401:
        hint = "" if error.code == "unauthenticated" else ', error="invalid_token"'
        found["WWW-Authenticate"] = f'Bearer realm="inkwire"{hint}'
    if "retry_after_s" in error.params:
        found["Retry-After"] = str(error.params["retry_after_s"])
    elif error.spec.status == 503:
        found["Retry-After"] = "2"
    return found


def from_status(status: int) -> InkwireError:
    """The error for a refusal of the framework's own."""
    return InkwireError(STATUS_CODES.get(status, "internal"))


def from_validation(errors: Sequence[Mapping[str, Any]], content_type: str | None) -> InkwireError:
    """The error for a request that does not validate; the input itself is never repeated."""
    if any(error["type"] == "json_invalid" for error in errors):
        return InkwireError("malformed_body")
    in_body = [error for error in errors if error["loc"][:1] == ("body",)]
    if any(len(error["loc"]) == 1 and error["type"] != "missing" for error in in_body) and not is_json(content_type):
        return InkwireError("unsupported_media_type")
    faults = [_fault(error) for error in errors[:MAX_ERRORS]]
    return refused("invalid_request", faults)


def from_options(errors: Sequence[Mapping[str, Any]]) -> InkwireError:
    """The error for options that a recipe's inputs refuse."""
    located = [{**error, "loc": ("body", "options", *error["loc"])} for error in errors[:MAX_ERRORS]]
    return refused("invalid_options", [_fault(error) for error in located])


def refused(code: str, faults: Sequence[Fault]) -> InkwireError:
    """An error that lists its faults, the first one also in words."""
    first = faults[0]
    where = first.parameter or (first.pointer or "").removeprefix("#/").replace("/", ".")
    detail = f"{where}: {first.detail}" if where else first.detail
    return InkwireError(code, detail=detail, errors=[fault.model_dump(exclude_none=True) for fault in faults])


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type is JSON of some kind."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _fault(error: Mapping[str, Any]) -> Fault:
    place, *path = [str(part) for part in error["loc"]]
    detail = _said(error)
    if place != "body":
        return Fault(parameter=path[0] if path else place, detail=detail)
    return Fault(pointer="#" + "".join(f"/{_escape(part)}" for part in path), detail=detail)


def _said(error: Mapping[str, Any]) -> str:
    """What is wrong, said to whoever filled in the field; faults that are not listed keep pydantic's words."""
    kind = "empty" if error["type"] in _TOO_SHORT and error.get("ctx", {}).get("min_length") == 1 else error["type"]
    if kind in _SAID:
        return _SAID[kind].format_map(error.get("ctx", {}))
    return str(error["msg"]).removeprefix("Value error, ").rstrip(".")


def _escape(part: str) -> str:
    """A step of a JSON pointer; a name that is no Unicode, or endless, must not spoil the answer."""
    shown = part[:MAX_NAME_CHARS].encode(errors="replace").decode()
    return shown.replace("~", "~0").replace("/", "~1")


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI answers for error codes, an example for each; codes of one status share an entry."""
    answers: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        spec = ERROR_CODES[code]
        entry = answers.setdefault(spec.status, _empty_answer())
        entry["content"][PROBLEM_TYPE]["examples"][code] = {"summary": spec.title, "value": _example(code)}
    for entry in answers.values():
        entry["description"] = _join(e["summary"] for e in entry["content"][PROBLEM_TYPE]["examples"].values())
    return answers


def _empty_answer() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": "", "content": {PROBLEM_TYPE: {"schema": schema, "examples": {}}}}


_EXAMPLE_PARAMS: Mapping[str, dict[str, Any]] = {
    "invalid_request": {
        "detail": "title: must not be empty",
        "errors": [{"pointer": "#/title", "detail": "must not be empty"}],
    },
    "invalid_options": {
        "detail": "options.length: must be 'short', 'medium' or 'long'",
        "errors": [{"pointer": "#/options/length", "detail": "must be 'short', 'medium' or 'long'"}],
    },
    "body_too_large": {"limit_bytes": 65_536},
    "unknown_recipe": {"known": "blog"},
    "unknown_document": {"mention": "99"},
    "too_many_documents": {"limit": 20},
    "document_limit": {"limit": 200},
    "document_too_large": {"limit_bytes": 20_000_000},
    "document_too_long": {"limit": 2_000_000, "unit": "characters"},
    "document_unreadable": {"detail": "It needs a password."},
    "forbidden": {"scope": "post:write"},
    "forbidden_channel": {"channel": "post:aaaaaaaaaaaaaaaaaaaaaaaaaa"},
    "not_ready": {"status": "generating"},
    "not_retryable": {"status": "published"},
    "too_long_to_render": {"limit": 400_000},
    "not_approvable": {"status": "published"},
    "approved_otherwise": {"run": 2},
    "not_replayable": {"detail": "The post is published; there is nothing to do again. Discard the letter."},
    "too_many_posts": {"limit": 100},
    "too_many_members": {"limit": 50},
    "too_many_reactions": {"limit": 20},
    "rate_limited": {"retry_after_s": 1},
    "log_full": {"retry_after_s": 30},
    "invalid_idempotency_key": {"limit": 255},
}


def _example(code: str) -> dict[str, Any]:
    return problem(InkwireError(code, **_EXAMPLE_PARAMS.get(code, {})))


def _join(titles: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(titles))
