"""Problem documents."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inkwire_api.problems import (
    MAX_ERRORS,
    PROBLEM_TYPE,
    Problem,
    documented,
    from_options,
    from_status,
    from_validation,
    headers,
    is_json,
    problem,
)
from inkwire_contracts.errors import ERROR_CODES, InkwireError


def invalid(*loc: str | int, kind: str = "missing", msg: str = "Field required") -> dict[str, Any]:
    return {"type": kind, "loc": loc, "msg": msg, "input": "SECRET INPUT"}


@pytest.mark.parametrize("code", sorted(ERROR_CODES))
def test_every_code_is_a_problem(code: str) -> None:
    """The document has all members of RFC 9457 and a stable code."""
    document = Problem.model_validate(problem(InkwireError(code, detail="why", scope="x")))
    assert document.type == f"urn:inkwire:problem:{code}"
    assert document.status == ERROR_CODES[code].status
    assert document.title and document.detail and not document.detail.startswith(f"{document.title}.")


def test_parameters_are_members() -> None:
    """Programs read what people read."""
    document = problem(InkwireError("rate_limited", retry_after_s=7))
    assert (document["retry_after_s"], document["detail"]) == (7, "Try again in 7 s.")


def test_parameters_replace_no_member() -> None:
    """A parameter cannot pass itself off as the status or the code."""
    document = problem(InkwireError("not_ready", status="generating", type="x", title="y"))
    assert (document["status"], document["title"]) == (409, ERROR_CODES["not_ready"].title)
    assert "generating" in document["detail"]


def test_headers_say_how_to_go_on() -> None:
    """401 names the scheme, 429 and 503 the seconds."""
    assert headers(InkwireError("unauthenticated"))["WWW-Authenticate"] == 'Bearer realm="inkwire"'
    assert 'error="invalid_token"' in headers(InkwireError("token_expired"))["WWW-Authenticate"]
    assert headers(InkwireError("rate_limited", retry_after_s=3))["Retry-After"] == "3"
    assert headers(InkwireError("store_unavailable"))["Retry-After"] == "2"


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "malformed_body"), (404, "not_found"), (405, "method_not_allowed"), (418, "internal"), (500, "internal")],
)
def test_the_frameworks_refusals_have_codes(status: int, code: str) -> None:
    """One table for what FastAPI and Starlette raise by themselves."""
    assert from_status(status).code == code


def test_faults_are_pointed_at_and_never_repeated() -> None:
    """Body faults have a JSON pointer, others the parameter's name; what was sent stays out."""
    error = from_validation(
        [
            invalid("body", "a/b", 0, "c~d"),
            invalid("query", "limit", kind="value_error", msg="Value error, must be small."),
        ],
        "application/json",
    )
    assert error.params["errors"] == [
        {"pointer": "#/a~1b/0/c~0d", "detail": "is missing"},
        {"parameter": "limit", "detail": "must be small"},
    ]
    assert "SECRET" not in str(problem(error))


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str = Field("x", min_length=1, max_length=5)
    words: int = Field(1, ge=0, le=2000)
    short: bool = False
    length: Literal["short", "long"] = "short"
    points: list[str] = Field(default=["x"], min_length=1)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"title": ""}, "must not be empty"),
        ({"title": "x" * 6}, "must have at most 5 characters"),
        ({"title": 5}, "must be a text"),
        ({"words": 9999}, "must be at most 2000"),
        ({"words": -1}, "must be at least 0"),
        ({"words": "many"}, "must be a whole number"),
        ({"words": 1.5}, "must be a whole number"),
        ({"short": "perhaps"}, "must be true or false"),
        ({"length": "huge"}, "must be 'short' or 'long'"),
        ({"points": []}, "must not be empty"),
        ({"colour": "red"}, "there is no such field"),
    ],
)
def test_faults_are_told_to_people(sent: dict[str, Any], said: str) -> None:
    """What whoever filled in a form is told names neither strings nor inputs, but what to write."""
    with pytest.raises(ValidationError) as refusal:
        _Asked.model_validate(sent)
    error = from_options(refusal.value.errors(include_url=False, include_input=False))
    assert [fault["detail"] for fault in error.params["errors"]] == [said]


def test_broken_json_is_malformed() -> None:
    """Whatever else is wrong."""
    assert from_validation([invalid("body", 3, kind="json_invalid")], "application/json").code == "malformed_body"


def test_a_body_of_another_type_is_unsupported() -> None:
    """A form or plain text is told so, instead of what its bytes lack; a missing body is simply missing."""
    fault = invalid("body", kind="model_attributes_type")
    assert from_validation([fault], "text/plain").code == "unsupported_media_type"
    assert from_validation([fault], None).code == "unsupported_media_type"
    assert from_validation([fault], "application/json; charset=utf-8").code == "invalid_request"
    assert from_validation([invalid("body")], None).code == "invalid_request"


def test_the_list_of_faults_is_bounded() -> None:
    """The first ones are enough."""
    assert len(from_validation([invalid("body", str(n)) for n in range(99)], None).params["errors"]) == MAX_ERRORS


def test_faults_of_options_point_into_the_body() -> None:
    """A recipe knows its options only; the client sees its own body."""
    error = from_options([invalid("tone", kind="value_error", msg="Input should be 'warm'")])
    assert (error.code, error.params["errors"][0]["pointer"]) == ("invalid_options", "#/options/tone")
    assert error.params["detail"] == "options.tone: Input should be 'warm'"


@pytest.mark.parametrize(
    ("content_type", "is_one"),
    [
        ("application/json", True),
        ("Application/JSON ; charset=utf-8", True),
        ("application/merge-patch+json", True),
        ("text/json", False),
        ("application/jsonp", False),
        ("", False),
        (None, False),
    ],
)
def test_kinds_of_json(content_type: str | None, is_one: bool) -> None:
    """Suffixes count, look-alikes do not."""
    assert is_json(content_type) is is_one


def test_documented_answers_have_examples_that_are_right() -> None:
    """Codes of one status share an entry; each example is what the api would really say."""
    answers = documented("invalid_request", "unknown_recipe", "not_found")
    assert set(answers) == {422, 404}
    examples = answers[422]["content"][PROBLEM_TYPE]["examples"]
    assert set(examples) == {"invalid_request", "unknown_recipe"}
    for code, example in examples.items():
        document = Problem.model_validate(example["value"])
        assert (document.code, document.status) == (code, 422)
        assert "?" not in document.detail
