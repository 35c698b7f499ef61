"""Listens, can refuse connections for a while, and stops within a second."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from inkwire_openai_sim.app import create_app
from inkwire_openai_sim.state import Simulator

STOP_GRACE_S: Final = 0.2  # running answers are cut after this
BACKLOG: Final = 1_024


class Server:
    """One simulator behind one port. `run` returns after `stop`."""

    def __init__(self, simulator: Simulator, host: str, port: int) -> None:
        self._simulator, self.host, self.port = simulator, host, port
        self._runner = web.AppRunner(
            create_app(simulator), handler_cancellation=True, access_log=None, shutdown_timeout=STOP_GRACE_S
        )
        self._listener: asyncio.Server | None = None
        self._changed = asyncio.Event()
        self._refuse_s = 0.0
        self._stopping = False

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL; valid after `start`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/v1"

    async def start(self) -> None:
        """Listen; port 0 becomes the port that the system chose. Raises OSError where the port is taken."""
        await self._runner.setup()
        self._simulator.refuse = self._refuse
        await self._listen()

    async def _listen(self) -> None:
        web_server = self._runner.server
        if web_server is None:
            raise RuntimeError("start() comes first")
        connections = self._simulator.connections
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: connections.watch(web_server), self.host, self.port, backlog=BACKLOG
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    def _refuse(self, seconds: float) -> None:
        if self._listener is not None:
            self._listener.close()
        self._refuse_s = seconds
        self._changed.set()

    def stop(self) -> None:
        """Ask `run` to return; may be called any number of times."""
        self._stopping = True
        self._changed.set()

    async def run(self) -> None:
        """Serve until `stop`, then close everything."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._stopping:
                    return
                await self._refusing()
        finally:
            await self.close()

    async def _refusing(self) -> None:
        """Wait out the pause, then listen again; another call or a stop while it lasts is left to `run`."""
        seconds, self._refuse_s = self._refuse_s, 0.0
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            await self._listen()

    async def close(self) -> None:
        """Stop listening and end what still runs. Idempotent."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._runner.cleanup()
