"""`python -m tests.chaos`: the kill matrix by command. Exit status 0 where every promise held, 1 where one did not."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.chaos.broken import BROKEN_IN
from tests.chaos.faults import AIMS
from tests.chaos.matrix import Options, Report, run
from tests.chaos.report import table, write_evidence

LINE_EVERY: Final = 10
"""Lines that are left out where nobody can overwrite them."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    usual = Options()
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Kills Inkwire's processes at random while posts are written and read; then compares what readers "
        "showed, what the store holds and what the log says.",
    )
    parser.add_argument("--kills", type=int, default=usual.kills, help="SIGKILLs in all (%(default)s)")
    parser.add_argument("--posts", type=int, default=usual.posts, help="posts at least (%(default)s)")
    parser.add_argument("--seed", type=int, default=usual.seed, help="what is drawn (%(default)s)")
    parser.add_argument("--open", type=int, default=usual.open_posts, help="posts at the same time (%(default)s)")
    parser.add_argument("--talks", type=int, default=usual.talks, help="conversations beside them (%(default)s)")
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=usual.nodes, help="nats-servers (%(default)s)")
    parser.add_argument("--gap-s", type=float, default=usual.gap_s, help="mean time between faults (%(default)s)")
    parser.add_argument("--lease-s", type=float, default=usual.lease_s, help="a worker's lease (%(default)s)")
    parser.add_argument("--tokens-per-s", type=float, default=usual.tokens_per_s, help="speed of the model")
    parser.add_argument(
        "--settle-s",
        type=float,
        default=usual.settle_s,
        help="where nothing comes forward for so long after the last fault, it is lost (%(default)s)",
    )
    parser.add_argument("--break", dest="broken", choices=sorted(BROKEN_IN), help="break a rule on purpose")
    parser.add_argument("--aim", choices=sorted(AIMS), help="the faults of --break, with the rule in place")
    parser.add_argument(
        "--evidence", type=Path, help="folder for logs, times and evidence (of a failure: a temporary one)"
    )
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run it and say what was found."""
    args = parse_args(argv)
    options = Options(
        kills=args.kills, posts=args.posts, seed=args.seed, open_posts=args.open, gap_s=args.gap_s,
        lease_s=args.lease_s, tokens_per_s=args.tokens_per_s, settle_s=args.settle_s, broken=args.broken, aim=args.aim,
        nodes=args.nodes, talks=args.talks,
    )  # fmt: skip

    with tempfile.TemporaryDirectory(prefix="inkwire-chaos-") as folder:
        report: Report = asyncio.run(run(options, Path(folder), _teller()))
    print()
    print(table(report))
    if report.violations or args.evidence:
        where = args.evidence or Path(tempfile.mkdtemp(prefix="inkwire-chaos-evidence-"))
        write_evidence(report, where)
        print(f"evidence: {where}")
    return 1 if report.violations else 0


def _teller() -> Callable[[str], None]:
    """One line that changes on a terminal; a line now and then elsewhere."""
    live = sys.stderr.isatty()
    told = 0

    def tell(line: str) -> None:
        nonlocal told
        told += 1
        if live:
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
        elif told % LINE_EVERY == 0:
            print(line, file=sys.stderr, flush=True)

    return tell


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
