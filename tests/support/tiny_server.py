"""Servers of other people that speak OpenAI's API, with a tiny random model; none is a dependency (tests/README.md)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import ServiceProcess
from tests.support.report import Unavailable
from tests.support.tiny_model import CONTEXT_TOKENS, write_tiny_model
from tests.support.wait import scaled_s

PYTHON_VARIABLE: Final = "INKWIRE_TEST_TINY_SERVER"
BINARY_VARIABLE: Final = "INKWIRE_TEST_LLAMA_SERVER"
MODEL: Final = "tiny"
START_S: Final = 60.0
_LOOK_S: Final = 30.0
_HOW: Final = "see tests/README.md, Servers of other people"


@dataclass(frozen=True, slots=True)
class Kind:
    """A server program. ``argv`` takes the model and the port and raises Unavailable with the reason."""

    name: str
    argv: Callable[[Path, int], list[str]]
    reports_usage: bool
    """Whether its streams end with what they cost."""


def _llama_cpp_python(model: Path, port: int) -> list[str]:
    python = os.environ.get(PYTHON_VARIABLE)
    if not python:
        raise Unavailable(f"{PYTHON_VARIABLE} names no Python that has llama-cpp-python: {_HOW}")
    probe = [python, "-c", "import llama_cpp.server.app"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, timeout=scaled_s(_LOOK_S))
    except OSError as error:
        raise Unavailable(f"{PYTHON_VARIABLE}: cannot start {python} ({error.strerror}): {_HOW}") from error
    if done.returncode:
        raise Unavailable(f"{PYTHON_VARIABLE}: {python} has no llama-cpp-python[server]: {_HOW}")
    # Without the last option, a new request cuts the running streams.
    return [
        python, "-m", "llama_cpp.server", "--model", str(model), "--model_alias", MODEL, "--host", LOOPBACK,
        "--port", str(port), "--n_ctx", str(CONTEXT_TOKENS), "--n_threads", "1", "--n_threads_batch", "1",
        "--interrupt_requests", "false",
    ]  # fmt: skip


def _llama_server(model: Path, port: int) -> list[str]:
    given = os.environ.get(BINARY_VARIABLE)
    found = shutil.which(given or "llama-server")
    if found is None:
        where = f"at {BINARY_VARIABLE} ({given})" if given else f"on PATH, and no {BINARY_VARIABLE}"
        raise Unavailable(f"no llama-server {where}: {_HOW}")
    return [
        found, "--model", str(model), "--alias", MODEL, "--host", LOOPBACK, "--port", str(port),
        "--ctx-size", str(2 * CONTEXT_TOKENS), "--parallel", "2", "--threads", "1", "--threads-batch", "1", "--offline",
    ]  # fmt: skip


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("llama-cpp-python", _llama_cpp_python, reports_usage=False),
        Kind("llama-server", _llama_server, reports_usage=True),
    )
}


class TinyServer:
    """A server program with the tiny model in ``folder``; a context manager. Raises Unavailable with the reason."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        port = free_port()
        argv = kind.argv(write_tiny_model(folder / "tiny.gguf"), port)
        self.base_url = f"http://{LOOPBACK}:{port}/v1"
        ready_url = f"{self.base_url}/models"
        self.process = ServiceProcess(kind.name, env={}, ready_url=ready_url, argv=argv, cwd=folder)

    def __enter__(self) -> TinyServer:
        self.process.start()
        self.process.wait_ready(timeout_s=START_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill9()

    def environment(self) -> dict[str, str]:
        """The settings that make Inkwire use it; some answers are longer than the limit and have to be gone on with."""
        return {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": "needs-none",
            "OPENAI_MODEL": MODEL,
            "OPENAI_MAX_TOKENS": "200",
        }
