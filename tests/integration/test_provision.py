"""What an operator chooses at the broker stays chosen."""

from inkwire.provisioning import Sizes, provision_at
from inkwire_contracts.topology import EVENTS, JOBS, PERSISTER_DURABLE, topology
from inkwire_generator.adapters.jobs import JobQueue
from tests.support.log import connect_log

SMALL = Sizes(events_max_bytes=8 * 1024**2, conversations_max_bytes=1024**2)


async def test_a_lease_that_was_chosen_is_kept(nats_url: str) -> None:
    """Workers see it on every lane; provisioning again without it changes nothing, and with another one changes it."""
    jobs = len([consumer for consumer in topology().consumers if consumer.stream == JOBS])
    await provision_at(nats_url, Sizes(8 * 1024**2, 1024**2, lease_s=2.5))
    async with connect_log(nats_url) as log:
        queue = JobQueue(log.jetstream, ["general"])
        assert await queue.lease_s(timeout_s=5.0) == 2.5
        assert await provision_at(nats_url, SMALL) == []
        assert len(await provision_at(nats_url, Sizes(lease_s=7.0))) == jobs
        assert await queue.lease_s(timeout_s=5.0) == 7.0
        persister = await log.jetstream.api(f"CONSUMER.INFO.{EVENTS}.{PERSISTER_DURABLE}")
        assert persister["config"]["ack_wait"] == 30_000_000_000
