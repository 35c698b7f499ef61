"""The generator on a real broker, with a real HTTP server in the model's place."""

import asyncio
from contextlib import closing
from pathlib import Path

from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.events import Retrying
from inkwire_contracts.fold import document
from inkwire_contracts.topology import DLQ, JOBS
from tests.support.generator import (
    assert_exact,
    commit_cancel,
    commit_job,
    generator_settings,
    read_folded,
    running_generator,
    until,
    until_final,
    until_idle,
)
from tests.support.log import LONG_LEASE, ScriptedWriter, make_job, open_log
from tests.support.nats_cluster import Relay
from tests.support.ports import LOOPBACK
from tests.support.sim import SimServer
from tests.support.wait import eventually


async def test_a_post_is_written_from_title_to_digest(nats_url: str, tmp_path: Path) -> None:
    """A job becomes outline, plan, sections and a published event whose digest is that of the text."""
    with SimServer() as sim:
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = make_job(title="Top 10 Laravel tips")
            await commit_job(log, job)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
            await until_idle(log)
    assert_exact(snapshot, stored)
    text = document(snapshot)
    assert text.startswith("# Top 10 Laravel tips\n\n")
    assert text.count("\n\n## ") == 11
    outline = snapshot.section("outline")
    assert outline is not None and not outline.in_document and "10. " in outline.text
    metrics = snapshot.metrics
    assert metrics is not None
    assert metrics.usage_source == "reported" and metrics.tokens_in > 0 and metrics.tokens_out > 0
    assert metrics.words == len(text.split()) > 500
    assert metrics.time_to_first_token_ms is not None and metrics.cost_usd is None
    percents = [one.event.data.percent for one in stored if one.event.type == "progress"]
    assert percents == sorted(percents) and percents[-1] < 100


async def test_many_posts_at_once_within_the_bound(nats_url: str, tmp_path: Path) -> None:
    """Twelve posts of four owners are written by one worker, never more than four at a time, each exact."""
    with SimServer(tokens_per_s=2_000, ttft_ms=5) as sim:
        settings = generator_settings(nats_url, sim, tmp_path, posts=4)
        async with open_log(nats_url) as log:
            jobs = [make_job(f"owner-{n % 4}", title=f"How to brew better coffee, part {n}") for n in range(12)]
            await asyncio.gather(*(commit_job(log, job) for job in jobs))
            most = 0

            async def all_final() -> bool:
                nonlocal most
                most = max(most, service.worker.active_count)
                newest = [await log.newest(job.owner, job.post) for job in jobs]
                return all(one is not None and one.event.type == "published" for one in newest)

            async with running_generator(settings) as service:
                await eventually(all_final, what="all posts are published", timeout_s=60.0)
            for job in jobs:
                assert_exact(*await read_folded(log, job))
    assert most == 4


async def test_an_answer_at_its_length_limit_is_gone_on_with(nats_url: str, tmp_path: Path) -> None:
    """A section cut twice by the length limit is finished by continuations: one text, once, without a retry."""
    with SimServer() as sim:
        sim.add_fault("length", match="<section>", after_chunks=10, count=2)
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = make_job(title="Why small tests win")
            await commit_job(log, job)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
        asked = [request for request in sim.requests() if "length limit" in request["prompt_preview"]]
        parts = sim.requests()[1:4]
    assert_exact(snapshot, stored)
    assert len(asked) == 2 and [part["finish_reason"] for part in parts] == ["length", "length", "stop"]
    assert not [one for one in stored if isinstance(one.event, Retrying)]
    first = snapshot.section("s0")
    assert first is not None and first.usage is not None and first.usage.source == "reported"
    body = first.text.partition("\n\n")[2]
    sent = sum(part["chars_sent"] for part in parts)
    assert sent - 6 <= len(body) <= sent  # white space at the very ends of the body is ours
    assert first.usage.tokens_out == sum(part["chunks_sent"] for part in parts)


async def test_continuations_end_at_their_bound(nats_url: str, tmp_path: Path) -> None:
    """A model that never comes to an end fails the run as truncated, and what it said is kept."""
    with SimServer() as sim:
        sim.add_fault("length", match="<section>", after_chunks=10, count=None)
        settings = generator_settings(nats_url, sim, tmp_path, continuations_count=2)
        async with open_log(nats_url) as log, running_generator(settings):
            job = make_job(title="Why small tests win")
            await commit_job(log, job)
            snapshot = await until_final(log, job)
            await until_idle(log)
        assert len(sim.requests()) == 1 + 3
    assert snapshot.status == "failed"
    assert snapshot.error is not None and snapshot.error.code == "provider_truncated"
    first = snapshot.section("s0")
    assert first is not None and len(first.text) > len("# Why small tests win\n\n")


async def test_a_provider_that_always_fails_ends_the_run(nats_url: str, tmp_path: Path) -> None:
    """Retries are bounded: a provider that never answers fails the post, and no request follows."""
    with SimServer() as sim:
        sim.add_fault("500", count=None)
        settings = generator_settings(nats_url, sim, tmp_path, retries_count=2)
        async with open_log(nats_url) as log, running_generator(settings):
            job = make_job()
            await commit_job(log, job)
            snapshot = await until_final(log, job)
            await until_idle(log)
        assert len(sim.requests()) == 3
    assert snapshot.status == "failed"
    assert snapshot.error is not None and snapshot.error.code == "provider_unavailable"


async def test_characters_split_between_chunks_are_joined(nats_url: str, tmp_path: Path) -> None:
    """Halves of characters in two chunks, and lone ones, never reach the log as such."""
    with SimServer() as sim:
        sim.add_fault("split_surrogates", count=None)
        sim.add_fault("lone_surrogate", match="<section>", after_chunks=5)
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = make_job(title="Top 10 Laravel tips")
            await commit_job(log, job)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
    assert_exact(snapshot, stored)
    assert document(snapshot).count("\ufffd") == 1


async def test_a_cancelled_post_stops_at_the_provider(nats_url: str, tmp_path: Path) -> None:
    """A cancel intent in mid-section closes the provider's socket, keeps the text, and ends the run as cancelled."""
    with SimServer() as sim:
        sim.stall()
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = make_job(title="Top 10 Laravel tips")
            await commit_job(log, job)
            await until(log, job, "the introduction is being written", lambda post: len(document(post)) > 60)
            await sim.until_stalled()
            await commit_cancel(log, job)
            snapshot = await until_final(log, job)
            await until_idle(log)
        await sim.until_left()
    assert snapshot.status == "cancelled"
    assert snapshot.open_section == "s0" and len(document(snapshot)) > 60
    assert snapshot.metrics is not None and snapshot.metrics.tokens_out > 0


async def test_a_cancel_while_waiting_for_the_first_token(nats_url: str, tmp_path: Path) -> None:
    """The intent is seen by the heartbeat even where the signal is lost and the provider has not said a word."""
    with SimServer(ttft_ms=60_000) as sim:
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = make_job()
            await commit_job(log, job)
            await until(log, job, "the outline is open", lambda post: post.open_section == "outline")
            intent = b'{"post": "%s", "owner": "%s", "run": 1, "time": "x"}' % (job.post.encode(), job.owner.encode())
            await log.jetstream.publish(subjects.cancel(job.owner, job.post, 1), intent, {})
            snapshot = await until_final(log, job)
    assert snapshot.status == "cancelled"


async def test_a_cancel_that_was_sent_while_the_worker_was_cut_off(nats_url: str, tmp_path: Path) -> None:
    """It missed the signal, which nobody repeats; when it is back it sees the wish, long before its lease ends."""
    relay = Relay(int(nats_url.rpartition(":")[2]))
    relay.open()
    with SimServer(ttft_ms=60_000) as sim, closing(relay):
        settings = generator_settings(f"nats://{LOOPBACK}:{relay.port}", sim, tmp_path, lease_beats_count=50)
        async with open_log(nats_url, LONG_LEASE) as log, running_generator(settings):
            job = make_job()
            await commit_job(log, job)
            await until(log, job, "the outline is open", lambda post: post.open_section == "outline")
            relay.cut()
            await commit_cancel(log, job)
            assert await log.cancel_intents([job]) == {job.post}
            relay.mend()
            snapshot = await until_final(log, job)
            claim, _ = await log.read_claim(job.post)
    assert snapshot.status == "cancelled"
    assert claim is not None and (claim.attempt, claim.deliveries) == (1, 1), "nobody took the post over"


async def test_a_cancel_before_any_worker(nats_url: str, tmp_path: Path) -> None:
    """A run that was cancelled while it was queued is ended without asking the provider."""
    with SimServer() as sim:
        async with open_log(nats_url) as log:
            job = make_job()
            await commit_job(log, job)
            await commit_cancel(log, job)
            async with running_generator(generator_settings(nats_url, sim, tmp_path)):
                snapshot = await until_final(log, job)
                await until_idle(log)
        assert sim.requests() == []
    assert snapshot.status == "cancelled" and snapshot.started_run == 0


async def test_a_server_without_structured_output_is_asked_without(nats_url: str, tmp_path: Path) -> None:
    """A 400 to the schema is answered by one question without it, and later posts do not ask with it again."""
    with SimServer() as sim:
        sim.add_fault("500", status=400, match="JSON")
        settings = generator_settings(nats_url, sim, tmp_path)
        async with open_log(nats_url) as log, running_generator(settings):
            for title in ("Why small tests win", "Why big tests lose"):
                job = make_job(title=title)
                await commit_job(log, job)
                snapshot = await until_final(log, job)
                assert snapshot.status == "published", snapshot.error
                assert snapshot.metrics is not None and snapshot.metrics.retries == 0
        outlines = [request for request in sim.requests() if "closing (a heading)" in request["prompt_preview"]]
    assert [request["status"] for request in outlines] == [400, 200, 200]


async def test_a_later_run_keeps_what_is_finished(nats_url: str, tmp_path: Path) -> None:
    """Run 2 of a failed post, whose `requested` nobody wrote yet, goes on from the finished sections."""
    with SimServer() as sim:
        sim.add_fault("500", status=404, match="<section>Summary</section>")
        sim.add_fault("500", status=404, match="<section>Conclusion</section>")
        sim.add_fault("500", status=404, match="<section>Next steps</section>")
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = make_job(title="Top 5 Laravel tips")
            await commit_job(log, job)
            failed = await until_final(log, job)
            assert failed.status == "failed"
            sim.clear_faults()
            sim.clear_requests()
            again = job.model_copy(update={"run": 2})
            await commit_job(log, again)
            await until_final(log, again)
            snapshot, stored = await read_folded(log, job)
        assert len(sim.requests()) == 1
    assert snapshot.status == "published" and snapshot.run == 2
    assert [one.event.seq for one in stored] == list(range(1, len(stored) + 1))
    assert document(snapshot).startswith(document(failed).removesuffix("\n")[:200])


async def test_unknown_recipes_and_options_fail_with_a_word_to_the_author(nats_url: str, tmp_path: Path) -> None:
    """A request that no recipe can take fails at once and says why."""
    with SimServer() as sim:
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            for change, code in (({"recipe": "poem"}, "unknown_recipe"), ({"options": {"mood": 1}}, "invalid_options")):
                job = make_job()
                job = job.model_copy(update={"request": job.request.model_copy(update=change)})
                await commit_job(log, job)
                snapshot = await until_final(log, job)
                assert snapshot.error is not None and snapshot.error.code == code
            await until_idle(log)


async def test_jobs_nobody_can_read_are_set_aside(nats_url: str, tmp_path: Path) -> None:
    """A body that is no job, and a run that can never begin, end among the dead letters, and work goes on."""
    with SimServer() as sim:
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            await log.jetstream.publish(subjects.job("general", "high", "local"), b"{}", {})
            skipping: Job = make_job(run=3)
            await log.ensure_requested(skipping.model_copy(update={"run": 1}))
            writer = await ScriptedWriter.begin(log, skipping.model_copy(update={"run": 1}))
            await writer.section("s1", "text")
            await writer.publish()
            await commit_job(log, skipping)
            await until_idle(log)
            info = await log.jetstream.stream_info(DLQ)
            assert int(info["state"]["messages"]) == 2
            job = make_job()
            await commit_job(log, job)
            assert (await until_final(log, job)).status == "published"
            await until_idle(log)
            assert int((await log.jetstream.stream_info(JOBS))["state"]["messages"]) == 0
