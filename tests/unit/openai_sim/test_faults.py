"""Which request meets which fault."""

from typing import Any

import pytest

from inkwire_openai_sim.errors import ApiError
from inkwire_openai_sim.fault_kinds import KINDS
from inkwire_openai_sim.faults import MAX_RULES, Faults


def faults(*rules: dict[str, Any], seed: int = 1) -> Faults:
    made = Faults(seed)
    for rule in rules:
        made.add(rule)
    return made


def test_counted_rule_is_used_up() -> None:
    """A rule with a count meets that many requests and no more."""
    made = faults({"kind": "cut", "count": 2})
    assert [made.choose("x", True).names for _ in range(3)] == ["cut", "cut", None]
    assert made.as_json()[0]["hits"] == 2


def test_first_fault_wins_and_the_next_waits() -> None:
    """Of two faults the older one acts first; modifiers join in."""
    made = faults({"kind": "cut", "count": 1}, {"kind": "stall", "count": 1}, {"kind": "split_surrogates"})
    assert [made.choose("x", True).names for _ in range(3)] == [
        "split_surrogates+cut",
        "split_surrogates+stall",
        "split_surrogates",
    ]


def test_endpoint_and_format_decide() -> None:
    """A rule for one response format leaves the others and the other endpoint alone, and one for an endpoint too."""
    made = faults({"kind": "500", "format": "json_schema"}, {"kind": "429", "endpoint": "embeddings"})
    assert made.choose("x", True, format="json_object").names is None
    assert made.choose("x", True, format="json_schema").names == "500"
    assert made.choose("x", False, "embeddings").names == "429"
    for wrong in ({"format": "xml"}, {"endpoint": "images"}):
        with pytest.raises(ApiError):
            made.add({"kind": "500", **wrong})


def test_match_and_stream_decide() -> None:
    """A rule meets only prompts with its text, and faults of streams leave whole answers alone."""
    made = faults({"kind": "truncate", "match": "queue"})
    assert made.choose("about caches", True).fault is None
    assert made.choose("about queues", False).fault is None
    assert made.choose("about queues", True).names == "truncate"


def test_probability_is_seeded() -> None:
    """A share of the requests is met, the same one for the same seed and another for another."""

    def met(seed: int) -> list[bool]:
        made = faults({"kind": "cut", "probability": 0.3}, seed=seed)
        return [made.choose("x", True).fault is not None for _ in range(200)]

    assert met(1) == met(1) != met(2)
    assert 30 <= sum(met(1)) <= 90


def test_place_is_given_or_drawn() -> None:
    """`after_chunks` is kept within the answer; without it the place is spread over the whole answer."""
    made = faults({"kind": "cut", "after_chunks": 50}, {"kind": "stall"})
    rules = made._rules
    made.choose("x", True)
    assert (made.place(rules[0], 200), made.place(rules[0], 20)) == (50, 20)
    places = set()
    for _ in range(100):
        made.choose("x", True)
        places.add(made.place(rules[1], 10))
    assert places == set(range(11))


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"kind": "none"},
        {"kind": "cut", "count": 0},
        {"kind": "cut", "count": True},
        {"kind": "cut", "after_chunks": 1.5},
        {"kind": "cut", "probability": "often"},
        {"kind": "cut", "match": 3},
        {"kind": "cut", "params": []},
        {"kind": "cut", "params": {"reset": "yes"}},
        {"kind": "stall", "params": {"seconds": -1}},
        {"kind": "style", "params": {"usage": "maybe"}},
        {"kind": "cut", "colour": "red"},
    ],
)
def test_wrong_rules_are_refused(rule: dict[str, Any]) -> None:
    """A rule that means nothing is a 400, and no rule is added."""
    made = Faults(1)
    with pytest.raises(ApiError) as caught:
        made.add(rule)
    assert caught.value.status == 400
    assert made.as_json() == []


def test_rules_are_bounded() -> None:
    """More than MAX_RULES rules are refused until they are cleared."""
    made = faults(*({"kind": "cut"} for _ in range(MAX_RULES)))
    with pytest.raises(ApiError):
        made.add({"kind": "cut"})
    made.clear()
    made.add({"kind": "cut"})


def test_every_kind_is_complete() -> None:
    """Each row of the table has either something to run or something to modify."""
    for kind in KINDS.values():
        assert (kind.run is None) == (kind.phase == "modifier")
        assert (kind.modify is not None) == (kind.phase == "modifier")
