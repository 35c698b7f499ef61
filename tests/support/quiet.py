"""What a server under test may not do in its logs: report a fault of its own."""

import logging

import pytest


def faults_logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Errors and stack traces that were logged or printed; read in the tear-down of a test."""
    records = [*caplog.get_records("call"), *caplog.get_records("teardown")]
    logged = [r.getMessage() for r in records if r.levelno >= logging.ERROR or r.exc_info]
    printed = capsys.readouterr()
    lines = (printed.out + printed.err).splitlines()
    return logged + [line for line in lines if "Traceback" in line or "[error" in line or "[critical" in line]
