"""Close codes: the range of a code says whether to reconnect, the same for server, page and other clients."""

import json

import pytest

from inkwire_contracts.close_codes import CLOSE_CODES, CloseCode, reconnect_rule
from tests.support.node import STATIC, run_node


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        (1000, "never"),
        (1001, "backoff"),
        (1006, "backoff"),
        (1009, "backoff"),
        (1011, "backoff"),
        (1012, "backoff"),
        (3999, "backoff"),
        (4000, "never"),
        (4099, "never"),
        (4100, "backoff"),
        (4199, "backoff"),
        (4200, "now"),
        (4299, "now"),
        (4300, "backoff"),
        (4999, "backoff"),
    ],
)
def test_rule_by_range(code: int, rule: str) -> None:
    """The edges of each range are on the right side."""
    assert reconnect_rule(code) == rule


@pytest.mark.parametrize("row", CLOSE_CODES.values(), ids=CLOSE_CODES.keys())
def test_rows_fit_a_close_frame(row: CloseCode) -> None:
    """Each row is listed by its name, and its reason fits into a close frame's 123 bytes."""
    assert CLOSE_CODES[row.name] is row
    assert 0 < len(row.reason.encode()) <= 123
    assert row.reconnect == reconnect_rule(row.code)


def test_codes_are_unique() -> None:
    """No two reasons share a code."""
    assert len({row.code for row in CLOSE_CODES.values()}) == len(CLOSE_CODES)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("unauthenticated", "never"),
        ("forbidden", "never"),
        ("invalid_frame", "never"),
        ("slow", "backoff"),
        ("token_expired", "backoff"),
        ("lost_position", "backoff"),
        ("draining", "now"),
    ],
)
def test_meaning_of_known_codes(name: str, rule: str) -> None:
    """A client that can be helped by reconnecting is told so; one that cannot is told to stay away."""
    assert CLOSE_CODES[name].reconnect == rule


def test_page_has_the_same_rule() -> None:
    """The page's socket.js answers every code from 1000 to 4999 as the table does."""
    script = f"import {{ reconnectRule }} from {json.dumps((STATIC / 'socket.js').as_uri())};" + (
        "console.log(JSON.stringify(Array.from({ length: 4000 }, (_, n) => reconnectRule(n + 1000))))"
    )
    answered = json.loads(run_node("--input-type=module", "-e", script))
    assert answered == [reconnect_rule(code) for code in range(1000, 5000)]
