"""Start the simulator: `python -m inkwire_openai_sim`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from inkwire_openai_sim.pacing import Speed
from inkwire_openai_sim.server import Server
from inkwire_openai_sim.state import Simulator

EPILOG = """\
examples:
  python -m inkwire_openai_sim --port 8089
      then use http://127.0.0.1:8089/v1 as OPENAI_BASE_URL, with any key
  curl -N http://127.0.0.1:8089/v1/chat/completions -d '{"model": "gpt-4o-mini", "stream": true,
      "messages": [{"role": "user", "content": "Title: Top 10 Laravel tips"}]}'
  curl -X PUT http://127.0.0.1:8089/control/speed -d '{"tokens_per_s": 5}'
      slow down, running streams included; 0 means as fast as possible
  curl http://127.0.0.1:8089/control/faults -d '{"kind": "cut", "count": 1, "after_chunks": 20}'
      the next answer ends in the middle of its 21st piece
  curl http://127.0.0.1:8089/control/requests
      what was asked, how much was sent, and when and why each socket was closed

The same seed and the same request give the same text. Bind it to a loopback address: the control API has no password.
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m inkwire_openai_sim",
        description="A server that speaks OpenAI's chat completions and embeddings, writes readable text without any "
        "model, and misbehaves on command.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="port; 0 takes a free one and prints it (0)")
    parser.add_argument("--tokens-per-s", type=_not_negative, default=60.0, metavar="N", help="speed of a stream (60)")
    parser.add_argument("--ttft-ms", type=_not_negative, default=250.0, metavar="MS", help="time to first token (250)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another text (1)")
    parser.add_argument("--port-file", type=Path, metavar="PATH", help="write the port into this file once listening")
    parser.add_argument("--api-key", metavar="KEY", help="the only key to accept; without it any key will do")
    parser.add_argument("--models", default="", metavar="A,B", help="the only models to know; without it any name will")
    return parser.parse_args(argv)


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 0")
    return value


async def serve(args: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM. Raises OSError where the port is taken."""
    simulator = Simulator(
        seed=args.seed,
        speed=Speed(args.tokens_per_s, args.ttft_ms),
        api_key=args.api_key,
        models=tuple(filter(None, (name.strip() for name in args.models.split(",")))),
    )
    server = Server(simulator, args.host, args.port)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    await server.start()
    if args.port_file is not None:
        _write_port(args.port_file, server.port)
    print(f"listening on {server.base_url}", flush=True)
    await server.run()


def _write_port(path: Path, port: int) -> None:
    """Write it whole or not at all, since somebody may be waiting for the file."""
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(f"{port}\n")
    os.replace(draft, path)


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    args = parse_args(argv)
    try:
        asyncio.run(serve(args))
    except OSError as error:
        print(f"cannot listen on {args.host}:{args.port}: {error.strerror or error}. Choose another --port.",
              file=sys.stderr)  # fmt: skip
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
