"""The browser of the tests: the machine's own Chromium, driven by Playwright. Nothing is downloaded."""

import os
import shutil
import subprocess
from typing import Final

from tests.support.report import Unavailable
from tests.support.wait import scaled_s

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
PATH_VARIABLE: Final = "TEST_CHROMIUM"
VERSION_TIMEOUT_S: Final = 20.0
PAGE_TIMEOUT_S: Final = 30.0
"""For what is expected on a page; playwright's own is 5 s, which a busy machine may need for a reload alone."""

ARGUMENTS: Final = (
    "--disable-dev-shm-usage",  # containers have a small /dev/shm
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def chromium() -> tuple[str, str]:
    """Path and version line of Chromium: TEST_CHROMIUM, else the first of PROGRAMS on PATH.

    Raises Unavailable where there is none or it does not start.
    """
    if given := os.environ.get(PATH_VARIABLE):
        path = shutil.which(given)
        looked_for = f"{PATH_VARIABLE}={given}"
    else:
        path = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
        looked_for = ", ".join(PROGRAMS)
    if path is None:
        raise Unavailable(f"no Chromium (looked for {looked_for}); on Debian: apt-get install chromium")
    try:
        version = subprocess.run(
            [path, "--version"], check=True, capture_output=True, text=True, timeout=scaled_s(VERSION_TIMEOUT_S)
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{path} does not start ({type(error).__name__})") from error
    return path, version
