"""The simulator's process: its command line, its key, its end."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from tests.support.processes import ManagedProcess
from tests.support.sim import SimServer
from tests.support.wait import eventually, eventually_sync

MESSAGES: Any = [{"role": "user", "content": "Title: Top 10 Laravel tips"}]


async def test_key_is_checked_and_never_shown() -> None:
    """With a key set, another or none is a 401 whose text does not hold it; models are checked likewise."""
    with SimServer(api_key="sk-right-key-0123456789", models="one,two") as own:
        async with AsyncOpenAI(base_url=own.base_url, api_key="sk-wrong-key-9876543210", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.models.list()
        assert "9876543" not in str(caught.value)
        assert "right" not in str(caught.value)
        async with aiohttp.ClientSession() as session, session.get(f"{own.base_url}/models") as got:
            assert (got.status, (await got.json())["error"]["type"]) == (401, "invalid_request_error")
        async with AsyncOpenAI(base_url=own.base_url, api_key="sk-right-key-0123456789", max_retries=0) as client:
            assert [model.id async for model in client.models.list()] == ["one", "two"]
            with pytest.raises(openai.NotFoundError, match="does not exist"):
                await client.chat.completions.create(model="three", messages=MESSAGES)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end the process with status 0 and nothing but its first line printed, streams or not."""
    port_file = tmp_path / "port"
    argv = [sys.executable, "-m", "inkwire_openai_sim", f"--port-file={port_file}", "--tokens-per-s=5", "--ttft-ms=0"]
    process = ManagedProcess("openai_sim", argv).start()
    match = process.wait_line(r"listening on (http://127\.0\.0\.1:(\d+)/v1)")
    try:
        assert port_file.read_text() == f"{match[2]}\n"
        async with AsyncOpenAI(base_url=match[1], api_key="k", max_retries=0) as client:
            stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            await anext(aiter(stream))
            os.kill(process.pid, number)
            with pytest.raises(openai.APIConnectionError):
                async for _ in stream:
                    pass
        await eventually(lambda: not process.running, what="the simulator ends by itself")
        process.assert_clean_exit()
        assert process.lines == [match[0]]
    finally:
        process.kill9()


def test_a_taken_port_is_said_in_one_line() -> None:
    """Starting on a port that is in use ends with status 1 and says what to do."""
    with SimServer() as sim:
        argv = [sys.executable, "-m", "inkwire_openai_sim", f"--port={sim.port}"]
        process = ManagedProcess("openai_sim", argv).start()
        process.wait_line(r"cannot listen on 127.0.0.1:\d+: .+ Choose another --port\.")
    eventually_sync(lambda: not process.running, what="the second simulator ends by itself")
    assert process.returncode == 1


def test_help_teaches() -> None:
    """`--help` names every option and shows how to slow it down, break it and look at what happened."""
    process = ManagedProcess("openai_sim", [sys.executable, "-m", "inkwire_openai_sim", "--help"]).start()
    process.wait_line("control API has no password")
    eventually_sync(lambda: not process.running, what="--help ends")
    assert process.returncode == 0
    for wanted in ("--tokens-per-s", "--port-file", "OPENAI_BASE_URL", "/control/faults", "/control/requests"):
        assert wanted in process.log
