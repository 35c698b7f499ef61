"""The log is made anew under a gateway whose connection to the broker stays."""

from pathlib import Path

from inkwire_chassis.provisioning import provision
from inkwire_contracts.topology import EVENTS, topology
from tests.integration.gateway_support import EVENTS_MAX_BYTES, Author, reader, token, world
from tests.support.nats_server import NatsServer
from tests.support.wait import eventually


async def test_posts_of_a_log_made_anew_are_followed_after_an_outage(tmp_path: Path) -> None:
    """An operator deletes the stream and provisions again, hours after a restart of the broker: readers go on."""
    broker = NatsServer(tmp_path / "broker").start()
    try:
        async with world(broker.url, tmp_path) as w, reader(w.port, token()) as client:
            before = Author(w.log)
            await before.whole()
            await client.follow(before.channel)
            broker.stop()
            await eventually(lambda: not w.gateway.channels._desk.certain.is_set(), what="the outage is noticed")
            broker.start()
            await eventually(lambda: w.gateway.channels._desk.post_epoch, what="the logs are compared")
            await w.log.jetstream.api(f"STREAM.DELETE.{EVENTS}")
            plan = topology(events_max_bytes=EVENTS_MAX_BYTES, conversations_max_bytes=1024**2)
            await provision(w.log.jetstream, plan)
            after = Author(w.log)
            await after.begin("s")
            await after.open_section("s")
            await client.follow(after.channel)
            await after.chunk("in the new log")
            await after.complete()
            await after.publish()
            assert (await client.read_to_end(after.channel)).sections[0].text == "in the new log"
            assert client.positions[after.channel]["epoch"] == await w.log.epoch() and client.exact
    finally:
        broker.stop()
