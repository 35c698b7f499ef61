"""What to print of a post that is being written, so that what stands there is the text and nothing else. Pure."""

from dataclasses import dataclass

from inkwire_contracts.fold import Section, Snapshot


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the document."""

    text: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """What was printed of this section (and after it) holds no more; it is printed again from the section's start."""

    title: str


Piece = Text | Superseded


class Transcript:
    """Turns states of a post into pieces of text.

    ``whole_sections``: print a section only when it is finished, so that nothing printed is ever taken back; for
    pipes and files.
    """

    def __init__(self, *, whole_sections: bool) -> None:
        self._whole = whole_sections
        self._printed: list[tuple[str, str]] = []

    def advance(self, snapshot: Snapshot) -> list[Piece]:
        """What to print for this state; joined over time it is the document, after what was superseded is struck."""
        pieces: list[Piece] = []
        for index, section in enumerate(s for s in snapshot.sections if s.in_document):
            text = self._text(section, final=snapshot.is_final)
            before = self._printed[index] if index < len(self._printed) else None
            if before is not None and not (before[0] == section.section and text.startswith(before[1])):
                self._rewind(index, section, pieces)
                before = None
            if before is None and not text:
                break
            if before is not None and len(text) > len(before[1]) and index + 1 < len(self._printed):
                self._rewind(index, section, pieces)
                before = None
            self._print(index, section.section, before[1] if before else "", text, pieces)
            if section.status != "done" and not snapshot.is_final:
                break
        return pieces

    def _text(self, section: Section, *, final: bool) -> str:
        return section.text if final or not self._whole or section.status == "done" else ""

    def _rewind(self, index: int, section: Section, pieces: list[Piece]) -> None:
        if any(text for _, text in self._printed[index:]):
            pieces.append(Superseded(section.title))
        del self._printed[index:]

    def _print(self, index: int, name: str, before: str, text: str, pieces: list[Piece]) -> None:
        if len(text) > len(before):
            pieces.append(Text(text[len(before) :]))
        self._printed[index:] = [(name, text), *self._printed[index + 1 :]]
