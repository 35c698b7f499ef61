"""Writes .env.example from the settings classes, so that it names every variable."""

import ast
import importlib
import importlib.util
import inspect
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from inkwire_chassis.settings import ModelSettings, ServiceSettings, TokenSettings, variable_name
from inkwire_stores.settings import StoreSettings

PATH = Path(__file__).resolve().parents[2] / ".env.example"
COMMAND = "./run sync && .venv/bin/python -m tests.contract.env_example"
SERVICES = ("api", "generator", "gateway", "persister")
WIDTH = 110
HEAD = """\
# Every setting of Inkwire with its default; written by `python -m tests.contract.env_example`, so change the classes.
# `./run up` needs none of them: it makes what is missing for itself. The unit ends the name: _s, _ms, _bytes.
# A secret may also lie in a file: set NAME_FILE to its path instead of NAME.
"""


def _docstrings(cls: type[BaseSettings]) -> dict[str, str]:
    """Field -> the string below it in the class, in one line."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
            continue
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            found[field.target.id] = " ".join(str(after.value.value).replace("``", "`").split())
    return found


def _shown(default: Any) -> str:
    """A default as one writes it in an environment."""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, dict | list | tuple):
        return json.dumps(default)
    return str(default)


def settings_classes() -> Iterator[tuple[str, type[BaseSettings]]]:
    """Each settings class with the heading it gets; the shared one first."""
    for shared in (ServiceSettings, StoreSettings, TokenSettings):
        yield "all services", shared
    yield "the model, for api and generators", ModelSettings
    for service in SERVICES:
        name = f"inkwire_{service}.settings"
        if importlib.util.find_spec(name) is None:
            continue
        for value in vars(importlib.import_module(name)).values():
            if inspect.isclass(value) and issubclass(value, BaseSettings) and value.__module__ == name:
                yield service, value


def render() -> str:
    """The text of .env.example."""
    seen: set[str] = set()
    headings: set[str] = set()
    parts = [HEAD]
    for heading, cls in settings_classes():
        if heading not in headings:
            headings.add(heading)
            parts.append(f"\n# --- {heading} {'-' * (WIDTH - 7 - len(heading))}\n")
        meanings = _docstrings(cls)
        for field, info in cls.model_fields.items():
            name = variable_name(cls, field, info)
            if name in seen:
                continue
            seen.add(name)
            meaning = meanings.get(field, "")
            if info.is_required():
                meaning = f"Required. {meaning}".strip()
            default = "" if info.is_required() else _shown(info.get_default(call_default_factory=True))
            parts += [f"# {line}\n" for line in textwrap.wrap(meaning, WIDTH - 2)]
            parts.append(f"#{name}={default}\n")
    return "".join(parts)


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
