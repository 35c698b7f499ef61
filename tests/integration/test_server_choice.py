"""Which server a run chooses, and what a run says and does where one is missing: whole runs of pytest."""

import os
import subprocess
import sys
from pathlib import Path

import nats
import pytest

from tests.support import docker, mongo_server, servers
from tests.support.mongo_server import MongoEndpoint, ferretdb_binary, identify
from tests.support.nats_server import NatsEndpoint
from tests.support.ports import free_port
from tests.support.report import Unavailable
from tests.support.servers import MongoFactory, NatsFactory, open_mongo, open_nats
from tests.support.wait import scaled_s

ROOT = Path(__file__).parents[2]
BROWSER_TEST = "tests/e2e/test_browser_fixture.py"
RUN_TIMEOUT_S = 120


def _run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("INKWIRE_", "TEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env={**environment, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled_s(RUN_TIMEOUT_S),
    )


def test_a_missing_browser_skips_and_is_printed() -> None:
    """Without Chromium the run passes, and says what is missing and how many tests that skipped."""
    run = _run(BROWSER_TEST, TEST_CHROMIUM="/nonexistent/chromium")
    assert run.returncode == 0, run.stdout
    assert "browser: MISSING, no Chromium (looked for TEST_CHROMIUM=/nonexistent/chromium)" in run.stdout
    assert "skipped 1: no browser" in run.stdout
    assert "nats: not asked for" in run.stdout


def test_a_missing_browser_that_is_required_fails() -> None:
    """The same run fails where INKWIRE_TEST_REQUIRE names the browser."""
    run = _run(BROWSER_TEST, TEST_CHROMIUM="/nonexistent/chromium", INKWIRE_TEST_REQUIRE="nats,browser")
    assert run.returncode == 1, run.stdout
    assert "INKWIRE_TEST_REQUIRE requires" in run.stdout


@pytest.mark.parametrize(
    ("variable", "value"),
    [("INKWIRE_TEST_REQUIRE", "mongodb"), ("TEST_BACKEND", "podman"), ("INKWIRE_TEST_TIME_FACTOR", "fast")],
)
def test_a_wrong_setting_stops_the_run(variable: str, value: str) -> None:
    """A setting that means nothing is one line of error before any test runs."""
    run = _run(BROWSER_TEST, **{variable: value})
    assert run.returncode == pytest.ExitCode.USAGE_ERROR, run.stdout
    assert variable in run.stderr
    assert "Traceback" not in run.stderr


def test_a_mongo_that_cannot_be_had_gives_every_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No container, no mongod, no Go: the reasons come in the order of the choice."""
    monkeypatch.delenv("TEST_MONGO_URL", raising=False)
    monkeypatch.setenv("TEST_BACKEND", "embedded")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mongo_server, "CACHE", tmp_path / "cache")
    with pytest.raises(Unavailable) as raised, open_mongo(tmp_path / "data"):
        pass
    assert str(raised.value) == "TEST_BACKEND=embedded; no mongod on PATH; no Go to build FerretDB with"


def test_a_failed_build_tells_what_go_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The last line of the compiler is the reason, and no half-built program stays in the cache."""
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho first >&2\necho 'no such module' >&2\nexit 1\n", encoding="utf-8")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(mongo_server, "CACHE", tmp_path / "cache")
    with pytest.raises(Unavailable, match="could not build FerretDB: no such module"):
        ferretdb_binary()
    assert [found for found in (tmp_path / "cache").rglob("*") if found.is_file()] == []


def test_mongod_on_the_path_comes_before_ferretdb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A mongod that is there is chosen, and what it really is comes from the server, not from its name."""
    (tmp_path / "mongod").symlink_to("/bin/true")
    monkeypatch.setenv("TEST_BACKEND", "embedded")
    monkeypatch.setenv("PATH", str(tmp_path))
    make, where = servers.mongo_maker()
    assert where == "mongod on PATH; TEST_BACKEND=embedded"
    assert isinstance(make(tmp_path), mongo_server.Mongod)


def test_a_mongo_url_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mongo_factory: MongoFactory) -> None:
    """TEST_MONGO_URL is used as it is, and the server there is named by what it says of itself."""
    server = mongo_factory()
    monkeypatch.setenv("TEST_MONGO_URL", server.url)
    with open_mongo(tmp_path / "unused") as endpoint:
        name, is_mongodb = identify(server.url)
        assert endpoint == MongoEndpoint(server.url, f"{name} at TEST_MONGO_URL", is_mongodb)
    assert not (tmp_path / "unused").exists()


def test_a_nats_url_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nats_factory: NatsFactory) -> None:
    """TEST_NATS_URL is used as it is."""
    server = nats_factory()
    monkeypatch.setenv("TEST_NATS_URL", server.url)
    monkeypatch.delenv("TEST_NATS_MONITORING_URL", raising=False)
    with open_nats(tmp_path / "unused") as endpoint:
        assert endpoint == NatsEndpoint(server.url, None, "the server at TEST_NATS_URL")
    assert not (tmp_path / "unused").exists()


async def test_a_nats_that_somebody_uses_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nats_factory: NatsFactory
) -> None:
    """The tests delete all streams, so a server with streams is never taken."""
    server = nats_factory()
    client = await nats.connect(server.url)
    await client.jetstream().add_stream(name="PRECIOUS", subjects=["precious"])
    await client.close()
    monkeypatch.setenv("TEST_NATS_URL", server.url)
    with pytest.raises(pytest.UsageError, match="PRECIOUS"), open_nats(tmp_path):
        pass


def test_without_an_engine_the_programs_of_the_machine_serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no engine answers, the choice goes on and keeps the reason."""
    monkeypatch.setenv("TEST_BACKEND", "auto")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.delenv("TEST_NATS_URL", raising=False)
    docker._engine_lacks.cache_clear()
    try:
        with open_nats(tmp_path / "nats") as endpoint:
            assert "(program of this machine); no Docker engine answers" in endpoint.label
    finally:
        docker._engine_lacks.cache_clear()


def test_a_given_server_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wrong address is told by the variable's name and without its password; nothing else is chosen instead."""
    nobody = f"user:secret@127.0.0.1:{free_port()}"
    monkeypatch.setenv("TEST_NATS_URL", f"nats://{nobody}")
    monkeypatch.setenv("TEST_MONGO_URL", f"mongodb://{nobody}/")
    for opened, variable in ((open_nats, "TEST_NATS_URL"), (open_mongo, "TEST_MONGO_URL")):
        with pytest.raises(pytest.UsageError, match=f"no server answers at {variable}") as raised, opened(tmp_path):
            pass
        assert "secret" not in str(raised.value)
