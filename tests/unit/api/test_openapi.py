"""The OpenAPI document: the committed one is the code's, and it is complete."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inkwire_api.docs_page import render
from inkwire_api.openapi import document
from inkwire_api.problems import PROBLEM_TYPE, Problem
from inkwire_contracts.errors import ERROR_CODES

COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document())
    return found


def operations(openapi: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in openapi["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def test_the_committed_document_is_the_codes() -> None:
    """After a change run: python -m inkwire_api.openapi > docs/openapi.json."""
    assert COMMITTED.read_text(encoding="utf-8") == document(), "run: python -m inkwire_api.openapi > docs/openapi.json"


def test_every_operation_of_the_design_is_there(openapi: dict[str, Any]) -> None:
    """And none that is not."""
    assert {name for name, _ in operations(openapi)} == {
        "POST /posts",
        "GET /posts",
        "GET /posts/{post}",
        "GET /posts/{post}/export",
        "GET /posts/{post}/markdown",
        "POST /posts/{post}/cancel",
        "POST /posts/{post}/approve",
        "POST /posts/{post}/retry",
        "DELETE /posts/{post}",
        "POST /conversations",
        "GET /conversations",
        "GET /conversations/{conversation}",
        "GET /conversations/{conversation}/export",
        "PATCH /conversations/{conversation}",
        "DELETE /conversations/{conversation}",
        "PUT /conversations/{conversation}/members/{user}",
        "DELETE /conversations/{conversation}/members/{user}",
        "GET /conversations/{conversation}/messages",
        "POST /conversations/{conversation}/messages",
        "GET /conversations/{conversation}/messages/{message}",
        "POST /conversations/{conversation}/messages/{message}/regenerate",
        "POST /conversations/{conversation}/messages/{message}/cancel",
        "POST /conversations/{conversation}/messages/{message}/retry",
        "PUT /conversations/{conversation}/messages/{message}/reactions/{emoji}",
        "DELETE /conversations/{conversation}/messages/{message}/reactions/{emoji}",
        "POST /documents",
        "GET /documents",
        "GET /documents/{document}",
        "DELETE /documents/{document}",
        "GET /analytics",
        "GET /dead-letters",
        "GET /dead-letters/{letter}",
        "POST /dead-letters/{letter}/replay",
        "DELETE /dead-letters/{letter}",
        "POST /tokens",
        "GET /recipes",
        "GET /config",
        "GET /livez",
        "GET /readyz",
    }


def test_references_lead_somewhere(openapi: dict[str, Any]) -> None:
    """Each $ref names a schema of the document."""

    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for child in node.values():
                yield from references(child)
        elif isinstance(node, list):
            for child in node:
                yield from references(child)

    found = set(references(openapi))
    assert "#/components/schemas/Problem" in found
    assert found <= {f"#/components/schemas/{name}" for name in openapi["components"]["schemas"]}


def test_errors_are_problems_with_right_examples(openapi: dict[str, Any]) -> None:
    """Every 4xx and 5xx is a problem document, its examples of that status; none is FastAPI's own."""
    for name, operation in operations(openapi):
        for status, answer in operation["responses"].items():
            if int(status) < 400 or name == "GET /readyz":
                continue
            examples = answer["content"][PROBLEM_TYPE]["examples"]
            assert examples and list(answer["content"]) == [PROBLEM_TYPE], (name, status)
            for code, example in examples.items():
                assert Problem.model_validate(example["value"]).status == int(status) == ERROR_CODES[code].status


def test_posts_and_reads_ask_for_a_token(openapi: dict[str, Any]) -> None:
    """The security scheme stands at every operation on posts and their totals, and as a choice at POST /tokens."""
    for name, operation in operations(openapi):
        expected = (
            [{"HTTPBearer": []}]
            if any(path in name for path in (" /posts", " /conversations", " /documents", " /dead", " /analytics"))
            else [{"HTTPBearer": []}, {}]
            if "token" in name
            else None
        )
        assert operation.get("security") == expected, name


def test_the_page_for_people_shows_every_operation(openapi: dict[str, Any]) -> None:
    """Without a script, and with everything escaped."""
    html = render(openapi)
    for name, _ in operations(openapi):
        assert f"<code>{name}</code>" in html
    assert "<script" not in html
    assert "<b>" not in render({**openapi, "info": {"title": "<b>", "version": "1"}, "paths": {}})
