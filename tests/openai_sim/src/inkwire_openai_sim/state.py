"""Everything that one running simulator knows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from inkwire_openai_sim.connections import Connections
from inkwire_openai_sim.embedding_request import MODELS as EMBEDDING_MODELS
from inkwire_openai_sim.faults import Faults
from inkwire_openai_sim.limits import Limits, RateWindows
from inkwire_openai_sim.pacing import Speed
from inkwire_openai_sim.request_log import RequestLog

CHAT_MODELS: Final = ("gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini", "gpt-5-mini", "inkwire-sim")


class Simulator:
    """Seed, speed, faults, limits, log. `api_key` None: any key is accepted."""

    def __init__(
        self,
        *,
        seed: int = 1,
        speed: Speed | None = None,
        api_key: str | None = None,
        models: tuple[str, ...] = (),
    ) -> None:
        self.seed = seed
        self.default_speed = speed or Speed()
        self.speed = self.default_speed
        self.api_key = api_key
        self.models = models or (*CHAT_MODELS, *EMBEDDING_MODELS)
        self.strict_models = bool(models)
        self.started_at_s = int(time.time())
        self.faults = Faults(seed)
        self.log = RequestLog()
        self.connections = Connections()
        self.windows = RateWindows(Limits())
        self.refuse: Callable[[float], None] | None = None  # set by the server that owns the listener


SIMULATOR: Final = web.AppKey("simulator", Simulator)
