"""The walls between packages, as import-linter's contracts in pyproject.toml state them."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "pyproject.toml"
LINT = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"


def _packages() -> set[str]:
    folders = [p for pattern in ("libs/*", "services/*", "web", "tests/openai_sim") for p in ROOT.glob(pattern)]
    return {package.parent.name for folder in folders for package in folder.glob("src/*/__init__.py")}


def _lint(config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LINT, "--config", str(config), "--no-cache"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_contracts_hold() -> None:
    """No import crosses a wall."""
    done = _lint(CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_is_inside_the_walls() -> None:
    """A new member cannot stay out of the contracts unseen."""
    linter = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert set(linter["root_packages"]) == _packages()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("forbidden", 'source_modules = ["inkwire_chassis"]\nforbidden_modules = ["inkwire_contracts"]'),
        ("layers", 'layers = ["inkwire_contracts", "inkwire_chassis"]'),
    ],
)
def test_a_broken_contract_fails(tmp_path: Path, kind: str, body: str) -> None:
    """The linter sees real imports: a wall put where imports do cross is reported."""
    config = tmp_path / "lint.toml"
    config.write_text(
        '[tool.importlinter]\nroot_packages = ["inkwire_chassis", "inkwire_contracts"]\n'
        f'[[tool.importlinter.contracts]]\nname = "upside down"\ntype = "{kind}"\n{body}\n'
    )
    done = _lint(config)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "upside down BROKEN" in done.stdout
