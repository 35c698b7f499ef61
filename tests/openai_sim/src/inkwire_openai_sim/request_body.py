"""What the bodies of all requests have in common, read and refused the way OpenAI does. Pure."""

from __future__ import annotations

import json
from typing import Any

from inkwire_openai_sim.errors import ApiError


def load_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in this body. Raises ApiError 400."""
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise ApiError(
            400, "We could not parse the JSON body of your request. (Is it valid JSON with double quotes?)"
        ) from error
    if not isinstance(body, dict):
        raise invalid(None, "The body must be a JSON object.")
    return body


def invalid(param: str | None, message: str, code: str | None = None) -> ApiError:
    """A 400 that names the parameter."""
    return ApiError(400, message, param=param, code=code)


def wrong_type(param: str, expected: str, value: object) -> ApiError:
    """A 400 for a value of another type than the parameter has."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "an integer"}
    got = names.get(type(value), "null" if value is None else "a number")
    return invalid(param, f"Invalid type for '{param}': expected {expected}, but got {got} instead.", "invalid_type")


def model_of(body: dict[str, Any]) -> str:
    """The model's name. Raises ApiError 400."""
    model = body.get("model")
    if model is None or model == "":
        raise invalid(None, "you must provide a model parameter")
    if not isinstance(model, str):
        raise wrong_type("model", "a string", model)
    return model


def whole_number(body: dict[str, Any], name: str, least: int = 1) -> int | None:
    """A count, or None where it is left out. Raises ApiError 400."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "an integer", value)
    if value < least:
        wanted = f"Expected a value >= {least}, but got {value} instead."
        raise invalid(name, f"Invalid '{name}': integer below minimum value. {wanted}", "integer_below_min_value")
    return value
