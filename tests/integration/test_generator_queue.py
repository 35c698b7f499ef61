"""The work queue on a real broker: what no bell announces is found too."""

from inkwire_contracts import subjects
from inkwire_generator.adapters.jobs import JobQueue, TakenJob
from tests.support.generator import commit_job
from tests.support.log import make_job, open_log
from tests.support.wait import eventually


async def test_a_job_that_came_back_in_silence_is_found_among_ringing_bells(nats_url: str) -> None:
    """A lease that ends and a nak ring no bell; other lanes' bells, however many, do not keep a worker from looking."""
    async with open_log(nats_url) as log:
        queue, job = JobQueue(log.jetstream, ["general"]), make_job(owner="ada")
        other = subjects.bell("general", "urgent", "grace")
        await queue.start()
        await commit_job(log, job)
        taken = await eventually(queue.take, what="the job is delivered")
        assert await queue.take() is None
        await taken.later(0.0)

        async def woken() -> TakenJob | None:
            await log.jetstream.client.publish(other, b"")
            await log.jetstream.client.flush()
            await queue.wait()
            return await queue.take()

        again = await eventually(woken, what="the job is delivered again")
        assert (again.job.post, again.deliveries) == (job.post, 2)
        await again.ack()
