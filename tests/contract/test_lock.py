"""The lock and the front door name public hosts and one exact uv only."""

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
PUBLIC_HOSTS = {"pypi.org", "files.pythonhosted.org"}


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def _hosts(text: str) -> set[str]:
    return {urlsplit(url).netloc for url in re.findall(r"""[a-z+]+://[^\s"'<>\\]+""", text)}


def _members() -> list[str]:
    patterns = _toml("pyproject.toml")["tool"]["uv"]["workspace"]["members"]
    return sorted(
        p.relative_to(ROOT).as_posix() for pattern in patterns for p in ROOT.glob(f"{pattern}/pyproject.toml")
    )


def test_lock_names_public_hosts_only() -> None:
    """Anyone can install from uv.lock; nobody's own index is in it."""
    assert _hosts((ROOT / "uv.lock").read_text(encoding="utf-8")) == PUBLIC_HOSTS


def test_every_locked_file_has_a_digest() -> None:
    """A file that changes under its name is refused."""
    for package in _toml("uv.lock")["package"]:
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files or set(package["source"]) <= {"editable", "virtual"}, package["name"]
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files), package["name"]


def test_lock_holds_every_member() -> None:
    """A member that is not locked would be installed by luck."""
    names = {_toml(name)["project"]["name"] for name in _members()}
    assert {"inkwire", "inkwire-contracts"} <= names
    assert names <= {package["name"] for package in _toml("uv.lock")["package"]}


def test_members_are_alike() -> None:
    """Every member builds with uv's own backend, which needs no download, and supports the same Python."""
    for name in _members():
        member = _toml(name)
        assert member["build-system"] == {"requires": ["uv_build>=0.13.8,<0.14"], "build-backend": "uv_build"}, name
        assert member["project"]["requires-python"] == ">=3.11", name
        assert (ROOT / name).with_name("README.md").is_file(), name
        assert list((ROOT / name).parent.glob("src/*/py.typed")), name


def test_no_python_version_file() -> None:
    """Such a file makes uv fetch an interpreter from another host, which fails where that host is closed."""
    assert not (ROOT / ".python-version").exists()


def test_front_door_pins_the_same_uv() -> None:
    """./run fetches exactly the uv that pyproject.toml requires, from the public host."""
    text = (ROOT / "run").read_text(encoding="utf-8")
    found = re.search(r'^UV_VERSION = "([^"]+)"$', text, re.MULTILINE)
    assert found
    assert _toml("pyproject.toml")["tool"]["uv"]["required-version"] == f"=={found[1]}"
    assert _hosts(text) == PUBLIC_HOSTS
