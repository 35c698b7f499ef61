"""Numbers of a process for Prometheus: a service keeps plain ints, and they are read when somebody asks.

Names are ``inkwire_<service>_<noun>_<unit>``, counters end in ``_total``. Labels have few values that are known before:
never an owner, a post or a token. Every process has a registry of its own; nothing is global.
"""

import asyncio
import contextlib
import gc
import os
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, make_asgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from inkwire_chassis.health import Health
from inkwire_chassis.http import AsgiApp, Receive, Scope, Send, health_app
from inkwire_chassis.lifecycle import Supervisor

LOOP_SAMPLE_INTERVAL_S = 0.1
LOOP_LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
GC_PAUSE_BUCKETS_S = (0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

Family = Metric
"""One name with its samples, as :func:`counter`, :func:`gauge` and :func:`histogram` make it."""

Collect = Callable[[], Iterable[Family]]


class Buckets:
    """A histogram of plain numbers.

    Args:
        bounds: upper bounds, ascending; what is above the last has a bucket of its own.
        counts: how many values are in each bucket already, not cumulative.
        total: their sum.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float], counts: Sequence[int] = (), total: float = 0.0) -> None:
        self.bounds = tuple(bounds)
        self.counts = list(counts) or [0] * (len(self.bounds) + 1)
        self.total = total

    def observe(self, value: float) -> None:
        """Count one value; a bound belongs to the bucket below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Bounds as text, and how many values are not above each."""
        return list(zip((*(str(float(b)) for b in self.bounds), "+Inf"), accumulate(self.counts), strict=True))


def counter(name: str, meaning: str, value: float | Mapping[str, float], label: str = "") -> Family:
    """A number that only grows, by the values of one label where there is one; ``name`` ends in ``_total``."""
    return _family(CounterMetricFamily(name, meaning, labels=[label] if label else []), value)


def gauge(name: str, meaning: str, value: float | Mapping[str, float], label: str = "") -> Family:
    """A number that comes and goes, by the values of one label where there is one."""
    return _family(GaugeMetricFamily(name, meaning, labels=[label] if label else []), value)


def _family(family: CounterMetricFamily | GaugeMetricFamily, value: float | Mapping[str, float]) -> Family:
    if isinstance(value, Mapping):
        for of, one in value.items():
            family.add_metric([of], one)
    else:
        family.add_metric([], value)
    return family


def histogram(name: str, meaning: str, spread: Buckets | Mapping[str, Buckets], label: str = "") -> Family:
    """How values are spread, by the values of one label where there is one."""
    family = HistogramMetricFamily(name, meaning, labels=[label] if label else [])
    for of, one in spread.items() if isinstance(spread, Mapping) else (("", spread),):
        family.add_metric([of] if label else [], one.cumulative(), one.total)
    return family


class Metrics:
    """All numbers of one process.

    Args:
        service: ends up in the names of what is measured here: ``inkwire_<service>_event_loop_lag_seconds``,
            ``inkwire_<service>_gc_pause_seconds``.
        collects: what the service itself has to tell; called for each answer, in the event loop, so each must be quick.
    """

    def __init__(self, service: str, *collects: Collect) -> None:
        self.registry = CollectorRegistry()
        self.process = ProcessNumbers()
        self.loop_lag = Buckets(LOOP_LAG_BUCKETS_S)
        self.gc_pauses = {str(generation): Buckets(GC_PAUSE_BUCKETS_S) for generation in range(3)}
        self._prefix = f"inkwire_{service}"
        for collect in (self.process.collect, self._collect, *collects):
            self.registry.register(_Collector(collect))

    def _collect(self) -> Iterator[Family]:
        meaning = "How late the event loop is, sampled ten times a second."
        yield histogram(f"{self._prefix}_event_loop_lag_seconds", meaning, self.loop_lag)
        meaning = "How long the garbage collector stopped everything, by generation."
        yield histogram(f"{self._prefix}_gc_pause_seconds", meaning, self.gc_pauses, "generation")

    @contextmanager
    def measuring(self, supervisor: Supervisor) -> Iterator[None]:
        """Measure loop and garbage collector until the block is left."""
        started_s: float | None = None

        def collected(phase: str, info: dict[str, int]) -> None:
            nonlocal started_s
            if phase == "start":
                started_s = time.perf_counter()
            elif started_s is not None:
                self.gc_pauses[str(info["generation"])].observe(time.perf_counter() - started_s)

        sampling = supervisor.spawn("loop lag", self._sample_loop())
        gc.callbacks.append(collected)
        try:
            yield
        finally:
            gc.callbacks.remove(collected)
            sampling.cancel()

    async def _sample_loop(self) -> None:
        while True:
            due_s = time.monotonic() + LOOP_SAMPLE_INTERVAL_S
            await asyncio.sleep(LOOP_SAMPLE_INTERVAL_S)
            self.loop_lag.observe(max(0.0, time.monotonic() - due_s))


class _Collector:
    """What the registry calls. Without ``describe`` nothing is read before somebody asks."""

    def __init__(self, collect: Collect) -> None:
        self.collect = collect


class ProcessNumbers:
    """The standard ``process_*`` metrics, where the system tells them.

    Not the library's: that lists the open files for each answer, which takes 30 ms where there are 10,000.
    """

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        self._proc = proc
        self._open_fds: int | None = None
        self._started_s: float | None = None
        with contextlib.suppress(OSError, ValueError, IndexError):
            self._started_s = self._started()

    async def look(self) -> None:
        """Count the open files: at once on Linux 6.2 and newer, else in a thread."""
        self._open_fds = None
        with contextlib.suppress(OSError):
            folder = self._proc / "fd"
            self._open_fds = os.stat(folder).st_size or len(await asyncio.to_thread(os.listdir, folder))

    def collect(self) -> Iterator[Family]:
        """See :data:`Collect`; the open files as they were at the last :meth:`look`."""
        used = os.times()
        yield counter("process_cpu_seconds_total", "Processor time, of user and system.", used.user + used.system)
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = (self._proc / "statm").read_text(encoding="ascii").split()
            size_bytes = os.sysconf("SC_PAGE_SIZE")
            yield gauge("process_resident_memory_bytes", "Memory in use.", int(pages[1]) * size_bytes)
            yield gauge("process_virtual_memory_bytes", "Address space in use.", int(pages[0]) * size_bytes)
        if self._started_s is not None:
            yield gauge("process_start_time_seconds", "When it started, since 1970.", self._started_s)
        if self._open_fds is not None:
            yield gauge("process_open_fds", "Open files and sockets.", self._open_fds)
        if sys.platform != "win32":
            import resource

            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            if limit != resource.RLIM_INFINITY:
                yield gauge("process_max_fds", "How many may be open.", limit)

    def _started(self) -> float:
        """From ticks after the machine's start."""
        after_name = (self._proc / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        booted_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else 0.0
        return booted_s + int(after_name[19]) / os.sysconf("SC_CLK_TCK")


def admin_app(health: Health, metrics: Metrics) -> AsgiApp:
    """``/livez``, ``/readyz`` and ``/metrics``, for a port that only operators reach."""
    others = health_app(health)
    # Uncompressed: deflating for a neighbour costs the loop more than the bytes cost the network.
    exposition: Any = make_asgi_app(metrics.registry, disable_compression=True)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/metrics":
            await others(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            headers = [(b"allow", b"GET, HEAD"), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 405, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        else:
            await metrics.process.look()
            await exposition(scope, receive, send)

    return app
