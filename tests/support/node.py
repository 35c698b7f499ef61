"""Node.js for tests of the page's modules, where it is at hand; nothing of ours needs it at run time."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.wait import scaled_s

ROOT: Final = Path(__file__).resolve().parents[2]
STATIC: Final = ROOT / "web" / "src" / "inkwire_web" / "static"
OLDEST: Final = 20
TIMEOUT_S: Final = 60.0


def node() -> str:
    """Path of a Node.js that is new enough; skips the test, with the reason, where there is none."""
    path = shutil.which("node") or shutil.which("nodejs")
    if path is None:
        pytest.skip("no Node.js on PATH; the page's modules were not run here")
    version = subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST:
        pytest.skip(f"Node.js {version} is older than {OLDEST}; the page's modules were not run here")
    return path


def run_node(*arguments: str | Path, stdin: str = "") -> str:
    """Run Node.js and return what it printed; its error output is the test's failure."""
    done = subprocess.run(
        [node(), *map(str, arguments)],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=scaled_s(TIMEOUT_S),
        check=False,
    )
    assert done.returncode == 0, f"node {arguments[0]} failed:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    return done.stdout
