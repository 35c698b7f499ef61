"""Four workers, forty posts, and a provider that enforces requests per minute: with a budget they share, and without.

The provider is the simulator, its answers are as fast as they can be, so that the limit is all that is waited for. It
holds ten seconds' worth at once (a real one holds a minute's): the same course in a sixth of the time.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkwire_chassis.event_log import EventLog
from inkwire_chassis.jetstream import BrokerError
from inkwire_contracts.commands import Job
from inkwire_contracts.events import TERMINAL_TYPES, Retrying
from tests.support.generator import assert_exact, commit_job, generator_process, read_folded
from tests.support.log import make_job, open_log
from tests.support.nats_server import NatsServer
from tests.support.sim import SimServer

WINDOW_S = 10
TIMEOUT_S = 300.0
LOOK_INTERVAL_S = 0.5


@dataclass(frozen=True)
class Way:
    """How workers know the limit."""

    name: str
    shared: bool
    configured: bool
    headers: bool


WAYS = (
    Way("shared; limit configured, no headers", shared=True, configured=True, headers=False),
    Way("each for itself; limit configured, no headers", shared=False, configured=True, headers=False),
    Way("shared; limit configured, headers", shared=True, configured=True, headers=True),
    Way("shared; headers alone", shared=True, configured=False, headers=True),
    Way("each for itself; limit configured, headers", shared=False, configured=True, headers=True),
)


def main() -> None:
    """Print one row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=40)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--requests-per-minute", type=int, default=600)
    options = parser.parse_args()
    print("| way | calls answered | 429 | calls/min | share of the limit | all posts after | post p50 | retries told |")
    print("|---|---|---|---|---|---|---|---|")
    for way in WAYS:
        print(asyncio.run(_run(way, options)), flush=True)


async def _run(way: Way, options: argparse.Namespace) -> str:
    limit = options.requests_per_minute
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = NatsServer(folder).start()
        stack.callback(broker.stop)
        sim = stack.enter_context(SimServer())
        sim.set_limits(requests_per_min=limit, window_s=WINDOW_S, enforce=True, headers=way.headers)
        async with open_log(broker.url) as log:
            for number in range(options.workers):
                environment = {
                    "INKWIRE_GENERATOR_REQUESTS_PER_MINUTE": str(limit) if way.configured else "",
                    "INKWIRE_GENERATOR_BUDGET_SHARED": str(way.shared).lower(),
                    "INKWIRE_GENERATOR_RETRY_FIRST_DELAY_S": "1",
                    "INKWIRE_GENERATOR_POSTS": str(-(-options.posts // options.workers)),
                    "INKWIRE_LOG_LEVEL": "warning",
                }
                worker = generator_process(broker.url, sim, folder, f"worker-{number}", **environment)
                worker.start()
                stack.callback(worker.term)
                worker.wait_ready()
            jobs = [make_job(title=f"Why small tests win, part {n}") for n in range(options.posts)]
            began_s = time.monotonic()
            for job in jobs:
                await commit_job(log, job)
            took_s = await _ended(log, jobs, began_s)
            retries = sum([await _retries_told(log, job) for job in jobs])
        return _row(way, limit, took_s, retries, sim.requests())


async def _ended(log: EventLog, jobs: list[Job], began_s: float) -> list[float]:
    """How long each took, to half a second: looking more often would take the workers' processor."""
    took_s: list[float] = []
    left = list(jobs)
    async with asyncio.timeout(TIMEOUT_S):
        while left:
            await asyncio.sleep(LOOK_INTERVAL_S)
            for job in tuple(left):
                try:
                    newest = await log.newest(job.owner, job.post)
                except BrokerError:
                    continue  # a busy machine: the next look will do
                if newest is not None and newest.event.type in TERMINAL_TYPES:
                    left.remove(job)
                    took_s.append(time.monotonic() - began_s)
    return took_s


async def _retries_told(log: EventLog, job: Job) -> int:
    """What readers of the post were told of. Raises AssertionError if it is not exact."""
    snapshot, stored = await read_folded(log, job)
    assert_exact(snapshot, stored)
    return sum(isinstance(one.event, Retrying) for one in stored)


def _row(way: Way, limit: int, took_s: list[float], retries: int, requests: list[dict[str, Any]]) -> str:
    answered = [request for request in requests if request["status"] == 200]
    refused = sum(request["status"] == 429 for request in requests)
    span_s = (max(r["received_at_ms"] for r in answered) - min(r["received_at_ms"] for r in answered)) / 1000
    allowed = limit / 60 * (span_s + WINDOW_S)  # with what the provider held at first
    cells = (
        way.name, len(answered), refused, f"{len(answered) / span_s * 60:.0f}", f"{len(answered) / allowed:.0%}",
        f"{took_s[-1]:.0f} s", f"{statistics.median(took_s):.0f} s", retries,
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
