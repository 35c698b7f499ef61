"""What the gateway tells a monitor (docs/operations.md, Metrics of the gateway): read when it asks, never kept ready.

Nothing here goes through the connections: ten thousand of them would hold the fan-out up.
"""

from collections.abc import Iterable, Iterator, Mapping

from nats.aio.client import Client as NatsClient

from inkwire_chassis.health import Health
from inkwire_chassis.metrics import Buckets, Family, counter, gauge, histogram
from inkwire_contracts.close_codes import CLOSE_CODES
from inkwire_gateway.adapters.server import GatewayServer
from inkwire_gateway.counters import LAG_BUCKETS_S, REFUSALS, SOURCES
from inkwire_gateway.hub import Hub

PREFIX = "inkwire_gateway"
KINDS = ("post", "user", "conversation", "reply", "presence")
CODES = tuple(dict.fromkeys([1002, 1007, *(row.code for row in CLOSE_CODES.values())]))
"""Close codes that this process sends: those of the table, and the library's own for frames that are none."""
OTHER = "other"


class GatewayMetrics:
    """Turns counts and live state into metrics; labels have no value that is not in a table of ours."""

    def __init__(self, hub: Hub, server: GatewayServer, client: NatsClient, health: Health) -> None:
        self._hub = hub
        self._server = server
        self._client = client
        self._health = health

    def collect(self) -> Iterator[Family]:
        """See :data:`inkwire_chassis.metrics.Collect`."""
        yield from self._connections()
        yield from self._channels()
        yield from self._fan_out()
        yield from self._joins()
        yield from self._broker()

    def _connections(self) -> Iterator[Family]:
        server, counters = self._server, self._hub.counters
        states = {
            "handshaking": len(server.handshakes),
            "open": len(server.clients) - server.closing,
            "closing": server.closing,
        }
        yield gauge(f"{PREFIX}_connections", "Connections, by state.", states, "state")
        yield gauge(f"{PREFIX}_connections_limit", "Connections that may be open.", server.limits.max_connections)
        yield counter(f"{PREFIX}_handshakes_total", "Opening handshakes that were completed.", counters.handshakes)
        closes = _within(CODES, counters.closes)
        yield counter(f"{PREFIX}_closes_total", "Connections closed from here, by close code.", closes, "code")
        refusals = _within(REFUSALS, counters.refusals)
        yield counter(f"{PREFIX}_refusals_total", "Handshakes and frames refused, by reason.", refusals, "reason")
        yield gauge(f"{PREFIX}_draining", "1 while readers are moved away, before the end.", int(self._health.draining))

    def _channels(self) -> Iterator[Family]:
        found: dict[str, list[int]] = {}  # kind -> channels, readers, bytes; plain, as there may be ten thousand
        stalled = 0
        for channel in self._hub.channels.values():
            kind = channel.name.partition(":")[0]
            sums = found.get(kind) or found.setdefault(kind, [0, 0, 0])
            sums[0] += 1
            sums[1] += len(channel.subscriptions)
            sums[2] += channel.ring.size_bytes
            stalled += channel.stalled and channel.in_use
        channels, subscriptions = ({kind: sums[n] for kind, sums in found.items()} for n in range(2))
        ring_bytes = sum(sums[2] for sums in found.values())
        yield gauge(f"{PREFIX}_channels", "Channels in memory, by kind.", _within(KINDS, channels), "kind")
        meaning = "Channels with readers whose last comparison with the log met no answer."
        yield gauge(f"{PREFIX}_channels_stalled", meaning, stalled)
        by_kind = _within(KINDS, subscriptions)
        yield gauge(f"{PREFIX}_subscriptions", "Readers of channels, by the channel's kind.", by_kind, "kind")
        yield gauge(f"{PREFIX}_ring_bytes", "Recent events kept for readers who fall behind or come back.", ring_bytes)

    def _fan_out(self) -> Iterator[Family]:
        counters, waiting = self._hub.counters, self._server.waiting
        yield from self._events()
        totals = (
            ("events", "Live messages taken in.", counters.events),
            ("merged_frames", "Frames made of several events.", counters.merged_frames),
            ("catch_up_frames", "Frames of how things stand: snapshots, texts, lists.", counters.catch_up_frames),
            ("catch_up_bytes", "Bytes of those frames.", counters.catch_up_bytes),
            ("fell_behind", "Times that a reader's socket was full.", counters.fell_behind),
            ("resyncs", "Snapshots for readers who had one before.", counters.resyncs),
        )
        yield from _counters(totals)
        meaning = "From the broker's storing an event to its hand-over to sockets; some 20 samples a second."
        spread = Buckets(LAG_BUCKETS_S, counters.lags, counters.lag_s)
        yield histogram(f"{PREFIX}_event_to_socket_seconds", meaning, spread)
        yield gauge(f"{PREFIX}_readers_behind", "Connections whose socket is full.", len(waiting))
        yield gauge(
            f"{PREFIX}_queue_bytes", "What waits in this process for those, at the last look.", waiting.total_bytes
        )
        yield gauge(f"{PREFIX}_queue_limit_bytes", "How much may wait.", self._server.limits.max_waiting_bytes)

    def _events(self) -> Iterator[Family]:
        """What readers were given of events, by whether they keep up."""
        c = self._hub.counters
        rows = (
            ("deliveries", "Events readers got; a merged frame counts for each.", c.deliveries, c.behind_deliveries),
            ("frames", "Frames of events handed to readers.", c.frames, c.behind_frames),
            ("frame_bytes", "Bytes of those frames.", c.frame_bytes, c.behind_bytes),
        )
        for name, meaning, current, behind in rows:
            values = {"current": current, "behind": behind}
            yield counter(f"{PREFIX}_{name}_total", meaning, values, "reader")

    def _joins(self) -> Iterator[Family]:
        counters = self._hub.counters
        joins = {"memory": counters.joins_from_memory, "loaded": counters.joins_loaded}
        yield counter(f"{PREFIX}_joins_total", "Subscribes, by whether something had to be read.", joins, "source")
        loads = {"log": counters.loads_from_log, "store": counters.loads_from_store}
        yield counter(f"{PREFIX}_loads_total", "Posts read, by where from.", loads, "source")
        resumes = _within(SOURCES, counters.resumes)
        meaning = "Readers who came back with a position, by where what they follow was read."
        yield counter(f"{PREFIX}_resumes_total", meaning, resumes, "source")
        totals = (
            ("recovered", "Readers who came back and got only what was newer.", counters.recovered),
            ("gaps", "Live messages that did not follow.", counters.gaps),
            ("repairs", "Times that missing events were read from the log.", counters.repairs),
        )
        yield from _counters(totals)

    def _broker(self) -> Iterator[Family]:
        stats = self._client.stats
        yield gauge(f"{PREFIX}_nats_connected", "1 while connected to NATS.", int(self._client.is_connected))
        totals = (
            ("nats_reconnects", "Times that the connection to NATS came back.", stats["reconnects"]),
            ("nats_received_messages", "Messages from NATS, answers to requests included.", stats["in_msgs"]),
            ("nats_received_bytes", "Their payloads.", stats["in_bytes"]),
        )
        yield from _counters(totals)


def _counters(totals: Iterable[tuple[str, str, int]]) -> Iterator[Family]:
    for name, meaning, value in totals:
        yield counter(f"{PREFIX}_{name}_total", meaning, value)


def _within(known: Iterable[object], counts: Mapping[str, int] | Mapping[int, int]) -> dict[str, int]:
    """Counts by all known names, also of what never happened; whatever else there is comes together as one."""
    found = {str(name): 0 for name in known}
    for name, count in counts.items():
        label = str(name) if str(name) in found else OTHER
        found[label] = found.get(label, 0) + count
    return found
