"""The launcher's terminal, for tests."""


class Lines:
    """A terminal that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.lines: list[tuple[str, str]] = []

    def line(self, program: str, text: str) -> None:
        """A line that a program wrote."""
        self.lines.append((program, text))

    def note(self, text: str) -> None:
        """A word from the launcher."""
        self.notes.append(text)
