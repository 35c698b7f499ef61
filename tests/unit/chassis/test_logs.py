"""Logs: what people and machines may see of what others sent."""

import json

import pytest

from inkwire_chassis import logs


@pytest.mark.parametrize("path", ["/\x1b[2Jgone", "/a\x9b31m", "/two\nlines", "/\x07", "/\u2028"], ids=ascii)
def test_nobodys_text_steers_the_terminal(capsys: pytest.CaptureFixture[str], path: str) -> None:
    """Control characters of a value are written out, so a request cannot clear a screen or forge a line."""
    logs.configure("thing", form="human")
    logs.get_logger().info("request", path=path)
    written = capsys.readouterr().err
    assert written.count("\n") == 1 and "path=" in written
    assert not {character for character in written.rstrip("\n") if not character.isprintable()}


def test_json_keeps_what_was_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """One line of JSON that decodes to the very value."""
    logs.configure("thing", form="json")
    logs.get_logger().info("request", path="/\x1b[2J\n", token="t")
    line = json.loads(capsys.readouterr().err)
    assert (line["path"], line["token"], line["service"]) == ("/\x1b[2J\n", "***", "thing")
