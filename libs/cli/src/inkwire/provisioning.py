"""Streams and consumers of a broker, made or checked from the command line."""

from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.nats_connection import connected
from inkwire_chassis.provisioning import provision, verify
from inkwire_contracts.topology import Topology, topology

EVENTS_MAX_BYTES = 256 * 1024**2
"""Reserved on disk for the log of a local Inkwire."""

CONVERSATIONS_MAX_BYTES = 32 * 1024**2


def local_topology() -> Topology:
    """Sizes for one machine."""
    return topology(events_max_bytes=EVENTS_MAX_BYTES, conversations_max_bytes=CONVERSATIONS_MAX_BYTES)


async def provision_local(nats_url: str) -> list[str]:
    """Create the streams and consumers of a local Inkwire; one line for each thing made or changed."""
    return await provision_at(nats_url, local_topology())


async def provision_at(nats_url: str, plan: Topology) -> list[str]:
    """Bring a broker to the plan; waits for the broker for as long as it takes.

    Raises:
        BrokerError: the broker refused.
    """
    async with connected(nats_url, "provision") as client:
        jetstream = JetStream(client)
        await jetstream.start()
        return await provision(jetstream, plan)


async def verify_at(nats_url: str, plan: Topology) -> None:
    """Check a broker without changing it.

    Raises:
        Drift: something is missing or different.
        BrokerError: the broker did not answer.
    """
    async with connected(nats_url, "provision") as client:
        jetstream = JetStream(client)
        await jetstream.start()
        await verify(jetstream, plan, consumers=tuple(consumer.durable for consumer in plan.consumers))
