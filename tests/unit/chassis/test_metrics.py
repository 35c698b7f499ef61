"""Numbers of a process as Prometheus reads them."""

import asyncio
import gc
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from inkwire_chassis.health import Health
from inkwire_chassis.lifecycle import Supervisor
from inkwire_chassis.metrics import Buckets, Metrics, ProcessNumbers, admin_app, counter, gauge, histogram
from tests.support.wait import eventually

needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system has no /proc")

Answer = tuple[int, dict[bytes, bytes], str]


async def _ask(
    metrics: Metrics, path: str = "/metrics", *, method: str = "GET", health: Health | None = None, **headers: str
) -> Answer:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "method": method, "headers": fields, "query_string": b""}
    await admin_app(health or Health("test"), metrics)(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"].decode()


def _values(text: str) -> dict[str, float]:
    """Sample -> value; labels as Prometheus writes them."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def test_numbers_are_read_when_somebody_asks() -> None:
    """Each answer has the numbers as they are at that moment, with type and meaning."""
    texts = {"posts": 3}
    metrics = Metrics(
        "test",
        lambda: [
            counter("inkwire_test_posts_total", "Posts\nwritten.", texts["posts"]),
            gauge("inkwire_test_readers", "Readers.", {"open": 2, 'a"b': 1}, "state"),
        ],
    )
    _, headers, text = await _ask(metrics)
    assert headers[b"Content-Type"].startswith(b"text/plain")
    assert "# TYPE inkwire_test_posts_total counter\n" in text
    assert "# HELP inkwire_test_posts_total Posts\\nwritten.\n" in text
    assert _values(text)["inkwire_test_posts_total"] == 3
    assert _values(text)['inkwire_test_readers{state="a"b"}'] == 1
    texts["posts"] = 5
    assert _values((await _ask(metrics))[2])["inkwire_test_posts_total"] == 5


async def test_openmetrics_where_it_is_asked_for() -> None:
    """A monitor that prefers OpenMetrics gets it, and it parses."""
    metrics = Metrics("test", lambda: [counter("inkwire_test_posts_total", "Posts.", 3)])
    accepted = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3"
    _, headers, text = await _ask(metrics, accept=accepted, accept_encoding="gzip")
    assert headers[b"Content-Type"].startswith(b"application/openmetrics-text; version=1.0.0")
    assert b"Content-Encoding" not in headers, "the loop does not compress"
    assert text.endswith("# EOF\n")
    assert {"inkwire_test_posts", "process_cpu_seconds"} <= {family.name for family in parse_openmetrics(text)}


def test_a_histogram_is_cumulative() -> None:
    """Buckets count what is not above their bound; the last one all, and so the count."""
    spread = Buckets((0.1, 1))
    for value in (0.1, 0.5, 0.5, 7):
        spread.observe(value)
    samples = [(s.name, s.labels.get("le"), s.value) for s in histogram("h_seconds", "H.", spread).samples]
    assert samples == [
        ("h_seconds_bucket", "0.1", 1),
        ("h_seconds_bucket", "1.0", 3),
        ("h_seconds_bucket", "+Inf", 4),
        ("h_seconds_count", None, 4),
        ("h_seconds_sum", None, pytest.approx(8.1)),
    ]


def test_buckets_take_over_what_was_counted_elsewhere() -> None:
    """Plain lists of a pure module become a histogram."""
    labelled = histogram("h_seconds", "H.", {"a": Buckets((1,), [2, 3], 9.5)}, "of")
    assert {(s.labels["of"], s.labels.get("le")): s.value for s in labelled.samples if "bucket" in s.name} == {
        ("a", "1.0"): 2,
        ("a", "+Inf"): 5,
    }


async def test_loop_lag_and_pauses_are_measured_while_the_block_lasts() -> None:
    """The loop is sampled, a full collection is counted with its generation, and afterwards nothing is left behind."""
    metrics, supervisor = Metrics("test"), Supervisor()
    before = list(gc.callbacks)
    with metrics.measuring(supervisor):
        gc.collect()
        await eventually(lambda: sum(metrics.loop_lag.counts), what="the loop is sampled")
    assert gc.callbacks == before
    await supervisor.cancel_all()
    assert supervisor.failure is None
    values = _values((await _ask(metrics))[2])
    assert values['inkwire_test_gc_pause_seconds_count{generation="2"}'] >= 1
    assert values["inkwire_test_event_loop_lag_seconds_count"] >= 1


@needs_proc
async def test_the_process_tells_of_itself() -> None:
    """Memory, processor, start and open files are those of this process."""
    values = _values((await _ask(Metrics("test")))[2])
    assert 2**20 < values["process_resident_memory_bytes"] < values["process_virtual_memory_bytes"]
    assert values["process_cpu_seconds_total"] == pytest.approx(sum(os.times()[:2]), abs=1)
    assert 0 < time.time() - values["process_start_time_seconds"] < 24 * 3600
    ends = socket.socketpair()
    more = _values((await _ask(Metrics("test")))[2])
    assert more["process_open_fds"] == values["process_open_fds"] + len(ends) <= more["process_max_fds"]
    for end in ends:
        end.close()


@needs_proc
async def test_open_files_are_counted_where_the_kernel_does_not_tell(tmp_path: Path) -> None:
    """A folder without a size, as before Linux 6.2, is counted."""
    (tmp_path / "fd").symlink_to("/proc/self/task")
    numbers = ProcessNumbers(tmp_path)
    await numbers.look()
    (found,) = [family for family in numbers.collect() if family.name == "process_open_fds"]
    assert found.samples[0].value >= 1


async def test_what_the_system_does_not_tell_is_left_out(tmp_path: Path) -> None:
    """Without /proc there are no numbers of memory and open files, and no zeros in their place."""
    numbers = ProcessNumbers(tmp_path)
    await numbers.look()
    names = {family.name for family in numbers.collect()}
    assert "process_cpu_seconds" in names
    assert not names & {"process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds"}


@pytest.mark.parametrize(("path", "status"), [("/livez", 200), ("/readyz", 503), ("/", 404), ("/metrics/", 404)])
async def test_the_admin_app_answers_health_too(path: str, status: int) -> None:
    """The addresses of health are those of every service; others are not found."""
    health = Health("test", draining=True)
    assert (await _ask(Metrics("test"), path, health=health))[0] == status


async def test_metrics_are_only_read() -> None:
    """Anything but GET and HEAD is refused."""
    status, headers, _ = await _ask(Metrics("test"), method="POST")
    assert status == 405 and headers[b"allow"] == b"GET, HEAD"


async def test_answers_at_the_same_time() -> None:
    """Two monitors are answered at once, each in full."""
    metrics = Metrics("test", lambda: [gauge("inkwire_test_x", "X.", 1)])
    answers = await asyncio.gather(_ask(metrics), _ask(metrics))
    assert all(_values(text)["inkwire_test_x"] == 1 for _, _, text in answers)
