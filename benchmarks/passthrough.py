"""What most people build first: FastAPI opens the model's stream and hands each of its lines to the browser.

It keeps nothing, resumes nothing and serves one reader for each call of the model; it is here as the shortest way that
a delta can take through a Python web server.

    python -m benchmarks.passthrough --port 9001 --provider http://127.0.0.1:9000/v1
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse


def application(provider: str) -> FastAPI:
    """The app, in front of an OpenAI-compatible server."""
    sessions: list[aiohttp.ClientSession] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        ) as session:
            sessions.append(session)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/stream")
    async def stream(calls: int = 1) -> StreamingResponse:
        return StreamingResponse(_lines(sessions[0], provider, calls), media_type="text/event-stream")

    return app


async def _lines(session: aiohttp.ClientSession, provider: str, calls: int) -> AsyncIterator[bytes]:
    body = {"model": "clock", "stream": True, "messages": [{"role": "user", "content": "Write."}]}
    for _ in range(calls):
        async with session.post(f"{provider}/chat/completions", json=body) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                if line.startswith(b"data:"):
                    yield line + b"\n"


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--provider", required=True, help="base URL of an OpenAI-compatible server")
    given = parser.parse_args()
    uvicorn.run(application(given.provider), host="127.0.0.1", port=given.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
