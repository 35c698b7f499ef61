"""The OpenAI-compatible simulator as a process of its own, for tests, benchmarks and demos."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from types import TracebackType
from typing import Any, Final

from tests.support.processes import ManagedProcess
from tests.support.wait import eventually, scaled_s

CALL_S: Final = 10.0
STALLED_AFTER: Final = 40  # chunks


class SimServer:
    """Starts `python -m inkwire_openai_sim` on a free port; a context manager. It only ever ends its own process.

    The defaults are quick: as fast as possible, no wait for the first token. All calls block for a few milliseconds.
    """

    def __init__(
        self,
        *,
        tokens_per_s: float = 0,
        ttft_ms: float = 0,
        seed: int = 1,
        api_key: str | None = None,
        models: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._args = [
            f"--host={host}", f"--port={port}", f"--tokens-per-s={tokens_per_s}", f"--ttft-ms={ttft_ms}",
            f"--seed={seed}", f"--models={models}",
        ]  # fmt: skip
        if api_key is not None:
            self._args.append(f"--api-key={api_key}")
        self.host, self.port = host, port
        self.process = ManagedProcess("openai_sim", [sys.executable, "-m", "inkwire_openai_sim", *self._args])

    @classmethod
    def of(cls, base_url: str) -> SimServer:
        """One that somebody else has started, to be controlled."""
        host, _, port = base_url.removeprefix("http://").removesuffix("/v1").rpartition(":")
        return cls(host=host, port=int(port))

    @property
    def base_url(self) -> str:
        """For an OpenAI client."""
        return f"{self.origin}/v1"

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> SimServer:
        """Start and wait until it listens. Raises ProcessEnded with the end of its log."""
        self.process.start()
        match = self.process.wait_line(r"^listening on http://.+:(\d+)/v1$")
        self.port = int(match[1])
        return self

    def stop(self) -> None:
        """End the process; nothing happens if it is not running. Raises AssertionError if it does not end in time."""
        if self.process.running:
            self.process.term()

    def __enter__(self) -> SimServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One call to the control API; its JSON, or None. Raises RuntimeError with the simulator's own message."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.origin}/control/{path}", data, method=method)  # noqa: S310
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: never through a proxy
        try:
            with opener.open(request, timeout=scaled_s(CALL_S)) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                message = json.loads(error.read())["error"]["message"]
            raise RuntimeError(f"{method} /control/{path}: {message}") from None
        return json.loads(content) if content else None

    def set_speed(self, *, tokens_per_s: float | None = None, ttft_ms: float | None = None) -> None:
        """Change the speed, for running streams too; without arguments back to the one at the start."""
        wanted = {"tokens_per_s": tokens_per_s, "ttft_ms": ttft_ms}
        self.control("PUT", "speed", {name: value for name, value in wanted.items() if value is not None})

    def set_limits(self, **limits: Any) -> None:
        """requests_per_min, tokens_per_min, window_s, enforce, headers; for each key, full at first."""
        self.control("PUT", "limits", limits)

    def add_fault(
        self,
        kind: str,
        *,
        count: int | None = 1,
        after_chunks: int | None = None,
        probability: float = 1.0,
        match: str = "",
        endpoint: str | None = None,
        format: str | None = None,
        **params: Any,
    ) -> dict[str, Any]:
        """Add a rule (by default for one request); `params` are the kind's own. The rule with its id.

        ``endpoint``: only for ``chat`` or only for ``embeddings``; ``format``: only for that response format, such as
        ``json_schema``; None for all.
        """
        rule = {
            "kind": kind, "count": count, "after_chunks": after_chunks, "probability": probability, "match": match,
            "endpoint": endpoint, "format": format, "params": params,
        }  # fmt: skip
        added: dict[str, Any] = self.control("POST", "faults", rule)
        return added

    def plan_at_once(self) -> None:
        """Only sections take their time; plans are JSON, and there as soon as they are asked for."""
        self.add_fault("speed", count=None, match="JSON", tokens_per_s=0, ttft_ms=0)

    def stall(self, match: str = "<section>", *, count: int = 1) -> None:
        """The next answers that fit stop in their middle for longer than a test lasts, so that whatever is done after
        :meth:`until_stalled` meets an open connection and an open section, however slow this machine is.
        """
        self.add_fault("stall", match=match, after_chunks=STALLED_AFTER, seconds=300, count=count)

    async def until_stalled(self, count: int = 1) -> None:
        """Wait until so many answers have been sent as far as they will be."""

        def stalled() -> bool:
            found = [r for r in self.requests() if r["fault"] == "stall" and r["chunks_sent"] == STALLED_AFTER]
            return len(found) == count

        await eventually(stalled, what=f"{count} answers have stalled", timeout_s=60.0)

    async def until_left(self) -> None:
        """Wait until the client has closed the connection of the newest request before its end."""
        await eventually(lambda: self.requests()[-1]["close_reason"] == "client_closed", what="the client has gone")

    def faults(self) -> list[dict[str, Any]]:
        """All rules with their hits."""
        listed: list[dict[str, Any]] = self.control("GET", "faults")["faults"]
        return listed

    def clear_faults(self) -> None:
        self.control("DELETE", "faults")

    def requests(self) -> list[dict[str, Any]]:
        """The request log, oldest first."""
        listed: list[dict[str, Any]] = self.control("GET", "requests")["requests"]
        return listed

    def clear_requests(self) -> None:
        self.control("DELETE", "requests")

    def record_chunk_times(self, on: bool = True) -> None:
        self.control("PUT", "recording", {"chunk_times": on})

    def chunk_times(self, request_id: str) -> tuple[list[float], list[int]]:
        """When each delta of a request left (milliseconds since 1970), and how many characters it had."""
        found = self.control("GET", f"requests/{request_id}/chunks")
        return found["sent_at_ms"], found["chars"]

    def record_prompts(self, on: bool = True) -> None:
        self.control("PUT", "recording", {"prompts": on})

    def messages(self, request_id: str) -> list[tuple[str, str]]:
        """Role and text of each message that a recorded chat request sent."""
        found = self.control("GET", f"requests/{request_id}/messages")["messages"]
        return [(message["role"], message["text"]) for message in found]

    def refuse(self, seconds: float) -> None:
        """Refuse new connections for so long, control calls included."""
        self.control("POST", "refuse", {"seconds": seconds})

    def reset(self) -> None:
        """Back to the state after the start, the log emptied."""
        self.clear_faults()
        self.set_speed()
        self.set_limits(requests_per_min=10_000, tokens_per_min=2_000_000, window_s=60, enforce=False, headers=True)
        self.clear_requests()

    def environment(self, model: str = "gpt-4o-mini") -> dict[str, str]:
        """The settings that make a service use this simulator."""
        return {"OPENAI_BASE_URL": self.base_url, "OPENAI_API_KEY": "sk-simulator", "OPENAI_MODEL": model}
