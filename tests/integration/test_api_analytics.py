"""What posts have cost, asked over HTTP: own, somebody else's, everybody's."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from inkwire_contracts.events import Metrics, Usage
from inkwire_contracts.fold import Snapshot
from tests.support.api import Api, open_api, token
from tests.support.post_logs import post_id


@pytest_asyncio.fixture
async def api(nats_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(nats_url, tmp_path) as opened:
        yield opened


async def keep(api: Api, number: int, *, owner: str = "ana", day: int = 21, wasted: int = 0) -> None:
    """A published post of 100 tokens at a quarter of a dollar, some of them wasted."""
    snapshot = Snapshot(post=post_id(number), owner=owner, status="published", seq=9, run=1)
    snapshot.created_at = snapshot.updated_at = f"2026-11-{day}T09:00:00.000Z"
    snapshot.spent.pay(Usage(tokens_in=100 - wasted, source="reported", cost_usd=0.125), wasted=False)
    snapshot.spent.pay(Usage(tokens_in=wasted, cost_usd=0.125), wasted=True)
    snapshot.metrics = Metrics(model="m", words=50, duration_ms=2_000, time_to_first_token_ms=300)
    await api.keep(snapshot, stream_seq=number)


def operator(**claims: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {token('olga', scopes=('ops',), **claims)}"}


async def test_own_posts(api: Api) -> None:
    """An owner sees the totals of the own posts, in a period or over all time."""
    await keep(api, 1, wasted=20)
    await keep(api, 2, day=22)
    await keep(api, 3, owner="ben")
    answer = await api.ask("GET", "/analytics")
    assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
    found = answer.json
    assert (found["owner"], found["from"], found["to"]) == ("ana", None, None)
    assert (found["posts"], found["by_status"], found["words"]) == (2, {"published": 2}, 100)
    assert (found["tokens_in"], found["tokens_wasted"], found["waste_ratio"]) == (200, 20, 0.1)
    assert (found["cost_usd"], found["posts_without_price"], found["sampled_posts"]) == (0.5, 0, 2)
    assert (found["duration_ms"], found["by_model"][0]["model"]) == ({"p50": 2_000, "p95": 2_000}, "m")
    day = (await api.ask("GET", "/analytics?from=2026-11-22&to=2026-11-23T00:00:00Z")).json
    assert (day["from"], day["to"]) == ("2026-11-22T00:00:00.000Z", "2026-11-23T00:00:00.000Z")
    assert (day["posts"], day["tokens_wasted"]) == (1, 0)
    assert (await api.ask("GET", "/analytics?owner=ana")).json == found


async def test_operators_see_everybody(api: Api) -> None:
    """With the scope ops the totals of all owners or of a named one; without it they are refused."""
    await keep(api, 1)
    await keep(api, 2, owner="ben")
    for owner, posts in (("all", 2), ("ben", 1), ("nobody", 0)):
        answer = await api.ask("GET", f"/analytics?owner={owner}", headers=operator())
        assert (answer.status, answer.json["owner"], answer.json["posts"]) == (200, owner, posts)
        refused = await api.ask("GET", f"/analytics?owner={owner}")
        assert (refused.status, refused.code, refused.json["scope"]) == (403, "forbidden", "ops")
    own = await api.ask("GET", "/analytics", headers=operator())
    assert (own.status, own.json["scope"]) == (403, "post:read"), "own posts are read with a reader's scope"


async def test_a_token_for_one_post_sees_no_totals(api: Api) -> None:
    """Whose channels do not hold the owner's own may not add up the owner's posts."""
    narrow = token("ana", channels=(f"post:{post_id(1)}",))
    answer = await api.ask("GET", "/analytics", headers={"Authorization": f"Bearer {narrow}"})
    assert (answer.status, answer.code) == (403, "forbidden_channel")
    assert (await api.ask("GET", "/analytics", subject=None)).code == "unauthenticated"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("from=yesterday", "from"),
        ("to=2026-11-21T09:00:00", "to"),
        ("from=2026-11-22&to=2026-11-21", "to"),
        (f"from={'1' * 41}", "from"),
        ("owner=A%20B", "owner"),
        ("owner=", "owner"),
    ],
)
async def test_a_wrong_range_is_a_problem_document(api: Api, query: str, parameter: str) -> None:
    """It names the parameter; nothing is added up instead."""
    answer = await api.ask("GET", f"/analytics?{query}")
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.json["errors"][0]["parameter"] == parameter
