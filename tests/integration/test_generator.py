"""The generator on a real broker with a real HTTP server in the model's place."""

from pathlib import Path

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


async def test_a_post_is_written_from_title_to_digest(nats_url: str, tmp_path: Path) -> None:
    """A job becomes outline, plan, sections and a published event whose digest is that of the text."""
    with SimServer() as sim:
        async with open_log(nats_url) as log, running_generator(generator_settings(nats_url, sim, tmp_path)):
            job = make_job(title="Top 10 Laravel tips")
            await commit_job(log, job)
            await until_final(log, job)
            snapshot, stored = await read_folded(log, job)
            assert_exact(snapshot, stored)
            text = document(snapshot)
            assert text.startswith("# Top 10 Laravel tips\n\n")
            assert text.count("\n\n## ") == 11
            await until_idle(log)
