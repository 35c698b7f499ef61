"""What a run says about its servers, and when a missing one fails it."""

import pytest

from tests.support import docker
from tests.support.report import RunReport, required_things, skip_lines


def test_a_run_names_what_it_used() -> None:
    """Each thing has a line, also if no test asked for it; a thing used twice under one name has one."""
    report = RunReport()
    report.use("mongo", "FerretDB 1 (not MongoDB)")
    report.use("mongo", "FerretDB 1 (not MongoDB); no Docker")
    report.use("mongo", "FerretDB 1 (not MongoDB)")
    report.use("mongo", "MongoDB 8")
    assert list(report.lines()) == [
        "nats: not asked for by the tests of this run",
        "mongo: FerretDB 1 (not MongoDB); no Docker",
        "mongo: MongoDB 8",
        "browser: not asked for by the tests of this run",
    ]


def test_what_is_missing_skips_the_test() -> None:
    """A thing that nobody requires skips with its reason, and the run says so."""
    report = RunReport()
    with pytest.raises(pytest.skip.Exception, match="no browser: not installed"):
        report.missing("browser", "not installed")
    assert "browser: MISSING, not installed" in list(report.lines())


def test_what_is_required_and_missing_fails_the_test() -> None:
    """A required thing fails, and the failure names the variable that requires it."""
    report = RunReport(frozenset({"browser"}))
    with pytest.raises(pytest.fail.Exception, match="INKWIRE_TEST_REQUIRE requires: not installed"):
        report.missing("browser", "not installed")


def test_the_variable_lists_what_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are separated by commas; blanks and an empty value are allowed."""
    monkeypatch.setenv("INKWIRE_TEST_REQUIRE", " nats, mongo,")
    assert required_things() == {"nats", "mongo"}
    monkeypatch.setenv("INKWIRE_TEST_REQUIRE", "")
    assert required_things() == frozenset()


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip of the pen must not switch the requirement off."""
    monkeypatch.setenv("INKWIRE_TEST_REQUIRE", "nats,mongodb")
    with pytest.raises(pytest.UsageError, match="mongodb"):
        required_things()


def test_an_unknown_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """TEST_BACKEND takes three words."""
    monkeypatch.setenv("TEST_BACKEND", "podman")
    with pytest.raises(pytest.UsageError, match="podman"):
        docker.backend()


def test_embedded_never_asks_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """TEST_BACKEND=embedded is the reason itself; no engine is looked for (a unit test could not reach one)."""
    monkeypatch.setenv("TEST_BACKEND", "embedded")
    assert docker.reason_against("nats") == "TEST_BACKEND=embedded"


def test_skips_are_counted_by_reason() -> None:
    """One line for each reason, the most frequent first."""
    skips = [_skip("no browser: none"), _skip("no mongo: none"), _skip("no browser: none")]
    assert list(skip_lines(skips)) == ["skipped 2: no browser: none", "skipped 1: no mongo: none"]


def _skip(reason: str) -> pytest.TestReport:
    where = ("test_x.py", 1, f"Skipped: {reason}")
    return pytest.TestReport("test_x.py::test", ("test_x.py", 1, "test"), {}, "skipped", where, "setup")
