"""Parse and check the body of POST /v1/chat/completions the way OpenAI does. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from inkwire_openai_sim.errors import ApiError
from inkwire_openai_sim.prompt import prompt_text
from inkwire_openai_sim.request_body import invalid, load_object, model_of, whole_number, wrong_type

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
UNSUPPORTED: Final = ("tools", "functions", "audio", "modalities", "logprobs")
MAX_MESSAGES: Final = 2_048
MAX_STOPS: Final = 4

_SCHEMA_NAME: Final = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
Format = Literal["text", "json_object", "json_schema"]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A valid request. `max_tokens` None: as long as the text is; `schema` never with format text."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool = False
    include_usage: bool = False
    include_obfuscation: bool = True
    max_tokens: int | None = None
    format: Format = "text"
    schema: dict[str, Any] | None = None
    stop: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """All messages as one text."""
        return prompt_text(self.messages)


def parse(raw: bytes) -> ChatRequest:
    """The request in this body. Raises ApiError 400 that names the parameter."""
    body = load_object(raw)
    for name in UNSUPPORTED:
        if body.get(name):
            raise invalid(name, f"This simulator does not support '{name}'; leave it out.", "unsupported_parameter")
    if body.get("n") not in (None, 1):
        raise invalid("n", "This simulator makes one choice for each request; leave out 'n'.", "unsupported_parameter")
    stream = _bool(body, "stream")
    options = _stream_options(body, stream)
    kind, schema = _response_format(body)
    request = ChatRequest(
        model=model_of(body),
        messages=_messages(body),
        stream=stream,
        include_usage=_bool(options, "include_usage", "stream_options.include_usage"),
        include_obfuscation=_bool(options, "include_obfuscation", "stream_options.include_obfuscation", True),
        max_tokens=_max_tokens(body),
        format=kind,
        schema=schema,
        stop=_stop(body),
    )
    _check_number(body, "temperature", 0, 2)
    _check_number(body, "top_p", 0, 1)
    if kind == "json_object" and "json" not in request.prompt.lower():
        raise invalid(
            "messages",
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        )
    return request


def _bool(body: dict[str, Any], name: str, param: str | None = None, default: bool = False) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise wrong_type(param or name, "a boolean", value)
    return value


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if messages is None:
        raise invalid("messages", "Missing required parameter: 'messages'.", "missing_required_parameter")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise invalid(
            "messages",
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "empty_array",
        )
    if len(messages) > MAX_MESSAGES:
        raise invalid("messages", f"Invalid 'messages': array too long. At most {MAX_MESSAGES} are allowed.")
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]")
    return messages


def _check_message(message: object, param: str) -> None:
    if not isinstance(message, dict):
        raise wrong_type(param, "an object", message)
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        supported = ", ".join(f"'{name}'" for name in ROLES)
        raise invalid(f"{param}.role", f"Invalid value: {role!r}. Supported values are: {supported}.", "invalid_value")
    if content is None and role != "assistant":
        raise invalid(f"{param}.content", f"Missing required parameter: '{param}.content'.")
    if content is not None and not isinstance(content, (str, list)):
        raise wrong_type(f"{param}.content", "one of a string or array of objects", content)
    for number, part in enumerate(content if isinstance(content, list) else ()):
        if not isinstance(part, dict) or "type" not in part:
            raise wrong_type(f"{param}.content[{number}]", "an object with a type", part)


def _stream_options(body: dict[str, Any], stream: bool) -> dict[str, Any]:
    options = body.get("stream_options")
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise wrong_type("stream_options", "an object", options)
    if not stream:
        raise invalid("stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    return options


def _max_tokens(body: dict[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        if (value := whole_number(body, name)) is not None:
            return value
    return None


def _check_number(body: dict[str, Any], name: str, low: float, high: float) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, "a number", value)
    if not low <= value <= high:
        raise invalid(name, f"Invalid '{name}': expected a value between {low} and {high}, but got {value} instead.")


def _stop(body: dict[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or not all(isinstance(item, str) and item for item in stops):
        raise wrong_type("stop", "a string or an array of strings", stop)
    if len(stops) > MAX_STOPS:
        raise invalid("stop", f"Invalid 'stop': array too long. Expected at most {MAX_STOPS} entries.")
    return tuple(stops)


def _response_format(body: dict[str, Any]) -> tuple[Format, dict[str, Any] | None]:
    wanted = body.get("response_format")
    if wanted is None:
        return "text", None
    if not isinstance(wanted, dict):
        raise wrong_type("response_format", "an object", wanted)
    kind = wanted.get("type")
    if kind == "text":
        return kind, None
    if kind == "json_object":
        schema = wanted.get("schema")
        return kind, schema if isinstance(schema, dict) else None
    if kind != "json_schema":
        raise invalid(
            "response_format.type",
            f"Invalid value: {kind!r}. Supported values are: 'json_object', 'json_schema', and 'text'.",
            "invalid_value",
        )
    holder = wanted.get("json_schema")
    if not isinstance(holder, dict):
        raise wrong_type("response_format.json_schema", "an object", holder)
    name, schema = holder.get("name"), holder.get("schema")
    if not isinstance(name, str) or not _SCHEMA_NAME.match(name):
        raise invalid(
            "response_format.json_schema.name",
            "Invalid 'response_format.json_schema.name': string does not match pattern. Expected a string that "
            "matches the pattern '^[a-zA-Z0-9_-]+$'.",
            "invalid_value",
        )
    if not isinstance(schema, dict):
        raise wrong_type("response_format.json_schema.schema", "an object", schema)
    if holder.get("strict"):
        _check_strict(schema, name, ())
    return "json_schema", schema


def _check_strict(schema: object, name: str, context: tuple[str, ...]) -> None:
    """OpenAI's rules for strict schemas: closed objects whose properties are all required."""
    if not isinstance(schema, dict):
        return
    if len(context) > 40:
        raise _bad_schema(name, context[:4], "the schema is nested too deeply.")
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            raise _bad_schema(name, context, "'additionalProperties' is required to be supplied and to be false.")
        missing = [key for key in schema.get("properties", {}) if key not in schema.get("required", [])]
        if missing:
            raise _bad_schema(
                name,
                context,
                "'required' is required to be supplied and to be an array including every key in properties. "
                f"Missing '{missing[0]}'.",
            )
    elif not context:
        raise _bad_schema(name, context, "schema must be a JSON Schema of 'type: \"object\"'.")
    for holder in ("properties", "$defs", "definitions"):
        for key, inner in schema.get(holder, {}).items():
            _check_strict(inner, name, (*context, holder, key))
    _check_strict(schema.get("items"), name, (*context, "items"))
    for index, inner in enumerate(schema.get("anyOf", ())):
        _check_strict(inner, name, (*context, "anyOf", str(index)))


def _bad_schema(name: str, context: tuple[str, ...], why: str) -> ApiError:
    where = "(" + ", ".join(f"'{part}'" for part in context) + ("," if len(context) == 1 else "") + ")"
    return invalid("response_format", f"Invalid schema for response_format '{name}': In context={where}, {why}")
