"""The services as programs: what they say of themselves, and what they refuse."""

from importlib import import_module
from typing import Final

import pytest

SERVICES: Final = ("api", "gateway", "generator", "persister")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_explains_itself_and_does_not_start(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` tells what the program does, where its settings are told, and how it ends."""
    with pytest.raises(SystemExit) as end:
        import_module(f"inkwire_{name}.main").main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert f"usage: python -m inkwire_{name}.main" in text
    assert "(INKWIRE_" in text
    assert ".env.example" in text
    assert "78 a setting is wrong" in text


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_refuses_what_it_does_not_know(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped or invented option ends with 2 and is named; nothing is started as if it had not been there."""
    with pytest.raises(SystemExit) as end:
        import_module(f"inkwire_{name}.main").main(["--port", "9000"])
    assert end.value.code == 2
    assert "unrecognized arguments: --port 9000" in capsys.readouterr().err
