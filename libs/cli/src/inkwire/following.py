"""Following one post: frames of its channel in, the folded post out. Pure; the sockets are in :mod:`inkwire.client`."""

from dataclasses import dataclass
from typing import Literal

from inkwire_contracts.client_frames import (
    DataFrame,
    EventFrame,
    Live,
    Position,
    ServerFrame,
    SnapshotFrame,
    TextFrame,
)
from inkwire_contracts.events import Event, event_from_dict
from inkwire_contracts.fold import Outcome, Snapshot, digest, document, fold


class OutOfStep(Exception):
    """What came does not follow what we have; ``keep``: the position is good, ask again from there."""

    def __init__(self, message: str, *, keep: bool) -> None:
        super().__init__(message)
        self.keep = keep


class DigestMismatch(Exception):
    """The text is not the one that the writer published."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"the text's digest is {actual}, the published one is {expected}")
        self.expected = expected
        self.actual = actual


@dataclass(frozen=True, slots=True)
class Update:
    """What a follower sees.

    ``replaced``: the post was sent anew as a whole. ``event``: it came forward by ``event``. ``lost``: the connection
    broke, for ``reason``; it is tried again in ``delay_s``. ``resumed``: it is back, nothing was missed.
    """

    kind: Literal["replaced", "event", "lost", "resumed"]
    snapshot: Snapshot
    position: Position | None
    event: Event | None = None
    name: str = ""
    reason: str = ""
    delay_s: float = 0.0
    log_lost: bool = False
    """With ``replaced``: this comes from another log than what was followed before, which was lost."""


class PostFold:
    """The state of one followed post. A new text is taken over only when it is complete."""

    def __init__(self, post: str) -> None:
        self.snapshot = Snapshot(post=post)
        self.epoch: str | None = None
        self._followed_epoch: str | None = None
        self._coming: tuple[str, Snapshot, dict[str, int]] | None = None

    @property
    def position(self) -> Position | None:
        """Where to go on from; None as long as we have nothing."""
        return None if self.epoch is None else Position(epoch=self.epoch, seq=self.snapshot.seq)

    def reconnected(self) -> None:
        """Forget a catch-up that was cut."""
        self._coming = None

    def forget(self) -> None:
        """Ask for the whole post next."""
        self.epoch = None
        self._coming = None

    def receive(self, frame: ServerFrame) -> Update | None:
        """Take one frame of the post's channel.

        Raises:
            OutOfStep: it cannot be applied; subscribe again.
        """
        if isinstance(frame, SnapshotFrame):
            self._begin(frame)
        elif isinstance(frame, DataFrame):
            self._fill(frame)
        elif isinstance(frame, TextFrame):
            self._append(frame)
        elif isinstance(frame, Live):
            return self._live(frame)
        elif isinstance(frame, EventFrame):
            return self._event(frame)
        return None

    def _begin(self, frame: SnapshotFrame) -> None:
        snapshot = Snapshot.model_validate(frame.snapshot)
        lengths = {section.section: section.length for section in snapshot.sections}
        for section in snapshot.sections:
            section.set_text("")
        self._coming = (frame.epoch, snapshot, lengths)

    def _fill(self, frame: DataFrame) -> None:
        section = self._coming[1].section(frame.section) if self._coming else None
        if section is None:
            raise OutOfStep("data came for a section that is not there", keep=False)
        section.data = frame.data

    def _append(self, frame: TextFrame) -> None:
        section = self._coming[1].section(frame.section) if self._coming else None
        if section is None or section.length != frame.start or frame.end - frame.start != len(frame.text):
            raise OutOfStep("a piece of text is missing", keep=False)
        section.set_text(section.text + frame.text)

    def _live(self, frame: Live) -> Update:
        if self._coming is None:
            if frame.position != self.position:
                raise OutOfStep("the server is at another place", keep=False)
            return Update("resumed", self.snapshot, self.position)
        epoch, snapshot, lengths = self._coming
        complete = all(section.length == lengths[section.section] for section in snapshot.sections)
        if not complete or frame.position != Position(epoch=epoch, seq=snapshot.seq):
            raise OutOfStep("the text is not complete", keep=False)
        log_lost = self._followed_epoch not in (None, epoch)
        self.snapshot, self.epoch, self._followed_epoch, self._coming = snapshot, epoch, epoch, None
        return Update("replaced", self.snapshot, self.position, log_lost=log_lost)

    def _event(self, frame: EventFrame) -> Update | None:
        if self._coming is not None or self.epoch is None:
            raise OutOfStep("an event came before the text", keep=False)
        event = event_from_dict(frame.event)
        outcome = fold(self.snapshot, event)
        if outcome is Outcome.DUPLICATE:
            return None
        if outcome is not Outcome.APPLIED:
            raise OutOfStep(f"event {event.seq} after {self.snapshot.seq}", keep=outcome is Outcome.GAP)
        return Update("event", self.snapshot, self.position, event=event, name=frame.name)

    def verify(self) -> None:
        """Check a published post's text against its digest.

        Raises:
            DigestMismatch: they differ.
        """
        if self.snapshot.status == "published" and self.snapshot.sha256 is not None:
            actual = digest(document(self.snapshot))
            if actual != self.snapshot.sha256:
                raise DigestMismatch(self.snapshot.sha256, actual)
