"""How a running post is shown: on a terminal, into a pipe, or as lines of JSON for scripts."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text as RichText

from inkwire.countdown import countdown
from inkwire.exits import program
from inkwire.following import Update
from inkwire.transcript import Superseded, Text, Transcript, harmless
from inkwire_contracts.events import encode_event
from inkwire_contracts.fold import Snapshot

REFRESH_PER_S = 12


class Display(Protocol):
    """Where a run is shown. A context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def accepted(self, post: str, url: str) -> None:
        """The post is promised."""
        ...

    def update(self, update: Update) -> None:
        """It came forward, or the connection changed."""
        ...

    def result(self, result: Mapping[str, Any]) -> None:
        """How it ended."""
        ...


def choose(*, as_json: bool, stdout: TextIO | None = None, stderr: TextIO | None = None) -> Display:
    """The display that fits where the output goes."""
    out, err = stdout or sys.stdout, stderr or sys.stderr
    if as_json:
        return JsonDisplay(out)
    if out.isatty() and err.isatty():
        return TerminalDisplay(Console(file=out, highlight=False, soft_wrap=True))
    return StreamDisplay(out, err)


class JsonDisplay:
    """One JSON object a line: accepted, then snapshot, event and connection, at last result."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def accepted(self, post: str, url: str) -> None:
        """See :class:`Display`."""
        self._write({"type": "accepted", "id": post, "url": url})

    def update(self, update: Update) -> None:
        """See :class:`Display`."""
        position = update.position.model_dump() if update.position else None
        if update.event is not None:
            event = json.loads(encode_event(update.event))
            self._write({"type": "event", "name": update.name, "position": position, "event": event})
        elif update.kind == "replaced":
            snapshot = update.snapshot.model_dump(mode="json")
            self._write({"type": "snapshot", "position": position, "log_lost": update.log_lost, "snapshot": snapshot})
        else:
            delay_ms = round(update.delay_s * 1000)
            self._write({"type": "connection", "state": update.kind, "reason": update.reason, "delay_ms": delay_ms})

    def result(self, result: Mapping[str, Any]) -> None:
        """See :class:`Display`."""
        self._write({"type": "result", **result})

    def _write(self, line: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._out.flush()


class StreamDisplay:
    """Text to stdout, progress to stderr: as a bar if that is a terminal, else a line for each step.

    Into a pipe go whole sections only: what is written there cannot be taken back.
    """

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._transcript = Transcript(whole_sections=not out.isatty())
        self._bar = Bar(Console(file=err)) if err.isatty() else None
        self._last = ""

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.progress.stop()

    def accepted(self, post: str, url: str) -> None:
        """See :class:`Display`."""
        self._say(f"post {post}: {url}/p/{post}")

    def update(self, update: Update) -> None:
        """See :class:`Display`."""
        for piece in self._transcript.advance(update.snapshot):
            if isinstance(piece, Text):
                self._out.write(harmless(piece.text) if self._out.isatty() else piece.text)
                self._out.flush()
            else:
                self._out.write(f"\n\n[{_superseded(piece)}]\n\n")
        if notice := _connection_notice(update):
            self._say(notice)
        elif self._bar is not None:
            self._bar.show(update.snapshot)
        elif (line := _progress_line(update.snapshot)) != self._last:
            self._last = line
            self._say(line)

    def result(self, result: Mapping[str, Any]) -> None:
        """See :class:`Display`."""
        self._say(_result_line(result))

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.progress.console.print(RichText(line, style="dim"))
        else:
            self._err.write(f"{line}\n")
            self._err.flush()


class TerminalDisplay:
    """Lines of the text, below them the line being written and a progress bar."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._transcript = Transcript(whole_sections=False)
        self._bar = Bar(console)
        self._tail = ""
        self._live = Live(console=console, refresh_per_second=REFRESH_PER_S, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.update(RichText(""))
        self._live.stop()
        self._print_tail()

    def accepted(self, post: str, url: str) -> None:
        """See :class:`Display`."""
        self._note(f"{url}/p/{post}")

    def update(self, update: Update) -> None:
        """See :class:`Display`."""
        for piece in self._transcript.advance(update.snapshot):
            if isinstance(piece, Text):
                self._add(harmless(piece.text))
            else:
                self._print_tail()
                self._note(f"[{_superseded(piece)}]")
        if notice := _connection_notice(update):
            self._note(notice)
        self._bar.show(update.snapshot)
        self._live.update(Group(RichText(self._tail), self._bar.progress))

    def result(self, result: Mapping[str, Any]) -> None:
        """See :class:`Display`."""
        self._live.update(RichText(""))
        self._print_tail()
        self._note(_result_line(result))

    def _add(self, text: str) -> None:
        *lines, self._tail = (self._tail + text).split("\n")
        if lines:
            self._console.print(RichText("\n".join(lines)))

    def _print_tail(self) -> None:
        if self._tail:
            self._console.print(RichText(self._tail))
            self._tail = ""

    def _note(self, line: str) -> None:
        self._console.print(RichText(line, style="dim"))


class _MessageColumn(ProgressColumn):
    """What happens now; drawn again and again, so that a wait counts down."""

    def render(self, task: Task) -> RichText:
        snapshot = task.fields.get("snapshot")
        return RichText(countdown(snapshot, datetime.now(UTC)) or _message(snapshot) if snapshot else task.description)


class Bar:
    """A progress bar of a run."""

    def __init__(self, console: Console) -> None:
        columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %"), _MessageColumn())
        self.progress = Progress(*columns, console=console, transient=True, refresh_per_second=REFRESH_PER_S)
        self._task: TaskID = self.progress.add_task("Waiting for a writer...", total=100)

    def show(self, snapshot: Snapshot) -> None:
        """Where the run is."""
        self.progress.update(self._task, completed=snapshot.progress.percent, snapshot=snapshot)


def _message(snapshot: Snapshot) -> str:
    if snapshot.retry is not None:
        return snapshot.retry.message
    return snapshot.progress.message or snapshot.status


def _progress_line(snapshot: Snapshot) -> str:
    return f"[{snapshot.progress.percent:>3} %] {_message(snapshot)}"


def _superseded(piece: Superseded) -> str:
    return f'What was written of "{piece.title or "this section"}" no longer holds; it is written again:'


def _connection_notice(update: Update) -> str:
    if update.kind == "lost":
        return f"[connection lost: {update.reason}; trying again in {update.delay_s:.1f} s]"
    if update.log_lost:
        return "[the broker's log was lost; going on from what had been saved]"
    return ""


def _result_line(result: Mapping[str, Any]) -> str:
    if result["status"] == "published":
        return f"Published: {result['words']} words, sha256 {result['sha256']} verified. {result['message']}".rstrip()
    if result["status"] == "interrupted":
        return f"Interrupted; the post goes on. Follow it with: {program()} watch {result['id']}"
    if result["status"] == "paused":
        return f"The outline waits for your approval. Look at it with: {program()} approve {result['id']} --show"
    return f"The post is {result['status']}. {result.get('message') or ''}".rstrip()
