"""The page's modules, run under Node.js: each .mjs file beside this one is a suite of its own."""

from pathlib import Path

import pytest

from tests.support.node import STATIC, run_node

SUITES = sorted(Path(__file__).parent.glob("*.mjs"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_suite(suite: Path) -> None:
    """Every test of the suite passes, and there is at least one."""
    printed = run_node("--test", "--test-reporter=tap", suite)
    passed = next(int(line.split()[-1]) for line in printed.splitlines() if line.startswith("# pass "))
    assert passed > 3
    assert "\n# fail 0\n" in printed
    assert "\n# skipped 0\n" in printed


def test_every_module_with_logic_has_a_suite() -> None:
    """Modules that decide something without a document are tested here; the others are tested in a browser."""
    imported = "\n".join(suite.read_text("utf-8") for suite in SUITES)
    in_browser = {"app.js", "theme.js", "list.js", "chat_list.js", "chat_view.js", "library.js", "message.js"}
    assert {path.name for path in STATIC.glob("*.js") if f"/{path.name}" not in imported} == in_browser


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_every_module_can_be_parsed(path: Path) -> None:
    """A module that no suite imports is sound at least as a text."""
    run_node("--check", "--input-type=module", "-", stdin=path.read_text("utf-8"))
