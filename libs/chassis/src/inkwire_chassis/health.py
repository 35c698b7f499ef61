"""Liveness and readiness: alive if the loop turns, ready if every named dependency answers in time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

PROBE_TIMEOUT_S = 1.5
"""All probes are asked at once, so an answer takes no longer; who asks should wait 2 s or more."""


class Unready(Exception):
    """Why a dependency is not usable. The text is shown to whoever asks: it says what to do and names no address."""


Probe = Callable[[], Awaitable[object]]


@dataclass
class Health:
    """A service's probes by the dependency's name."""

    service: str
    probes: dict[str, Probe] = field(default_factory=dict)
    notes: dict[str, Probe] = field(default_factory=dict)
    """What is told beside them and makes nobody unready."""
    draining: bool = False
    """Set while stopping: not ready, so that nobody new is sent here."""
    draining_reason: str = ""
    """Why, where it is not simply the end that somebody asked for."""

    def add(self, name: str, probe: Probe) -> None:
        """Name a dependency; its probe raises when it is not usable."""
        self.probes[name] = probe

    def add_note(self, name: str, probe: Probe) -> None:
        """Name something whose state is told but does not count: without it the service still does most of its work."""
        self.notes[name] = probe

    async def ready(self) -> tuple[bool, dict[str, str]]:
        """Ask every dependency at once; returns overall readiness and a word per dependency."""
        asked = {**self.notes, **self.probes}
        words = await asyncio.gather(*(self._ask(probe) for probe in asked.values()))
        checks = dict(zip(asked, words, strict=True))
        is_ready = all(checks[name] == "ok" for name in self.probes) and not self.draining
        if self.draining:
            checks["process"] = f"draining: {self.draining_reason}" if self.draining_reason else "draining"
        return is_ready, checks

    async def _ask(self, probe: Probe) -> str:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await probe()
        except TimeoutError:
            return "no answer"
        except Unready as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - any failure of a dependency means not ready
            return type(error).__name__
        return "ok"
