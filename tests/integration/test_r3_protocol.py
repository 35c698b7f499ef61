"""Tests of other modules once more, on three servers: those in which claims, wishes and workers race each other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.test_cancel import test_cancels_race_the_claims_of_workers as test_cancels_race_claims
from tests.integration.test_delete import test_a_retry_and_a_delete_at_once as test_retry_and_delete_at_once
from tests.integration.test_generator_take_over import (
    test_a_killed_workers_post_is_finished_by_another as test_a_killed_worker,
)
from tests.support.api import Api, open_api

__all__ = [
    "test_a_killed_worker",
    "test_cancels_race_claims",
    "test_retry_and_delete_at_once",
]


pytestmark = pytest.mark.slow


@pytest.fixture
def nats_url(cluster_url: str) -> str:
    """Three servers in place of the one."""
    return cluster_url


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path, max_open_posts=1_000, commit_timeout_s=5.0) as opened:
        yield opened
