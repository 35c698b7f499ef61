"""Conversations on the whole system: docs/conversations.md as it stands, and an api killed while people talk."""

import asyncio
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.support.stack import ROOT, Stack, running_stack
from tests.support.wait import eventually, scaled_s

WALK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WALK_TIMEOUT_S = 120
KILLS = 2
MESSAGES = 12
AT_ONCE = 4

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """At a speed at which an answer can be stopped before its end."""
    with running_stack(tmp_path_factory.mktemp("talk") / "data", "--tokens-per-s", "60") as started:
        yield started


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("jq"), reason="the walk-through needs curl and jq")
def test_the_walk_through_can_be_pasted(stack: Stack) -> None:
    """Every command of it works, up to the deletion."""
    bash = shutil.which("bash")
    script = WALK.search((ROOT / "docs" / "conversations.md").read_text(encoding="utf-8"))
    assert bash is not None and script is not None
    done = subprocess.run(
        [bash, "-euo", "pipefail", "-c", script[1]],
        env={**os.environ, "URL": stack.state["url"]},
        capture_output=True,
        text=True,
        timeout=scaled_s(WALK_TIMEOUT_S),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "204" and "Quorums" in lines and '{"👍":["local"]}' in lines
    assert "user: For the talk on Friday." in lines and "6" in lines and "# Quorums" in lines


class Talker:
    """Says each thing under a key until it is accepted."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession) -> None:
        self._base = stack.state["url"]
        self._session = session
        self._headers = {"Authorization": f"Bearer {stack.mint('local')}"}
        self.chat = ""

    async def ask(self, method: str, path: str, *, key: str = "", **options: Any) -> tuple[int, Any]:
        headers = {**self._headers, **({"Idempotency-Key": key} if key else {})}
        try:
            async with self._session.request(method, self._base + path, headers=headers, **options) as response:
                return response.status, await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, None

    async def say(self, number: int) -> None:
        async def accepted() -> bool:
            body = {"content": f"message {number}"}
            status, said = await self.ask("POST", f"/conversations/{self.chat}/messages", key=f"k{number}", json=body)
            assert status in (0, 202, 429, 502, 503), said
            return status == 202

        await eventually(accepted, timeout_s=60, what=f"message {number} is accepted")

    async def messages(self) -> list[dict[str, Any]] | None:
        """All of them, once every answer has ended."""
        status, page = await self.ask("GET", f"/conversations/{self.chat}/messages?limit=100")
        if status != 200 or any(m["reply"] and m["reply"]["status"] != "published" for m in page["items"]):
            return None
        return list(page["items"])


async def test_nothing_is_lost_or_said_twice_while_the_api_is_killed(stack: Stack) -> None:
    """Every message stands once, each with one answer, and each answer is published."""
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        talker = Talker(stack, session)
        status, chat = await talker.ask("POST", "/conversations", json={"title": "Killed"})
        assert status == 201
        talker.chat = chat["id"]
        for first in range(0, MESSAGES, AT_ONCE):
            saying = asyncio.gather(*(talker.say(n) for n in range(first, first + AT_ONCE)))
            if first // AT_ONCE < KILLS:
                stack.kill9("inkwire_api.main")
            await saying
        found = await eventually(talker.messages, timeout_s=60, what="every answer is published")
    said = Counter(m["content"] for m in found if m["role"] == "user")
    assert said == {f"message {n}": 1 for n in range(MESSAGES)}
    answered = Counter(m["reply_to"] for m in found if m["role"] == "assistant")
    assert answered == {m["id"]: 1 for m in found if m["role"] == "user"}
