"""The whole product, as `inkwire up` starts it, for tests that meet it as a user does."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from inkwire_chassis.auth import KeyRing
from inkwire_chassis.clock import SystemClock, new_id
from tests.support.processes import ManagedProcess, process_exists
from tests.support.sim import SimServer
from tests.support.wait import eventually_sync

ROOT: Final = Path(__file__).parents[2]
READY: Final = r"Inkwire is ready: (http://\S+)"


class Stack:
    """A running Inkwire: its launcher, its public address and its data folder."""

    def __init__(self, data: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.data = data
        argv = [sys.executable, "-m", "inkwire", "up", "--port", "0", "--data", str(data), *options]
        self.process = ManagedProcess("up", argv, env=env, cwd=ROOT)
        self.url = ""

    def start(self) -> "Stack":
        """Start it and wait until it is ready."""
        self.process.start()
        self.url = self.process.wait_line(READY, timeout_s=120).group(1)
        return self

    @property
    def state(self) -> dict[str, str]:
        """What the running one tells other commands."""
        return dict(json.loads((self.data / "running.json").read_text()))

    def pid_of(self, part: str) -> int:
        """Process id of the first part whose command line holds a word, such as ``inkwire_gateway``."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, ValueError):
                continue
            if part in command and parent == self.process.pid:
                return int(entry.name)
        raise LookupError(part)

    def mint(self, subject: str, *, name: str = "") -> str:
        """A token of somebody, signed with this Inkwire's own keys."""
        keys = KeyRing.parse((self.data / "secrets" / "jwt_keys").read_text().strip(), "inkwire")
        return keys.mint(subject, now=SystemClock().now(), lifetime_s=3_600, jti=new_id(), name=name)

    async def request(self, method: str, path: str, *, subject: str = "local", **arguments: Any) -> Any:
        """One call of the API in somebody's name; what it answers as JSON, or None where it answers nothing."""
        headers = {"Authorization": f"Bearer {self.mint(subject)}"}
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.request(method, self.url + path, headers=headers, **arguments) as answer,
        ):
            body = await answer.read()
            assert answer.status < 400, body
            return json.loads(body) if body else None

    def readyz(self, part: str) -> str:
        """Readiness address of a service, such as ``gateway``, from the settings it was started with."""
        return f"http://127.0.0.1:{self._setting(part, rf'INKWIRE_{part.upper()}_(HEALTH_)?PORT')}/readyz"

    @property
    def sim(self) -> SimServer:
        """The simulator that it started."""
        return SimServer.of(self._setting("generator", "OPENAI_BASE_URL"))

    def _setting(self, part: str, name: str) -> str:
        """A setting that a service was started with; ``name`` is a pattern."""
        environment = Path(f"/proc/{self.pid_of(f'inkwire_{part}.main')}/environ").read_bytes().decode().split("\0")
        return next(line.partition("=")[2] for line in environment if re.match(f"{name}=", line))

    def lose_broker_volume(self) -> None:
        """Kill the broker and empty its folder before it starts again; the launcher stands still meanwhile."""
        self.process.pause()
        try:
            pid = self.pid_of("nats-server")
            os.kill(pid, 9)
            eventually_sync(lambda: not process_exists(pid), what="the broker is gone")
            shutil.rmtree(self.data / "nats")
        finally:
            self.process.resume()

    def kill9(self, part: str) -> None:
        """Kill one part of ours, by its process id."""
        os.kill(self.pid_of(part), 9)


@contextmanager
def running_stack(data: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Stack]:
    """Start Inkwire for the length of a block; its log is printed if the block fails."""
    stack = Stack(data, *options, env=env)
    try:
        yield stack.start()
    except BaseException:
        print(stack.process.log)
        raise
    finally:
        if stack.process.running:
            stack.process.term()
