"""The choice of the servers a run uses: an address given, a container, a program of this machine, or none.

Every choice carries the reasons against the ones before it, and the run prints them.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import nats.errors
import pytest
from pymongo.errors import PyMongoError

from tests.support import docker, mongo_server
from tests.support.mongo_server import FerretDB, MongoContainer, Mongod, MongoEndpoint, MongoServer, host_of, identify
from tests.support.nats_server import NatsEndpoint, NatsServer, stream_names
from tests.support.report import RunReport, Unavailable

NATS_IMAGE: Final = os.environ.get("TEST_NATS_IMAGE", "nats:2.15-alpine")
MONGO_IMAGE: Final = os.environ.get("TEST_MONGO_IMAGE", "mongo:8")


@contextlib.contextmanager
def open_nats(folder: Path) -> Iterator[NatsEndpoint]:
    """The NATS server of a run: TEST_NATS_URL, a container, or the nats-server of this environment.

    Raises Unavailable where there is none of them.
    """
    if url := os.environ.get("TEST_NATS_URL"):
        yield _given_nats(url)
        return
    against = docker.reason_against(NATS_IMAGE)
    if against is None:
        container = docker.nats_container(NATS_IMAGE)
        try:
            docker.start(container)
            yield NatsEndpoint(container.nats_uri(), container.nats_management_uri(), f"container of {NATS_IMAGE}")
        finally:
            docker.remove(container)
        return
    server = NatsServer(folder).start()
    try:
        yield server.endpoint(against)
    finally:
        server.stop()


def _given_nats(url: str) -> NatsEndpoint:
    # The tests delete every stream between them, so a server that somebody uses is refused.
    try:
        streams = stream_names(url)
    except (nats.errors.Error, OSError) as error:
        raise _no_answer("TEST_NATS_URL", url) from error
    if streams:
        raise pytest.UsageError(
            f"the server at TEST_NATS_URL has streams ({', '.join(streams[:5])}); the tests delete all streams, "
            "so give them a server of their own"
        )
    return NatsEndpoint(url, os.environ.get("TEST_NATS_MONITORING_URL"), "the server at TEST_NATS_URL")


@contextlib.contextmanager
def open_mongo(folder: Path) -> Iterator[MongoEndpoint]:
    """The MongoDB server of a run: TEST_MONGO_URL, a container, mongod, or FerretDB built here.

    Raises Unavailable, with every reason, where there is none of them.
    """
    if url := os.environ.get("TEST_MONGO_URL"):
        try:
            name, is_mongodb = identify(url)
        except PyMongoError as error:
            raise _no_answer("TEST_MONGO_URL", url) from error
        yield MongoEndpoint(url, f"{name} at TEST_MONGO_URL", is_mongodb)
        return
    make, where = mongo_maker()
    server = make(folder)
    try:
        server.start()
        name, is_mongodb = identify(server.url)
        yield MongoEndpoint(server.url, f"{name}; {where}", is_mongodb)
    finally:
        discard(server)


def _no_answer(variable: str, url: str) -> pytest.UsageError:
    return pytest.UsageError(f"no server answers at {variable} ({host_of(url)}): start it, or unset {variable}")


def mongo_maker() -> tuple[Callable[[Path], MongoServer], str]:
    """What makes a MongoDB server that a test may stop and kill, and where it comes from.

    Raises Unavailable with every reason where nothing does.
    """
    against = docker.reason_against(MONGO_IMAGE)
    if against is None:
        return lambda _: MongoContainer(MONGO_IMAGE), f"container of {MONGO_IMAGE}"
    if mongod := shutil.which("mongod"):
        return lambda folder: Mongod(mongod, folder), f"mongod on PATH; {against}"
    reasons = f"{against}; no mongod on PATH"
    try:
        binary = mongo_server.ferretdb_binary()
    except Unavailable as error:
        raise Unavailable(f"{reasons}; {error}") from error
    return lambda folder: FerretDB(binary, folder), reasons


def discard(server: MongoServer) -> None:
    """End a server that nobody needs any more, with its container if it has one."""
    if isinstance(server, MongoContainer):
        server.remove()
    else:
        server.stop()


class MongoFactory:
    """Makes MongoDB servers of a test's own and ends them all."""

    def __init__(self, folder: Path, report: RunReport) -> None:
        """Raises Unavailable, with every reason, where no such server can be had."""
        self._folder = folder
        self._report = report
        self._make, self._where = mongo_maker()
        self._made: list[MongoServer] = []

    def __call__(self) -> MongoServer:
        """A server of its own, started."""
        server = self._make(self._folder / f"mongo-{len(self._made)}")
        self._made.append(server)
        server.start()
        self._report.use("mongo", f"{identify(server.url)[0]}; {self._where}")
        return server

    def close(self) -> None:
        """End all of them."""
        for server in self._made:
            server.kill9()
            discard(server)


class NatsFactory:
    """Makes NATS servers of a test's own and ends them all."""

    def __init__(self, folder: Path, report: RunReport) -> None:
        self._folder = folder
        self._report = report
        self._made: list[NatsServer] = []

    def __call__(self, **options: Any) -> NatsServer:
        """A server of its own, started; `options` as for NatsServer."""
        server = NatsServer(self._folder / f"nats-{len(self._made)}", **options)
        self._made.append(server)
        server.start()
        self._report.use("nats", server.endpoint().label)
        return server

    def close(self) -> None:
        """Kill all of them."""
        for server in self._made:
            server.kill9()
