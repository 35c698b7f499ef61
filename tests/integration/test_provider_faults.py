"""Every way in which a provider is known to fail, at a real generator: told, survived or ended as documented."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from inkwire_contracts.events import Retrying
from inkwire_contracts.fold import document
from tests.support.generator import (
    assert_exact,
    commit_job,
    generator_settings,
    read_folded,
    running_generator,
    until_final,
    until_idle,
)
from tests.support.log import make_job, open_log
from tests.support.sim import SimServer
from tests.support.wait import eventually

POSTS = 12
FAULTY_SHARE = 0.3
HURRIED: dict[str, Any] = {"first_token_timeout_s": 0.5, "inter_token_timeout_s": 0.5, "stall_timeout_s": 5}
"""For many silent answers; a machine that is busy elsewhere makes some more of them."""
IMPATIENT: dict[str, Any] = {"first_token_timeout_s": 2.5, "inter_token_timeout_s": 2.5}
"""For a silent answer, and it alone."""
MIDWAY = {"after_chunks": 15}

# fault, its parameters, the code that readers are told
RETRIED: list[tuple[str, dict[str, Any], str]] = [
    ("cut", MIDWAY, "provider_cut"),
    ("cut", {**MIDWAY, "reset": True}, "provider_cut"),
    ("truncate", MIDWAY, "provider_cut"),
    ("truncate", {**MIDWAY, "done": True}, "provider_cut"),
    ("error_field", MIDWAY, "provider_cut"),
    ("not_json", {}, "provider_cut"),
    ("error_data", MIDWAY, "provider_unavailable"),
    ("error_data", {**MIDWAY, "done": True}, "provider_unavailable"),
    ("error_data", {**MIDWAY, "code": "rate_limit_exceeded"}, "provider_rate_limited"),
    ("error_event", MIDWAY, "provider_unavailable"),
    ("error_with_choices", MIDWAY, "provider_unavailable"),
    ("reset", {}, "provider_unavailable"),
    ("500", {}, "provider_unavailable"),
    ("500", {"status": 408}, "provider_unavailable"),
    ("500", {"status": 503, "retry_after_s": 0}, "provider_unavailable"),
    ("500", {"status": 529}, "provider_unavailable"),
    ("bad_json", MIDWAY, "provider_invalid_output"),
    ("bad_json", {**MIDWAY, "end": True}, "provider_invalid_output"),
    ("429", {}, "provider_rate_limited"),
    ("429", {"retry_after_ms": 20}, "provider_rate_limited"),
    ("429", {"retry_after_s": 1}, "provider_rate_limited"),
    ("429", {"retry_after_date": "Thu, 01 Jan 2026 00:00:00 GMT"}, "provider_rate_limited"),
    ("stall", {**MIDWAY, "seconds": 60}, "provider_timeout"),
    ("stall", {**MIDWAY, "seconds": 60, "comments_every_s": 0.05}, "provider_timeout"),
    ("stall", {"after_chunks": 0, "seconds": 60, "comments_every_s": 0.05}, "provider_timeout"),
    ("hang", {"seconds": 60}, "provider_timeout"),
]
UNANSWERED = frozenset({"429", "500", "reset", "hang"})

TOLERATED: list[tuple[str, dict[str, Any]]] = [
    ("style", {"done": False}),
    ("style", {"usage": "none"}),
    ("style", {"usage": "every"}),
    ("style", {"usage": "finish", "null_finish_reason": True}),
    ("style", {"crlf": True, "fragment_bytes": 7}),
    ("stall", {**MIDWAY, "seconds": 0.2, "comments_every_s": 0.02}),
    ("length", MIDWAY),
    ("early_stop", MIDWAY),
]

ENDED: list[tuple[str, dict[str, Any], str]] = [
    ("429", {"code": "insufficient_quota"}, "provider_quota"),
    ("429", {"retry_after_s": 200}, "provider_rate_limited"),
    ("429", {"should_retry": False}, "provider_rate_limited"),
    ("500", {"status": 503, "retry_after_s": 200}, "provider_unavailable"),
    ("500", {"status": 401}, "provider_auth"),
    ("500", {"status": 403}, "provider_auth"),
    ("500", {"status": 404}, "provider_rejected"),
    ("error_data", {**MIDWAY, "code": "insufficient_quota"}, "provider_quota"),
    ("content_filter", MIDWAY, "provider_content_filter"),
]


def row_id(value: object) -> str:
    """A row's name in the report."""
    return "-".join(map(str, value.values())) if isinstance(value, dict) else str(value)


def add_fault(sim: SimServer, kind: str, params: dict[str, Any], **rule: Any) -> None:
    """The row's fault, for section prompts."""
    sim.add_fault(kind, match="<section>", **rule, **params)


@pytest.mark.parametrize(("kind", "params", "code"), RETRIED, ids=row_id)
async def test_told_and_survived(nats_url: str, tmp_path: Path, kind: str, params: dict[str, Any], code: str) -> None:
    """A failed answer is announced with its reason, its text is superseded, and the post is exact in the end."""
    with SimServer() as sim:
        add_fault(sim, kind, params)
        settings = generator_settings(nats_url, sim, tmp_path, **(IMPATIENT if code == "provider_timeout" else {}))
        async with open_log(nats_url) as log, running_generator(settings):
            job = make_job(title="Why small tests win")
            await commit_job(log, job)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
    assert_exact(snapshot, stored)
    notices = [one.event for one in stored if isinstance(one.event, Retrying)]
    assert [notice.data.code for notice in notices] == [code]
    assert "Retrying in" in notices[0].data.message and notices[0].data.section == "s0"
    metrics = snapshot.metrics
    assert metrics is not None and metrics.retries == 1
    assert metrics.tokens_wasted < metrics.tokens_in + metrics.tokens_out
    assert (metrics.tokens_wasted == 0) is (kind in UNANSWERED)


@pytest.mark.parametrize(("kind", "params"), TOLERATED, ids=row_id)
async def test_tolerated(nats_url: str, tmp_path: Path, kind: str, params: dict[str, Any]) -> None:
    """What compatible servers do differently costs no retry, and the post is exact."""
    with SimServer() as sim:
        add_fault(sim, kind, params)
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = make_job(title="Why small tests win")
            await commit_job(log, job)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
        assert sim.faults()[0]["hits"] == 1
    assert_exact(snapshot, stored)
    assert not [one for one in stored if isinstance(one.event, Retrying)]
    assert snapshot.metrics is not None and (snapshot.metrics.retries, snapshot.metrics.tokens_wasted) == (0, 0)


@pytest.mark.parametrize(("kind", "params", "code"), ENDED, ids=row_id)
async def test_ends_the_run(nats_url: str, tmp_path: Path, kind: str, params: dict[str, Any], code: str) -> None:
    """A fault that asking again cannot mend fails the run at once and keeps what the open section held."""
    with SimServer() as sim:
        add_fault(sim, kind, params)
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = make_job(title="Why small tests win")
            await commit_job(log, job)
            snapshot = await until_final(log, job)
            await until_idle(log)
        assert len(sim.requests()) == 2
    assert snapshot.status == "failed"
    assert snapshot.error is not None and snapshot.error.code == code
    first = snapshot.section("s0")
    assert first is not None and first.text.startswith("# ")
    assert snapshot.metrics is not None and snapshot.metrics.tokens_in > 0


async def test_a_second_refusal_is_waited_out_too(nats_url: str, tmp_path: Path) -> None:
    """Each Retry-After is honoured, and readers are told of each."""
    with SimServer() as sim:
        add_fault(sim, "429", {"retry_after_s": 1}, count=2)
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = make_job(title="Why small tests win")
            await commit_job(log, job)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
        _outline, first, second, third = sim.requests()[:4]
    assert_exact(snapshot, stored)
    assert [one.event.data.retry for one in stored if isinstance(one.event, Retrying)] == [1, 2]
    assert (first["status"], second["status"], third["status"]) == (429, 429, 200)
    for refused, again in ((first, second), (second, third)):
        assert again["received_at_ms"] >= refused["finished_at_ms"] + 990


async def test_a_provider_that_cannot_be_reached(nats_url: str, tmp_path: Path) -> None:
    """A refused connection is a retry like any other; the post is exact once somebody listens again."""
    with SimServer() as sim:
        settings = generator_settings(nats_url, sim, tmp_path, retries_count=40, circuit_first_open_s=0.1)
        async with open_log(nats_url) as log, running_generator(settings):
            sim.refuse(3)
            job = make_job(title="Why small tests win")
            await commit_job(log, job)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
    assert_exact(snapshot, stored)
    codes = {one.event.data.code for one in stored if isinstance(one.event, Retrying)}
    assert codes == {"provider_unavailable"}


async def test_a_third_of_all_calls_fails(nats_url: str, tmp_path: Path) -> None:
    """With 30 % of the calls faulted, by all shapes, every post is published and exact."""
    share = 1 - (1 - FAULTY_SHARE) ** (1 / len(RETRIED))  # the rules are tried one after the other
    with SimServer() as sim:
        for kind, params, _ in RETRIED:
            sim.add_fault(kind, count=None, probability=share, **{**params, "after_chunks": None})
        sim.add_fault("length", count=None, probability=0.05)
        changes = {**HURRIED, "retries_count": 20, "circuit_first_open_s": 0.1, "circuit_max_open_s": 0.5}
        async with open_log(nats_url) as log:
            jobs = [make_job(f"owner-{n % 5}", title=f"Why small tests win, part {n}") for n in range(POSTS)]
            await asyncio.gather(*(commit_job(log, job) for job in jobs))

            async def all_final() -> bool:
                newest = [await log.newest(job.owner, job.post) for job in jobs]
                return all(one is not None and one.event.type in {"published", "failed"} for one in newest)

            async with running_generator(generator_settings(nats_url, sim, tmp_path, **changes)):
                await eventually(all_final, what="all posts have ended", timeout_s=120.0)
            for job in jobs:
                snapshot, stored = await read_folded(log, job)
                assert snapshot.error is None
                assert_exact(snapshot, stored)
                assert document(snapshot)
        met = [rule["hits"] for rule in sim.faults()]
        calls = len(sim.requests())
    assert sum(met) > 0.2 * calls
    assert sum(hits > 0 for hits in met) > len(met) / 2


LIVE_KEY = "live-0123456789abcdef"


@pytest.mark.parametrize(("kind", "params"), [("500", {"status": 401}), ("error_data", MIDWAY)], ids=["401", "midway"])
async def test_a_provider_s_words_tell_neither_key_nor_prompt(
    nats_url: str, tmp_path: Path, kind: str, params: dict[str, Any]
) -> None:
    """What a provider says stands in the worker's log, but for the key it was asked with and what it was asked."""
    title = "My divorce from Alexander"
    with SimServer() as sim:
        sim.add_fault(kind, message=f"Key {LIVE_KEY} (live-012****cdef) may not ask: {title}", **params)
        settings = generator_settings(nats_url, sim, tmp_path, openai_api_key=LIVE_KEY)
        with capture_logs() as told:
            async with open_log(nats_url) as log, running_generator(settings):
                job = make_job(title=title)
                await commit_job(log, job)
                await until_final(log, job)
    details = [line["detail"] for line in told if line["event"] == "provider failed"]
    assert len(details) == 1 and "Key *** *** may not ask: [...]" in details[0]
    assert not any(part in str(told) for part in ("live-012", "cdef", title))
