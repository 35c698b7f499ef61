"""The OpenAPI document as a plain HTML page: no script, nothing from elsewhere. Pure."""

from collections.abc import Iterator
from html import escape
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")


def render(document: dict[str, Any]) -> str:
    """A page with every operation, its parameters and its answers."""
    info = document["info"]
    body = "".join(_operation(*found) for found in _operations(document))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info.get('description', ''))}</p>"
        '<p>For programs: <a href="/openapi.json">openapi.json</a>, and for events and the WebSocket '
        '<a href="/asyncapi.json">asyncapi.json</a>.</p>'
        f"{body}</html>"
    )


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield method, path, item[method]


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    answers = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(answer.get('description', ''))}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p><b>{escape(operation.get('summary', ''))}.</b> "
        f"{escape(operation.get('description', ''))}</p>{_parameters(operation)}{_body(operation)}"
        f"<table><tr><th>Status</th><th>Meaning</th></tr>{answers}</table>"
    )


def _parameters(operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<li><code>{escape(p['name'])}</code> ({escape(p['in'])}) {escape(p.get('description', ''))}</li>"
        for p in operation.get("parameters", ())
    )
    return f"<p>Parameters</p><ul>{rows}</ul>" if rows else ""


def _body(operation: dict[str, Any]) -> str:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    references = [schema, *schema.get("anyOf", ())]
    names = [r["$ref"].rpartition("/")[2] for r in references if "$ref" in r]
    return f"<p>Body: <code>{escape(names[0])}</code> as JSON.</p>" if names else ""
