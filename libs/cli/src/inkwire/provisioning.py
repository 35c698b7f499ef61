"""Streams and consumers of a broker, made or checked from the command line."""

from dataclasses import dataclass, replace

from inkwire_chassis.jetstream import BrokerError, JetStream
from inkwire_chassis.nats_connection import connected
from inkwire_chassis.provisioning import provision, verify
from inkwire_contracts.topology import ACK_WAIT_S, JOBS, Topology, topology

_NO_STREAM = frozenset({404, 10059})
_NO_CONSUMER = 10014
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """What an operator chooses. None: as it is there already, else the default of the contracts."""

    events_max_bytes: int | None = None
    conversations_max_bytes: int | None = None
    replicas: int | None = None
    lease_s: float | None = None
    """How long a worker may be silent before another takes its jobs; seconds."""


LOCAL = Sizes(events_max_bytes=256 * 1024**2, conversations_max_bytes=32 * 1024**2, replicas=1)
"""For one machine: what is reserved on its disk."""


async def provision_local(nats_url: str) -> list[str]:
    """:func:`provision_at` with the sizes of one machine."""
    return await provision_at(nats_url, LOCAL)


async def provision_at(nats_url: str, sizes: Sizes) -> list[str]:
    """Create or update streams and consumers; one line for each thing made or changed.

    Waits for the broker for as long as it takes.

    Raises:
        BrokerError: the broker refused.
    """
    async with connected(nats_url, "provision") as client:
        jetstream = JetStream(client)
        await jetstream.start()
        return await provision(jetstream, await _plan(jetstream, sizes))


async def verify_at(nats_url: str) -> None:
    """Check a broker without changing it; sizes are its operator's choice.

    Raises:
        Drift: something is missing or different.
        BrokerError: the broker did not answer.
    """
    async with connected(nats_url, "provision") as client:
        jetstream = JetStream(client)
        await jetstream.start()
        plan = topology()
        await verify(jetstream, plan, consumers=tuple(consumer.durable for consumer in plan.consumers))


async def _plan(jetstream: JetStream, sizes: Sizes) -> Topology:
    """The contracts' topology with the sizes that were chosen, now or before."""
    plan = topology(ack_wait_s=sizes.lease_s or await _lease_s(jetstream) or ACK_WAIT_S)
    chosen = {"EVENTS": sizes.events_max_bytes, "CONVERSATIONS": sizes.conversations_max_bytes}
    streams = []
    replicas = sizes.replicas
    for stream in plan.streams:
        have = await _existing(jetstream, stream.name)
        if stream.max_bytes is not None:
            stream = replace(stream, max_bytes=chosen.get(stream.name) or have.get("max_bytes") or stream.max_bytes)
        replicas = replicas or have.get("num_replicas")
        streams.append(stream)
    return replace(plan, streams=tuple(streams), replicas=replicas or plan.replicas)


async def _lease_s(jetstream: JetStream) -> float | None:
    """The lease of jobs as it is at the broker; None where there are none yet."""
    durable = next(consumer.durable for consumer in topology().consumers if consumer.stream == JOBS)
    try:
        config = (await jetstream.api(f"CONSUMER.INFO.{JOBS}.{durable}"))["config"]
    except BrokerError as error:
        if error.code in _NO_STREAM | {_NO_CONSUMER}:
            return None
        raise
    return float(config["ack_wait"]) / _SECOND_NS


async def _existing(jetstream: JetStream, stream: str) -> dict[str, int]:
    try:
        config = (await jetstream.api(f"STREAM.INFO.{stream}"))["config"]
    except BrokerError as error:
        if error.code in _NO_STREAM:
            return {}
        raise
    return {name: config[name] for name in ("max_bytes", "num_replicas") if config.get(name, 0) > 0}
