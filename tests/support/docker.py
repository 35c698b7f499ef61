"""Containers for tests: whether an engine can be used, and starting one without its reaper image."""

import contextlib
import functools
import gc
import os
import warnings
from collections.abc import Iterator
from typing import Any, Final, Literal

import pytest

BACKEND_VARIABLE: Final = "TEST_BACKEND"
PING_TIMEOUT_S: Final = 3
Backend = Literal["auto", "docker", "embedded"]


def backend() -> Backend:
    """The value of TEST_BACKEND. Raises UsageError for any other word.

    auto: containers where an engine answers and has the image, else programs of this machine. docker: containers or
    an error, images are pulled. embedded: programs of this machine.
    """
    match os.environ.get(BACKEND_VARIABLE, "auto"):
        case "auto":
            return "auto"
        case "docker":
            return "docker"
        case "embedded":
            return "embedded"
        case other:
            raise pytest.UsageError(f"{BACKEND_VARIABLE} must be auto, docker or embedded, it is {other!r}")


def reason_against(image: str) -> str | None:
    """Why no container of `image` is to be started; None where one is. In mode auto nothing is ever pulled."""
    match backend():
        case "docker":
            return None
        case "embedded":
            return f"{BACKEND_VARIABLE}=embedded"
        case "auto":
            return _engine_lacks(image)


@functools.cache
def _engine_lacks(image: str) -> str | None:
    with _quiet():
        try:
            return _asked_engine(image)
        finally:
            gc.collect()  # the client forgets a socket where no engine answers; the warning belongs here, not to a test


def _asked_engine(image: str) -> str | None:
    try:
        import docker  # type: ignore[import-untyped]
        from docker.errors import DockerException, ImageNotFound  # type: ignore[import-untyped]
    except ImportError:
        return "the Python package docker is not installed"
    try:
        with contextlib.closing(docker.from_env(timeout=PING_TIMEOUT_S)) as client:
            client.ping()
            client.images.get(image)
    except ImageNotFound:
        return f"Docker has no image {image}"
    except (DockerException, OSError) as error:
        return f"no Docker engine answers ({type(error).__name__})"
    return None


def start(container: Any) -> None:
    """Start a container; testcontainers warns about its own code when it does, and warnings are errors in our runs."""
    with _quiet():
        container.start()


def remove(container: Any) -> None:
    """Stop a container and remove it with its data."""
    with _quiet():
        container.stop()
        gc.collect()  # sockets that the client has not closed


def container(image: str) -> Any:
    """A testcontainers DockerContainer, not started; stopped by whoever starts it."""
    # The reaper is one more image to pull; the fixtures stop what they start.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    with _quiet():
        from testcontainers.core.container import DockerContainer
    return DockerContainer(image)


def nats_container(image: str) -> Any:
    """A testcontainers NatsContainer with JetStream and monitoring, not started."""
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    with _quiet():
        from testcontainers.community.nats import NatsContainer
    return NatsContainer(image).with_command("-js -m 8222")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # These packages warn about themselves, some of it while they are imported.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
