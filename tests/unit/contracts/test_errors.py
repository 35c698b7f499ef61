"""Error codes: one table, one renderer, nothing but parameters in the text."""

import re
import string

import pytest

from inkwire_contracts.errors import ERROR_CODES, MESSAGES, REASONS, ErrorCode, InkwireError, _table, render

PARAMS = {
    "detail": "title: too long",
    "limit_bytes": 1024,
    "known": "blog",
    "scope": "post:write",
    "limit": 5,
    "status": "generating",
    "retry_after_s": 3,
    "deliveries": 4,
    "sections": 6,
    "n": 1,
    "total": 6,
    "title": "Start small",
    "delay_s": 2,
    "reason": "rate limited",
    "mention": "3",
    "unit": "pages",
}


@pytest.mark.parametrize("spec", ERROR_CODES.values(), ids=ERROR_CODES.keys())
def test_every_code_renders(spec: ErrorCode) -> None:
    """Each code renders to whole sentences, without a hole where its parameters are given."""
    text = render(spec.code, PARAMS)
    assert "?" not in text
    assert not re.search(r"[{}]", text)
    assert text.endswith(".") or spec.template == "{detail}"


@pytest.mark.parametrize("code", MESSAGES)
def test_every_message_renders(code: str) -> None:
    """Each progress message renders to a sentence for people."""
    text = render(code, PARAMS)
    assert text
    assert "?" not in text
    assert not re.search(r"[{}]", text)


@pytest.mark.parametrize("spec", ERROR_CODES.values(), ids=ERROR_CODES.keys())
def test_rows_are_well_formed(spec: ErrorCode) -> None:
    """A code is a stable name, its status an error's, its title a heading without a full stop."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", spec.code)
    assert ERROR_CODES[spec.code] is spec
    assert 400 <= spec.status <= 599
    assert spec.title
    assert not spec.title.endswith(".")


def test_templates_use_known_parameters_only() -> None:
    """A template names parameters of this list; a new one is a new promise and is added here by intent."""
    templates = [*(spec.template for spec in ERROR_CODES.values()), *MESSAGES.values()]
    named = {name for template in templates for _, name, _, _ in string.Formatter().parse(template) if name}
    assert named == set(PARAMS)


def test_missing_parameters_do_not_raise() -> None:
    """Where a parameter is missing the text says so with a question mark instead of failing."""
    assert render("too_many_posts") == "Too many unfinished posts. Wait until one of your ? posts has ended."


def test_unknown_codes_render_as_themselves() -> None:
    """A code of a newer writer is shown as it is."""
    assert render("planet_on_fire", {"x": 1}) == "planet_on_fire"
    assert render("odd {code}") == "odd {code}"


def test_parameters_are_text_not_templates() -> None:
    """Braces in a parameter are shown, never expanded."""
    assert render("invalid_request", {"detail": "{code.__class__}"}) == "{code.__class__}"


@pytest.mark.parametrize(
    ("limit_bytes", "said"), [(20_971_520, "20 MiB"), (65_536, "64 KiB"), (20_000_000, "20,000,000 bytes")]
)
def test_sizes_are_said_as_people_say_them(limit_bytes: int, said: str) -> None:
    """A limit in bytes is told in the largest unit that says it exactly; programs get the number of bytes."""
    error = InkwireError("document_too_large", limit_bytes=limit_bytes)
    assert str(error) == f"The document is too large. Upload at most {said}."
    assert error.params == {"limit_bytes": limit_bytes}


def test_reasons_belong_to_codes() -> None:
    """Each short reason explains a code of the table."""
    assert set(REASONS) <= set(ERROR_CODES)


def test_error_carries_code_params_and_row() -> None:
    """An InkwireError knows its code, its parameters, its row and its English."""
    error = InkwireError("too_many_posts", limit=3)
    assert (error.code, error.params, error.spec.status) == ("too_many_posts", {"limit": 3}, 429)
    assert str(error) == "Too many unfinished posts. Wait until one of your 3 posts has ended."


def test_error_of_unknown_code_is_internal() -> None:
    """A code outside the table ends a request as an internal error."""
    assert InkwireError("no_such_code").spec.code == "internal"


def test_a_code_stands_once() -> None:
    """Two rows of one code would silently be the later one."""
    with pytest.raises(ValueError, match="twice"):
        _table(("a", 400, "A", ""), ("a", 500, "B", ""))
