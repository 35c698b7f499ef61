"""Fixtures and rules of every suite; the work is done in tests/support."""

import contextlib
import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest
import pytest_asyncio
import structlog
from playwright.async_api import Browser, async_playwright
from playwright.async_api import Page as BrowserPage
from playwright.async_api import expect as expect_on_page

from inkwire_contracts.topology import DLQ, JOBS
from tests.support import docker
from tests.support.browser import ARGUMENTS, PAGE_TIMEOUT_S, chromium
from tests.support.guards import no_blocking_in_loop, no_network
from tests.support.mongo_server import MongoEndpoint, drop_database
from tests.support.nats_cluster import NatsCluster
from tests.support.nats_server import NatsEndpoint, delete_streams, empty_streams, nats_server_binary
from tests.support.processes import ManagedProcess
from tests.support.report import REPORT, RunReport, Unavailable, required_things, skip_lines
from tests.support.servers import MongoFactory, NatsFactory, open_mongo, open_nats
from tests.support.wait import scaled_s, time_factor

KINDS: Final = ("unit", "property", "contract", "integration", "e2e", "chaos")
ISOLATED: Final = ("unit", "property")
HERE: Final = Path(__file__).parent

# People explore at random; a gate must say the same of the same commit twice.
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.register_profile("gate", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("gate" if os.environ.get("CI") else "explore")

# What a test needs follows from the fixtures it asks for, directly or not.
NEEDS: Final = {
    "nats_server": "nats",
    "nats_factory": "nats",
    "nats_cluster": "nats",
    "cluster_url": "nats",
    "either_nats_url": "nats",
    "mongo_server": "mongo",
    "mongo_factory": "mongo",
    "chromium_path": "browser",
}


def pytest_configure(config: pytest.Config) -> None:
    """Refuse wrong settings before anything runs."""
    try:
        time_factor()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    docker.backend()
    expect_on_page.set_options(timeout=scaled_s(PAGE_TIMEOUT_S) * 1_000)
    config.stash[REPORT] = RunReport(required_things())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder and by what it needs. Raises UsageError for a test in another folder."""
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        kind = item.path.relative_to(HERE).parts[0]
        if kind not in KINDS:
            raise pytest.UsageError(f"{item.path.relative_to(HERE)} must be in one of the folders {', '.join(KINDS)}")
        item.add_marker(kind)
        for needed in {NEEDS[name] for name in getattr(item, "fixturenames", ()) if name in NEEDS}:
            item.add_marker(needed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Fixtures of isolated tests are isolated too."""
    with _isolated(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Keep isolated tests off the network and out of the event loop's way."""
    with _isolated(item):
        return (yield)


@contextlib.contextmanager
def _isolated(item: pytest.Item) -> Iterator[None]:
    if not any(item.get_closest_marker(kind) for kind in ISOLATED):
        yield
        return
    with no_network(), no_blocking_in_loop():
        yield


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say, at the end of every run, which servers it used and what it skipped."""
    terminalreporter.section("servers of this run")
    for line in config.stash[REPORT].lines():
        terminalreporter.write_line(line)
    for line in skip_lines(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def logs_restored() -> Iterator[None]:
    """A test that sets up logging, a service's main() among them, leaves it as it was: its stderr is closed soon."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture(scope="session")
def run_report(pytestconfig: pytest.Config) -> RunReport:
    """What this run used and missed."""
    return pytestconfig.stash[REPORT]


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory, run_report: RunReport) -> Iterator[NatsEndpoint]:
    """The NATS server of the run; shared, so prefer `nats_url`, which is empty at the start of each test."""
    with contextlib.ExitStack() as stack:
        try:
            endpoint = stack.enter_context(open_nats(tmp_path_factory.mktemp("nats")))
        except Unavailable as error:
            run_report.missing("nats", str(error))
        run_report.use("nats", endpoint.label)
        yield endpoint


@pytest.fixture
def nats_url(nats_server: NatsEndpoint) -> Iterator[str]:
    """URL of a NATS server without any stream; what the test makes there is deleted after it."""
    yield nats_server.url
    delete_streams(nats_server.url)


@pytest.fixture
def nats_factory(tmp_path: Path, run_report: RunReport) -> Iterator[NatsFactory]:
    """Makes NATS servers of the test's own, which it may stop, kill and restart."""
    try:
        nats_server_binary()
    except Unavailable as error:
        run_report.missing("nats", str(error))
    with contextlib.closing(NatsFactory(tmp_path, run_report)) as factory:
        yield factory


@pytest.fixture(scope="session")
def nats_cluster(tmp_path_factory: pytest.TempPathFactory, run_report: RunReport) -> Iterator[NatsCluster]:
    """Three servers of the run; shared, so a test that hits one of them leaves all whole."""
    try:
        nats_server_binary()
    except Unavailable as error:
        run_report.missing("nats", str(error))
    cluster = NatsCluster(tmp_path_factory.mktemp("cluster"), relayed=True)
    try:
        yield cluster.start()
    finally:
        cluster.kill9()


@pytest.fixture
def cluster_url(nats_cluster: NatsCluster) -> Iterator[str]:
    """All three servers, with an empty queue. The log keeps the posts of tests before; ids are never used twice."""
    yield nats_cluster.url
    nats_cluster.wait_healthy()
    empty_streams(nats_cluster.url, JOBS, DLQ)


@pytest.fixture(params=["R1", "R3"])
def either_nats_url(request: pytest.FixtureRequest) -> str:
    """One server, and three: they decide some things in another order (docs/architecture.md, The broker)."""
    return str(request.getfixturevalue("nats_url" if request.param == "R1" else "cluster_url"))


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory, run_report: RunReport) -> Iterator[MongoEndpoint]:
    """The MongoDB server of the run, or what stands in for it; shared, so prefer `mongo_database`."""
    with contextlib.ExitStack() as stack:
        try:
            endpoint = stack.enter_context(open_mongo(tmp_path_factory.mktemp("mongo")))
        except Unavailable as error:
            run_report.missing("mongo", str(error))
        run_report.use("mongo", endpoint.label)
        yield endpoint


@pytest.fixture
def mongo_database(mongo_server: MongoEndpoint) -> Iterator[tuple[str, str]]:
    """URL of the run's server and the name of a database of the test's own, dropped after it."""
    name = f"test_{uuid.uuid4().hex}"
    yield mongo_server.url, name
    drop_database(mongo_server.url, name)


@pytest.fixture
def mongo_factory(tmp_path: Path, run_report: RunReport) -> Iterator[MongoFactory]:
    """Makes servers of the test's own that speak MongoDB's protocol, which it may stop, kill and restart."""
    try:
        factory = MongoFactory(tmp_path, run_report)
    except Unavailable as error:
        run_report.missing("mongo", str(error))
    with contextlib.closing(factory):
        yield factory


@pytest.fixture
def keep() -> Iterator[Callable[[ManagedProcess], ManagedProcess]]:
    """Give it each process the test starts: it is killed after the test, and a failing test shows its log."""
    kept: list[ManagedProcess] = []

    def keep_one(process: ManagedProcess) -> ManagedProcess:
        kept.append(process)
        return process

    yield keep_one
    for process in reversed(kept):
        process.kill9()
        print(f"--- {process.name}\n{process.tail()}")


@pytest.fixture(scope="session")
def chromium_path(run_report: RunReport) -> str:
    """Path of the machine's Chromium; the test is skipped with the reason where there is none."""
    try:
        path, version = chromium()
    except Unavailable as error:
        run_report.missing("browser", str(error))
    run_report.use("browser", f"{version} at {path}")
    return path


@pytest_asyncio.fixture
async def browser(chromium_path: str) -> AsyncIterator[Browser]:
    """A headless browser of the test's own, bound to the test's event loop."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium_path, headless=True, args=[*ARGUMENTS])
        yield launched
        await launched.close()


@pytest_asyncio.fixture
async def page(browser: Browser) -> AsyncIterator[BrowserPage]:
    """A page in a context of its own; an error that its scripts let through fails the test."""
    context = await browser.new_context()
    opened = await context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    await context.close()
    assert not errors, f"errors on the page: {errors}"
