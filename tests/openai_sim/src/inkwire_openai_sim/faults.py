"""Fault rules: which request meets which fault, decided by rule, count, match and a seeded chance. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from inkwire_openai_sim.chat_request import Format
from inkwire_openai_sim.errors import ApiError
from inkwire_openai_sim.fault_kinds import KINDS, FaultKind
from inkwire_openai_sim.request_log import Endpoint
from inkwire_openai_sim.text import seeded

MAX_RULES: Final = 200
_FIELDS: Final = frozenset(("kind", "count", "after_chunks", "probability", "match", "endpoint", "format", "params"))
_NUMBERS: Final = frozenset(
    ("seconds", "comments_every_s", "retry_after_s", "retry_after_ms", "tokens_per_s", "ttft_ms", "fragment_bytes")
)
_BOOLEANS: Final = frozenset(("reset", "done", "end", "crlf", "null_finish_reason", "should_retry"))


@dataclass(slots=True)
class FaultRule:
    """One rule. None means: `count` for ever, `after_chunks` a seeded place in the answer, else whatever is asked."""

    id: int
    kind: str
    count: int | None = None
    after_chunks: int | None = None
    probability: float = 1.0
    match: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    endpoint: Endpoint | None = None
    format: Format | None = None
    hits: int = 0

    def as_json(self) -> dict[str, Any]:
        """All fields, and how many requests met the rule."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What meets one request: any number of modifiers and at most one other fault."""

    fault: FaultRule | None = None
    modifiers: tuple[FaultRule, ...] = ()

    @property
    def names(self) -> str | None:
        """The kinds for the request log, or None."""
        rules = [*self.modifiers, *([self.fault] if self.fault else [])]
        return "+".join(rule.kind for rule in rules) or None


class Faults:
    """The rules in force, in the order in which they were added."""

    def __init__(self, seed: int) -> None:
        self._seed, self._rules, self._added, self._asked = seed, list[FaultRule](), 0, 0

    def add(self, body: Mapping[str, Any]) -> FaultRule:
        """Add a rule from its JSON. Raises ApiError 400 that names the field."""
        if len(self._rules) >= MAX_RULES:
            raise ApiError(400, f"At most {MAX_RULES} rules; DELETE /control/faults first.")
        rule = _rule(body, self._added + 1)
        self._added += 1
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove all rules and begin the seeded chances anew."""
        self._rules.clear()
        self._asked = 0

    def as_json(self) -> list[dict[str, Any]]:
        """All rules, used-up ones included."""
        return [rule.as_json() for rule in self._rules]

    def choose(self, prompt: str, stream: bool, endpoint: Endpoint = "chat", format: Format | None = None) -> Chosen:
        """The faults for the next request; counts them."""
        self._asked += 1
        fault: FaultRule | None = None
        modifiers: list[FaultRule] = []
        for rule in self._rules:
            kind = KINDS[rule.kind]
            if fault is not None and kind.phase != "modifier":
                continue
            if not _at(rule, kind, endpoint, format) or not self._applies(rule, kind, prompt, stream):
                continue
            rule.hits += 1
            if kind.phase == "modifier":
                modifiers.append(rule)
            else:
                fault = rule
        return Chosen(fault, tuple(modifiers))

    def _applies(self, rule: FaultRule, kind: FaultKind, prompt: str, stream: bool) -> bool:
        if rule.count is not None and rule.hits >= rule.count:
            return False
        if rule.match not in prompt or (kind.streams_only and not stream):
            return False
        return rule.probability >= 1 or self._chance("meets", rule) < rule.probability

    def place(self, rule: FaultRule, total: int) -> int:
        """After how many of `total` deltas the rule acts; at the end where the answer is shorter than wanted."""
        if rule.after_chunks is not None:
            return min(rule.after_chunks, total)
        return int(self._chance("place", rule) * (total + 1))

    def _chance(self, what: str, rule: FaultRule) -> float:
        return seeded(self._seed, what, rule.id, self._asked).random()


def _at(rule: FaultRule, kind: FaultKind, endpoint: Endpoint, format: Format | None) -> bool:
    wanted = rule.endpoint in (None, endpoint) and rule.format in (None, format)
    return wanted and (endpoint == "chat" or not kind.chat_only)


def _rule(body: Mapping[str, Any], rule_id: int) -> FaultRule:
    if unknown := sorted(set(body) - _FIELDS):
        raise ApiError(400, f"Unknown field {unknown[0]!r}; a rule has {', '.join(sorted(_FIELDS))}.", param=unknown[0])
    kind = str(body.get("kind", ""))
    if kind not in KINDS:
        raise ApiError(400, f"Unknown kind {kind!r}; known are {', '.join(KINDS)}.", param="kind")
    params = {} if body.get("params") is None else body["params"]
    if not isinstance(params, dict):
        raise ApiError(400, "params must be an object.", param="params")
    _check_params(kind, params)
    count, after = body.get("count"), body.get("after_chunks")
    for name, value, least in (("count", count, 1), ("after_chunks", after, 0)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ApiError(400, f"{name} must be a whole number of at least {least}, or null.", param=name)
    chance = body.get("probability", 1.0)
    if isinstance(chance, bool) or not isinstance(chance, (int, float)) or not 0 <= chance <= 1:
        raise ApiError(400, "probability must be a number between 0 and 1.", param="probability")
    match = "" if body.get("match") is None else body["match"]
    if not isinstance(match, str):
        raise ApiError(400, "match must be a string.", param="match")
    endpoint = body.get("endpoint")
    if endpoint not in (None, *get_args(Endpoint)):
        raise ApiError(400, "endpoint is chat, embeddings or null.", param="endpoint")
    format = body.get("format")
    if format not in (None, *get_args(Format)):
        raise ApiError(400, "format is text, json_object, json_schema or null.", param="format")
    return FaultRule(rule_id, kind, count, after, float(chance), match, dict(params), endpoint, format)


def _check_params(kind: str, params: Mapping[str, Any]) -> None:
    allowed = KINDS[kind].params
    for name, value in params.items():
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise ApiError(400, f"Unknown parameter {name!r} of {kind!r}; known: {known}.", param=f"params.{name}")
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
        if name in _NUMBERS and value is not None and not number:
            raise ApiError(400, f"params.{name} must be a number of at least 0.", param=f"params.{name}")
        if name in _BOOLEANS and not isinstance(value, bool):
            raise ApiError(400, f"params.{name} must be true or false.", param=f"params.{name}")
        if name == "fragment_bytes" and (not isinstance(value, int) or value < 1):
            raise ApiError(400, "params.fragment_bytes must be a whole number of at least 1.", param=f"params.{name}")
        if name == "usage" and value not in ("last", "none", "every", "finish"):
            raise ApiError(400, "params.usage is last, none, every or finish.", param="params.usage")
        if name == "status" and (not isinstance(value, int) or not 400 <= value <= 599):
            raise ApiError(400, "params.status must be between 400 and 599.", param="params.status")
