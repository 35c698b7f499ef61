"""What happened in this process, for operators, benchmarks and tests. Plain numbers: the fan-out adds to them.

How they are published is adapters' business (``inkwire_gateway_*`` metrics, docs/operations.md).
"""

from collections import Counter
from dataclasses import dataclass, field

LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram of the time from event to socket; what is above has a bucket of its own."""

SOURCES = ("memory", "log", "store")
"""Where what a reader follows came from: it was here, the log was read, or the store alone was."""

FRAME_REFUSALS = ("too_many_channels", "rate_limited")
"""Limits at which a client's frame is answered by an error, and the connection stays."""

REFUSALS = (
    *("too_many_handshakes", "handshake_unfinished", "handshake_too_large", "no_websocket", "subprotocol"),
    *("path", "host", "origin", "draining"),
    *FRAME_REFUSALS,
)
"""Why there was no connection, or a frame was not obeyed."""


@dataclass(slots=True)
class Counters:
    """Everything only grows."""

    events: int = 0
    """Live messages taken in."""
    deliveries: int = 0
    """Events handed to readers who keep up; one merged frame counts as many as it stands for."""
    frames: int = 0
    """Frames of events handed to those."""
    frame_bytes: int = 0
    """Bytes of those frames, as they go to sockets."""
    behind_deliveries: int = 0
    """Events that readers who are behind, or came back, were given from memory; not what a snapshot stands for."""
    behind_frames: int = 0
    behind_bytes: int = 0
    catch_up_frames: int = 0
    """Frames of how things stand: snapshots, texts, lists, and the words before and after them."""
    catch_up_bytes: int = 0
    merged_frames: int = 0
    """Frames that stand for more than one event: once for all who keep up, and for each of the others."""
    joins_loaded: int = 0
    """Readers for whom log or store had to be read."""
    joins_from_memory: int = 0
    """Readers for whom nothing had to be read."""
    loads_from_log: int = 0
    """Posts that were read from the log."""
    loads_from_store: int = 0
    """Posts that were read from the store alone."""
    resumes: Counter[str] = field(default_factory=Counter)
    """Readers of posts, answers and conversations who came back with a position: see ``SOURCES``."""
    recovered: int = 0
    """Readers who came back with a position and got only what was newer."""
    resyncs: int = 0
    """Snapshots for readers who had one before: they fell too far behind, or the post was read anew."""
    gaps: int = 0
    repairs: int = 0
    fell_behind: int = 0
    """How often a reader's socket was full, so that it left the fan-out."""
    closes: Counter[int] = field(default_factory=Counter)
    """Connections that this process closed, by close code."""
    refusals: Counter[str] = field(default_factory=Counter)
    """What was refused at a limit without closing, or before there was anything to close, by a short reason."""
    handshakes: int = 0
    """Connections whose opening handshake was completed."""
    lag_s: float = 0.0
    """Sum of the sampled times from an event's storage to its hand-over to the sockets."""
    lags: list[int] = field(default_factory=lambda: [0] * (len(LAG_BUCKETS_S) + 1))
    """How many of those samples fell into each bucket."""

    def count_piece(self, size_bytes: int, events: int) -> None:
        """A frame is on its way to one reader who does not keep up; without ``events`` it tells how things stand."""
        if not events:
            self.catch_up_frames += 1
            self.catch_up_bytes += size_bytes
            return
        self.behind_deliveries += events
        self.behind_frames += 1
        self.behind_bytes += size_bytes
        self.merged_frames += events > 1
