"""Joining a post before, while and after it is written: the reader's fold equals what was written."""

from pathlib import Path

import pytest

from inkwire_contracts.fold import document
from tests.integration.gateway_support import Author, reader, token, world

pytestmark = pytest.mark.nats


async def test_join_while_it_is_written(nats_url: str, tmp_path: Path) -> None:
    """Whoever joins in mid-section gets what is there and every later event once."""
    async with world(nats_url, tmp_path) as w:
        author = Author(w.log)
        await author.begin("one", "two")
        await author.open_section("one")
        await author.chunk("Hello ")
        async with reader(w.port, token()) as r:
            await r.follow(author.channel)
            assert document(r.snapshots[author.channel]) == "Hello "
            await author.chunk("wörld \U0001f600")
            await author.complete()
            await author.open_section("two")
            await author.chunk("Bye")
            await author.complete()
            await author.publish()
            end = await r.read_to_end(author.channel)
            assert document(end) == author.text == "Hello wörld \U0001f600Bye"
            assert end.sha256 == author.truth.sha256
            assert r.exact
