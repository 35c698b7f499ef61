"""The api as a process: settings, start in any order, stop."""

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.api import KEYS
from tests.support.log import open_log
from tests.support.nats_server import NatsServer
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess, http_status
from tests.support.servers import NatsFactory
from tests.support.wait import eventually

ARGV = [sys.executable, "-m", "inkwire_api.main"]
Keep = Callable[[ManagedProcess], ManagedProcess]


def api_process(folder: Path, port: int, **changes: str) -> ManagedProcess:
    environment = {
        "INKWIRE_API_PORT": str(port),
        "INKWIRE_STORE_URL": f"sqlite:///{folder / 'posts.sqlite3'}",
        "INKWIRE_JWT_KEYS": KEYS,
        **changes,
    }
    return ManagedProcess("api", ARGV, env=environment)


async def answers(port: int, path: str) -> int:
    """The status, without blocking the loop."""
    status, _ = await asyncio.to_thread(http_status, f"http://127.0.0.1:{port}{path}")
    return status


async def test_it_starts_before_its_broker_and_stops_in_order(
    nats_factory: NatsFactory, tmp_path: Path, keep: Keep
) -> None:
    """Started while NATS is away it waits, is ready once streams are there, and ends with 0 on SIGTERM."""
    server: NatsServer = nats_factory()
    server.stop()
    port = free_port()
    process = keep(api_process(tmp_path, port, INKWIRE_NATS_URL=server.url))
    process.start()
    await eventually(lambda: "nats error" in process.log, what="the api finds nobody")
    server.start()
    async with open_log(server.url):

        async def ready() -> bool:
            return await answers(port, "/readyz") == 200

        await eventually(ready, what="the api is ready", timeout_s=30, ignoring=(OSError,))
    assert process.term() == 0
    assert "Traceback" not in process.log


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"INKWIRE_JWT_KEYS": ""}, "INKWIRE_JWT_KEYS"),
        ({"INKWIRE_JWT_KEYS": "k1:short"}, "INKWIRE_JWT_KEYS"),
        ({"INKWIRE_API_PORT": "eighty"}, "INKWIRE_API_PORT"),
        ({"INKWIRE_STORE_URL": "redis://x"}, "INKWIRE_STORE_URL"),
    ],
)
async def test_a_wrong_setting_is_one_line(tmp_path: Path, keep: Keep, wrong: dict[str, str], named: str) -> None:
    """It names the variable, shows no secret, and ends with EX_CONFIG."""
    process = keep(api_process(tmp_path, 0, **wrong))
    process.start()
    await eventually(lambda: not process.running, what="the api has ended")
    assert process.returncode == 78
    assert [line for line in process.lines if line.strip()] == [line for line in process.lines if named in line]
    assert len(process.lines) == 1 and "short" not in process.log.replace("shorter", "")


async def test_a_port_that_is_taken_is_one_line(nats_url: str, tmp_path: Path, keep: Keep) -> None:
    """It names the address and ends with EX_UNAVAILABLE."""
    async with open_log(nats_url):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            process = keep(api_process(tmp_path, port, INKWIRE_NATS_URL=nats_url))
            process.start()
            await eventually(lambda: not process.running, what="the api has ended")
    assert process.returncode == 69
    assert "Traceback" not in process.log
    assert any("cannot start" in line and str(port) in line for line in process.lines)
