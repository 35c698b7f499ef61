""".env.example names every variable that a service reads, with its default."""

import re

from inkwire_chassis.settings import PROXY_NAMES, unknown_names
from tests.contract.env_example import COMMAND, PATH, render, settings_classes


def test_env_example_is_complete() -> None:
    """The file says what the settings classes say; the message holds the command that writes it anew."""
    written = PATH.read_text(encoding="utf-8").splitlines()
    wanted = render().splitlines()
    missing = [line for line in wanted if line not in written]
    stale = [line for line in written if line not in wanted]
    assert written == wanted, f"\nmissing: {missing}\nstale: {stale}\nwrite it anew: {COMMAND}"


def test_no_service_takes_a_setting_for_misspelt() -> None:
    """All may be set for all services: each knows its own, and keeps quiet about those of the others."""
    names = set(re.findall(r"^#(\w+)=", PATH.read_text(encoding="utf-8"), re.MULTILINE))
    assert len(names) > 100
    names |= {f"{name}_FILE" for name in names} | PROXY_NAMES
    for service, cls in settings_classes():
        assert list(unknown_names(cls, names)) == [], service
