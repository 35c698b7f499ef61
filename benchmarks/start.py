"""How long a person waits: from a bare clone to the first word, and from the second start to the ready line.

    python -m benchmarks.start                 three bare clones, five warm starts of each

A bare clone is made of this checkout's last commit into a temporary folder, with an empty package cache of its own, so
uv and every package are downloaded again. Then ``./run up``, a title posted as the page does it, and a reader who waits
for text. The warm starts follow in the same clone. The simulator writes, at the speed a person gets by default.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.support.processes import ManagedProcess

ROOT: Final = Path(__file__).resolve().parents[1]
READY: Final = r"Inkwire is ready: (http://\S+)"
COLD_TIMEOUT_S: Final = 300.0
WARM_TIMEOUT_S: Final = 30.0
TEXT_TIMEOUT_S: Final = 60.0


def environment(cache: Path) -> dict[str, str]:
    """This one, without what would change the product's behaviour, and with a package cache of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INKWIRE_", "OPENAI_"))}
    for name in ("VIRTUAL_ENV", "PYTHONPATH"):
        kept.pop(name, None)
    return {**kept, "UV_CACHE_DIR": str(cache)}


def ask(method: str, url: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
    """One JSON request."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def first_words(url: str) -> dict[str, float]:
    """Post a title; seconds until its 202, the first text (the outline's) and the first word of the article itself."""
    start_s = time.monotonic()
    token = ask("POST", f"{url}/tokens", {})["token"]
    post = ask("POST", f"{url}/posts", {"title": "Top 10 Laravel tips"}, token)
    found = {"accepted": time.monotonic() - start_s}
    protocols = [Subprotocol("inkwire.v1"), Subprotocol(f"token.{post['token']}")]
    with connect(post["websocket_url"], subprotocols=protocols, compression=None, proxy=None) as socket:
        socket.send(json.dumps({"type": "subscribe", "channel": post["channel"]}))
        while "article" not in found:
            frame = json.loads(socket.recv(timeout=TEXT_TIMEOUT_S))
            section = frame.get("section") or frame.get("event", {}).get("data", {}).get("section")
            if frame["type"] == "text" or frame.get("name") == "chunk.produced":
                found.setdefault("outline" if section == "outline" else "article", time.monotonic() - start_s)
    return found


def start(clone: Path, env: dict[str, str], timeout_s: float, *, write: bool = True) -> dict[str, float]:
    """``./run up`` until it is ready, a post's first words, and an ordered stop."""
    argv = [sys.executable, "run", "up", "--port", "0", "--data", str(clone / "data")]
    process = ManagedProcess("up", argv, env=env, cwd=clone)
    start_s = time.monotonic()
    process.start()
    try:
        url = process.wait_line(READY, timeout_s=timeout_s)[1]
        found = {"ready": time.monotonic() - start_s}
        if write:
            found |= first_words(url)
    except BaseException:
        print(process.tail(60), file=sys.stderr)
        raise
    finally:
        stop_s = time.monotonic()
        process.term()
    return {**found, "stop": time.monotonic() - stop_s}


def measure(warm_starts: int) -> tuple[dict[str, float], list[dict[str, float]]]:
    """One bare clone and its warm starts."""
    folder = Path(tempfile.mkdtemp(prefix="inkwire-start-"))
    try:
        env = environment(folder / "uv-cache")
        start_s = time.monotonic()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "inkwire")], check=True)  # noqa: S607
        cold = {"clone": time.monotonic() - start_s}
        cold |= start(folder / "inkwire", env, COLD_TIMEOUT_S)
        cold["clone to first word"] = cold["clone"] + cold["ready"] + cold["outline"]
        warm = [start(folder / "inkwire", env, WARM_TIMEOUT_S) for _ in range(warm_starts)]
        return cold, warm
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show(what: str, found: dict[str, float]) -> None:
    """One line."""
    print(f"{what:<22} " + "  ".join(f"{name} {seconds:.2f}" for name, seconds in found.items()) + "  s", flush=True)


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    """Of each column."""
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=int, default=3, help="bare clones (default 3)")
    parser.add_argument("--warm-starts", type=int, default=5, help="starts after each (default 5)")
    given = parser.parse_args()
    colds: list[dict[str, float]] = []
    warms: list[dict[str, float]] = []
    for number in range(1, given.clones + 1):
        print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
        cold, warm = measure(given.warm_starts)
        show(f"bare clone {number}", cold)
        for found in warm:
            show("  warm start", found)
        colds.append(cold)
        warms.extend(warm)
    show("median of bare clones", medians(colds))
    if warms:
        show("median of warm starts", medians(warms))


if __name__ == "__main__":
    main()
