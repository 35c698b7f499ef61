"""A gateway that listens nowhere, and what it tells a monitor."""

from nats.aio.client import Client as NatsClient

from inkwire_chassis.auth import KeyRing
from inkwire_chassis.health import Health
from inkwire_chassis.metrics import Metrics
from inkwire_gateway.adapters.metrics import GatewayMetrics
from inkwire_gateway.adapters.server import GatewayServer, ServerLimits
from inkwire_gateway.hub import Hub
from inkwire_gateway.session import SessionLimits
from tests.support.clock import ManualClock


class IdleGateway:
    """Hub, listener and broker's connection, none of them in use."""

    def __init__(self) -> None:
        self.hub = Hub(lambda: None)
        self.health = Health("gateway")
        self.server = GatewayServer(
            hub=self.hub,
            keys=KeyRing.parse(f"k1:{'k' * 40}", "inkwire"),
            clock=ManualClock(),
            health=self.health,
            limits=ServerLimits(max_connections=7, max_waiting_bytes=5_000),
            session_limits=SessionLimits(),
            allowed_origins=(),
        )
        self.client = NatsClient()
        self.gateway_metrics = GatewayMetrics(self.hub, self.server, self.client, self.health)
        self.metrics = Metrics("gateway", self.gateway_metrics.collect)

    def values(self) -> dict[str, float]:
        """Sample -> value; without the common prefix, one label as ``name[value]``."""
        found = {}
        for family in self.gateway_metrics.collect():
            for sample in family.samples:
                label = f"[{','.join(sample.labels.values())}]" if sample.labels else ""
                found[sample.name.removeprefix("inkwire_gateway_") + label] = sample.value
        return found
