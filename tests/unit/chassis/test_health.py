"""Health: alive is not ready, and readiness names what is missing."""

import json

from inkwire_chassis.health import Health, Unready
from inkwire_chassis.http import health_answer


async def good() -> None:
    return None


async def bad() -> None:
    raise ConnectionError("secret-host refused")


async def test_ready_when_every_dependency_answers() -> None:
    """All probes good: ready, each by name."""
    health = Health("thing", {"nats": good, "store": good})
    assert await health.ready() == (True, {"nats": "ok", "store": "ok"})


async def test_a_broken_dependency_is_named_without_its_secrets() -> None:
    """The answer has the kind of the error, not its text."""
    health = Health("thing", {"nats": good, "store": bad})
    status, body = await health_answer(health, "/readyz")
    assert status == 503
    assert json.loads(body)["checks"] == {"nats": "ok", "store": "ConnectionError"}
    assert b"secret-host" not in body


async def test_a_reason_that_is_meant_for_people_is_shown() -> None:
    """What a probe says on purpose stands in the answer."""

    async def unready() -> None:
        raise Unready("stream EVENTS is missing: run `inkwire provision`")

    _, checks = await Health("thing", {"streams": unready}).ready()
    assert checks == {"streams": "stream EVENTS is missing: run `inkwire provision`"}


async def test_alive_does_not_ask_dependencies() -> None:
    """A process whose broker is away is not restarted for it."""
    status, _ = await health_answer(Health("thing", {"nats": bad}), "/livez")
    assert status == 200


async def test_draining_is_not_ready() -> None:
    """A stopping process gets nobody new."""
    health = Health("thing", {"nats": good}, draining=True)
    ready, checks = await health.ready()
    assert not ready
    assert checks["process"] == "draining"


async def test_other_addresses_are_not_found() -> None:
    """There is nothing else to see."""
    status, _ = await health_answer(Health("thing"), "/secrets")
    assert status == 404


async def test_a_note_is_told_and_makes_nobody_unready() -> None:
    """What does not count is said by its own words beside the dependencies."""
    health = Health("test")
    health.add("nats", good)
    health.add_note("log", _full)
    assert await health.ready() == (True, {"log": "83% full", "nats": "ok"})


async def _full() -> None:
    raise Unready("83% full")
