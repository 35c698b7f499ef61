"""A run for people: the table at its end, and the evidence of a failure as files."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from inkwire_contracts.fold import document
from tests.chaos.matrix import Report
from tests.chaos.oracle import PostEvidence, Violation
from tests.chaos.talk_oracle import TalkEvidence
from tests.chaos.timing import percentile

SHOWN_OF_A_RULE: Final = 3
LOST: Final = (
    "readers_reach_the_end", "accepted", "one_terminal", "jobs_done", "talk_accepted_once", "talk_reaches_the_end"
)  # fmt: skip
DOUBLED: Final = (
    "readers_show_the_log", "readers_go_forward", "superseded_is_announced", "one_writer", "talk_shows_the_log",
    "talk_goes_forward", "talk_answered_once",
)  # fmt: skip
WRONG: Final = ("digest_proves", "deleted_at_last", "store_is_the_log", "download_is_the_log", "store_shows_the_log")


def table(report: Report) -> str:
    """What was done, what was compared and what was found."""
    posts = report.evidence.posts
    readers = [reader for post in posts for reader in post.readers]
    by_rule = Counter(violation.rule for violation in report.violations)
    events = sum(len(post.log) for post in posts)
    rows: list[tuple[str, str]] = [
        ("seed", str(report.options.seed)),
        ("rule broken on purpose", report.options.broken or "none"),
        ("time", f"{report.seconds:.0f} s"),
        ("SIGKILLs", f"{report.kills} ({_hits(report, 'kill')})"),
        ("frozen beyond the lease", _hits(report, "freeze")),
        ("cut off the broker", _hits(report, "cut")),
        ("store locked", _hits(report, "lock")),
        ("posts accepted", str(len(posts))),
        ("  of them", _ways(posts)),
        ("events in the log", f"{events}, attempts {sum(len(post.claims) for post in posts)}"),
        ("readers", f"{len(readers)}, connections {sum(reader.connections for reader in readers)}"),
        ("conversations", _talks(report.evidence.talks)),
        ("positions compared", str(sum(len(reader.sights) for reader in readers))),
        ("store states compared", str(sum(len(post.store_sights) for post in posts))),
        ("events that readers asked for again", str(sum(reader.gaps for reader in readers))),
        ("lost", str(sum(by_rule[rule] for rule in LOST))),
        ("doubled or taken back", str(sum(by_rule[rule] for rule in DOUBLED))),
        ("wrong digests or texts", str(sum(by_rule[rule] for rule in WRONG))),
        ("violations in all", f"{len(report.violations)}{_rules(by_rule)}"),
        *_waits(report),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    return "\n".join([*lines, *_first_of_each(report.violations)])


def _first_of_each(violations: Sequence[Violation]) -> Iterator[str]:
    """A few violations of each rule: one cause breaks many rules at many places."""
    told: Counter[str] = Counter()
    for violation in violations:
        told[violation.rule] += 1
        if told[violation.rule] <= SHOWN_OF_A_RULE:
            yield f"  {violation}"


def _talks(talks: Sequence[TalkEvidence]) -> str:
    accepted = sum(len({message for message, _, _ in talk.accepted}) for talk in talks)
    shown = sum(len(heard.sights) for talk in talks for heard in talk.heard)
    return f"{len(talks)}, messages accepted {accepted}, positions compared {shown}"


def _hits(report: Report, kind: str) -> str:
    found = Counter(done.fault.target for done in report.done if done.fault.kind == kind)
    return ", ".join(f"{name} {count}" for name, count in sorted(found.items())) or "none"


def _ways(posts: Sequence[PostEvidence]) -> str:
    found = Counter(post.way for post in posts)
    return ", ".join(f"{name} {count}" for name, count in sorted(found.items()))


def _rules(by_rule: Counter[str]) -> str:
    return "".join(f", {rule} {count}" for rule, count in sorted(by_rule.items()))


def _waits(report: Report) -> list[tuple[str, str]]:
    rows = []
    for name, only_alone in (("worker killed to next text", False), ("  ... with no other fault then", True)):
        waits = [found.seconds for found in report.recoveries if found.alone or not only_alone]
        if waits:
            figures = f"median {percentile(waits, 50):.2f} s, p99 {percentile(waits, 99):.2f} s, of {len(waits)}"
            rows.append((name, figures))
    return rows


def write_evidence(report: Report, folder: Path) -> None:
    """Everything about the posts that a violation names, the faults with their times, and the logs of the processes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.txt").write_text(table(report), encoding="utf-8")
    _write(folder / "options.json", asdict(report.options))
    _write_lines(folder / "violations.txt", map(str, report.violations))
    _write_lines(folder / "faults.jsonl", (json.dumps(asdict(done)) for done in report.done))
    _write_lines(folder / "recoveries.jsonl", (json.dumps(asdict(found)) for found in report.recoveries))
    for name, lines in report.processes.items():
        _write_lines(folder / f"{name}.log", lines)
    guilty = {violation.post for violation in report.violations}
    for post in report.evidence.posts:
        if post.post in guilty:
            _write_post(folder / post.post, post, report.violations)


def _write_post(folder: Path, post: PostEvidence, violations: list[Violation]) -> None:
    folder.mkdir(exist_ok=True)
    _write_lines(folder / "violations.txt", (str(v) for v in violations if v.post == post.post))
    _write_lines(folder / "log.jsonl", (f"{stored.stream_seq} {stored.raw.decode()}" for stored in post.log))
    _write_lines(folder / "claims.jsonl", (json.dumps(asdict(claim)) for claim in post.claims))
    _write_lines(folder / "store.jsonl", (json.dumps(asdict(sight)) for sight in post.store_sights))
    if post.stored is not None:
        (folder / "stored.json").write_text(post.stored.snapshot.model_dump_json(indent=1), encoding="utf-8")
        (folder / "stored.md").write_text(post.stored.markdown or document(post.stored.snapshot), encoding="utf-8")
    for reader in post.readers:
        head = {"connections": reader.connections, "gaps": reader.gaps, "refusals": reader.refusals}
        lines = [json.dumps(head), *(json.dumps(asdict(sight)) for sight in reader.sights)]
        _write_lines(folder / f"reader-{reader.name}.jsonl", lines)
        if reader.final_text is not None:
            (folder / f"reader-{reader.name}.md").write_text(reader.final_text, encoding="utf-8")


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
