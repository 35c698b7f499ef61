"""What to print of a post that is being written, so that what stands there is the text and nothing else. Pure."""

from dataclasses import dataclass

from inkwire_contracts.fold import Section, Snapshot


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the document."""

    text: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """Of what was printed only the first ``kept`` characters still stand; the section is printed again from there."""

    title: str
    kept: int


Piece = Text | Superseded

_CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def harmless(text: str) -> str:
    """A model's text as it may reach a terminal: control characters, which could steer it, are shown as U+FFFD.

    For terminals only: what goes into a pipe or a file is exactly the text.
    """
    return text.translate(_CONTROLS)


def one_line(value: object) -> str:
    """A name or a value as it may stand in a line of ours: nothing in it that a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in str(value))


class Transcript:
    """Turns states of a post into pieces of text.

    ``whole_sections``: print a section only when it is finished, so that nothing printed is taken back within a run;
    for pipes and files.
    """

    def __init__(self, *, whole_sections: bool) -> None:
        self._whole = whole_sections
        self._printed: list[tuple[str, str]] = []

    def advance(self, snapshot: Snapshot) -> list[Piece]:
        """What to print for this state.

        What then stands is the beginning of the document, and all of it once the run has ended.
        """
        shown = self._shown(snapshot)
        pieces: list[Piece] = []
        at = self._first_difference(shown)
        if any(text for _, text in self._printed[at:]):
            title = shown[at].title if at < len(shown) else ""
            pieces.append(Superseded(title, sum(len(text) for _, text in self._printed[:at])))
        if at < len(self._printed):
            del self._printed[at:]
        for index, section in enumerate(shown):
            before = self._printed[index][1] if index < len(self._printed) else ""
            if len(section.text) > len(before):
                pieces.append(Text(section.text[len(before) :]))
            self._printed[index : index + 1] = [(section.section, section.text)]
        return pieces

    def _shown(self, snapshot: Snapshot) -> list[Section]:
        """The sections to print: the finished ones, and the one behind them that is being written."""
        sections = [section for section in snapshot.sections if section.in_document]
        if snapshot.is_final:
            return sections
        done = next((i for i, section in enumerate(sections) if section.status != "done"), len(sections))
        return sections[: done if self._whole else done + 1]

    def _first_difference(self, shown: list[Section]) -> int:
        """Up to here what was printed still stands; only the last printed section may have grown."""
        for index, (name, text) in enumerate(self._printed):
            if index >= len(shown) or shown[index].section != name or not shown[index].text.startswith(text):
                return index
            grown = len(shown[index].text) > len(text)
            if grown and any(later for _, later in self._printed[index + 1 :]):
                return index
        return len(self._printed)
