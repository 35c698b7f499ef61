"""Random but legal lives of a post: runs, take-overs, retries, working steps, every end; with what must come out.

The expected text is kept by the writer of the life itself, without the fold: it is the oracle of the fold's tests.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st

from inkwire_contracts.events import KEY_TYPES, ChunkProduced, Event, event_from_dict
from inkwire_contracts.fold import digest

POST: Final = "aaaabbbbccccddddeeeeffff22"
TEXTS: Final = st.text(
    st.one_of(
        st.sampled_from("ab \n#*é\u0301\u200d\ufeff\r\u2028😀👩🚀🇫🇷𝔘"),
        st.characters(exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=6,
)
USAGES: Final = st.sampled_from(
    [
        None,
        {"tokens_in": 7, "tokens_out": 0, "source": "estimated", "cost_usd": 0.25},
        {"tokens_in": 90, "tokens_out": 1_000, "source": "reported", "cost_usd": 0.5},
        {"tokens_in": 1, "tokens_out": 3, "source": "estimated", "cost_usd": None},
        {"tokens_in": 0, "tokens_out": 0, "source": "reported"},
    ]
)
"""What an event tells of money; the costs are sums of halves, so that floats add up exactly."""
MAX_RUNS: Final = 3
MAX_ATTEMPTS_OF_SECTION: Final = 3


@dataclass
class Life:
    """The log of one post, and what a reader of the whole log must see at its end."""

    events: list[Event] = field(default_factory=list)
    finished: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    open_section: str | None = None
    open_text: str = ""
    status: str = "unknown"
    documents: list[str] = field(default_factory=list)
    """The document before each event, and at the end."""
    paid: list[dict[str, Any]] = field(default_factory=list)
    """Every usage that was told, in all runs."""
    paid_in_run: list[dict[str, Any]] = field(default_factory=list)
    """Those of the last run."""
    standing: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """By section, what was paid for the text that stands (or stood, where the post was deleted)."""
    retries: int = 0

    @property
    def document(self) -> str:
        """The text that the writer wrote, in the order of its plan."""
        texts = {**self.finished}
        if self.open_section is not None:
            texts[self.open_section] = self.open_text
        return "".join(texts.get(section, "") for section in self.order)

    @property
    def key_events(self) -> list[Event]:
        """The log without chunks, progress and unknown events that are none."""
        return [event for event in self.events if getattr(event, "prev", None) is not None]

    @property
    def is_closed(self) -> bool:
        """Whether the last event is a key event that leaves no text to chunks alone."""
        last = self.events[-1]
        return last.type in KEY_TYPES and (self.open_section is None or last.type in {"failed", "cancelled"})


class _Writer:
    """Writes a life, event by event, and decides by `draw` what happens next."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw
        self.life = Life()
        self.run = 0
        self.attempt = 0
        self.prev = 0
        self.over = False
        count = draw(st.integers(1, 3))
        self.planned = [f"s{n}" for n in range(1, count + 1)]

    def chance(self, one_in: int) -> bool:
        return bool(self.draw(st.integers(0, one_in - 1)) == one_in - 1)

    def emit(self, event_type: str, data: dict[str, Any], *, key: bool | None = None) -> None:
        seq = len(self.life.events) + 1
        body = {
            "type": event_type,
            "post": POST,
            "owner": "ada",
            "run": max(1, self.run),
            "attempt": self.attempt,
            "seq": seq,
            "time": f"2026-03-01T10:00:00.{seq:03d}Z",
            "data": data,
        }
        if event_type in KEY_TYPES if key is None else key:
            body["prev"] = self.prev
            self.prev = seq
        self.life.documents.append(self.life.document)
        self.life.events.append(event_from_dict(body))

    def told(self) -> dict[str, Any] | None:
        """A usage for the next event to tell."""
        usage: dict[str, Any] | None = self.draw(USAGES)
        if usage is not None:
            self.life.paid.append(usage)
            self.life.paid_in_run.append(usage)
        return usage

    def noise(self) -> None:
        kind = self.draw(st.sampled_from(["none", "none", "progress", "unknown_key", "unknown", "none"]))
        if kind == "progress":
            self.emit("progress", {"percent": self.draw(st.integers(0, 100)), "message": "on the way"})
        elif kind != "none":
            self.emit("novelty", {"x": 1}, key=kind == "unknown_key")

    def start(self) -> None:
        self.attempt += 1
        usage = self.told() if self.life.open_section is not None else None
        self.emit("started", {"worker": f"w{self.attempt}", "usage": usage})
        self.life.open_section, self.life.open_text, self.life.status = None, "", "active"

    def whole(self) -> Life:
        self.all_runs()
        self.life.documents.append(self.life.document)
        return self.life

    def all_runs(self) -> None:
        while self.run < MAX_RUNS and not self.over:
            self.one_run()
            if self.life.status == "published" or self.chance(3):
                break
        if self.life.status != "active" and self.chance(6):
            self.emit("deleted", {})
            self.life.order, self.life.finished, self.life.open_section = [], {}, None
            self.life.status = "deleted"

    def one_run(self) -> None:
        self.run += 1
        self.emit("requested", {"title": "A title", "recipe": "blog"})
        self.life.standing.pop(self.life.open_section or "", None)
        self.life.paid_in_run = []
        self.life.open_section, self.life.open_text, self.life.status = None, "", "active"
        if self.chance(8):
            self.end("cancelled")
            return
        self.start()
        if not self.life.order and not self.plan():
            return
        for section in self.planned:
            if section not in self.life.finished and not self.section(section, in_document=True):
                return
            if self.chance(8):
                self.emit("paused", {"reason": "approval"})
                self.life.status = "paused"
                return
        text = self.life.document
        self.emit("published", {"sha256": digest(text), "length": len(text)})
        self.life.status = "published"

    def plan(self) -> bool:
        if self.chance(2) and not self.section("outline", in_document=False):
            return False
        self.emit("planned", {"sections": [{"section": s, "title": s.upper()} for s in self.planned]})
        self.life.order = list(self.planned)
        return True

    def section(self, section: str, *, in_document: bool) -> bool:
        """Write a section, over as many tries as it takes; False where the run ended or the life stops there."""
        for left in reversed(range(MAX_ATTEMPTS_OF_SECTION)):
            self.emit("section_started", {"section": section, "title": section, "in_document": in_document})
            self.life.open_section, self.life.open_text = section, ""
            fate = self.chunks(section, may_break=left > 0)
            if fate == "written":
                usage = self.life.standing[section] = self.told()
                self.emit("section_completed", {"section": section, "text": self.life.open_text, "usage": usage})
                self.life.finished[section] = self.life.open_text
                self.life.open_section, self.life.open_text = None, ""
                return True
            if fate == "stopped":
                return False
        raise AssertionError("the last try cannot break")

    def chunks(self, section: str, *, may_break: bool) -> str:
        for text in self.draw(st.lists(TEXTS, max_size=5)):
            self.noise()
            start = len(self.life.open_text)
            self.emit("chunk", {"section": section, "start": start, "end": start + len(text), "text": text})
            self.life.open_text += text
            if self.chance(6):
                return self.interrupt(section, may_break=may_break)
        return "written"

    def interrupt(self, section: str, *, may_break: bool) -> str:
        kinds = ["failed", "failed_unnamed", "cancelled", "unfinished"]
        kind = self.draw(st.sampled_from([*kinds, "take_over", "retrying", "again"] if may_break else kinds))
        if kind == "take_over":
            self.start()
            return "broken"
        if kind == "again":
            return "broken"
        if kind == "retrying":
            asked = not self.chance(4)
            self.life.retries += asked
            data = {"section": section, "code": "provider_cut", "delay_ms": 10, "asked": asked}
            self.emit("retrying", {**data, "usage": self.told() if asked else None})
            self.life.open_section, self.life.open_text = None, ""
            return "broken"
        if kind == "unfinished":
            self.over = True
        elif kind == "failed_unnamed":
            self.emit("failed", {"code": "poison", "usage": self.told()})
            self.life.open_text, self.life.status = "", "failed"
        else:
            self.end(kind)
        return "stopped"

    def end(self, kind: str) -> None:
        usage = self.told() if self.life.open_section is not None else None
        data = {"section": self.life.open_section or "", "text": self.life.open_text, "usage": usage}
        if self.life.open_section is not None and self.life.open_text:
            self.life.standing[self.life.open_section] = usage
        self.emit(kind, {**data, "code": "provider_unavailable"} if kind == "failed" else data)
        self.life.status = kind


@st.composite
def lives(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Life:
    """A post's whole log up to some moment."""
    return _Writer(draw).whole()


def merge(chunks: list[ChunkProduced]) -> ChunkProduced:
    """Neighbouring chunks of one section as one, as a gateway sends it to a slow reader."""
    first, last = chunks[0], chunks[-1]
    text = "".join(chunk.data.text for chunk in chunks)
    data = last.data.model_copy(update={"start": first.data.start, "text": text})
    return last.model_copy(update={"first_seq": first.first_seq or first.seq, "data": data})
