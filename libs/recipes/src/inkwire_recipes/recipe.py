"""What a recipe is: inputs, working steps, a plan of sections, a prompt for each, and how answers become Markdown.

A recipe is data and pure functions. It never sees a provider, a broker or a clock; what it needs to know about the
post so far comes in as :class:`Work`, folded from the log, so that another worker can go on in the same place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from inkwire_contracts.events import PlannedData

MAX_CONTEXT_CHARS = 6_000
"""How much of what is already written a prompt may repeat."""


GO_ON = (
    "Your answer was cut off by its length limit. Go on with the very next character, as if you had never stopped: "
    "repeat nothing, explain nothing, begin with a blank where one is due, and finish what was asked for."
)
"""What a model is told after its own unfinished answer."""


class Inputs(BaseModel):
    """Base of a recipe's options: unknown names are errors, every option has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UnusableOutput(Exception):
    """The model's answer does not hold what the section needs; it should be asked again."""


@dataclass(frozen=True, slots=True)
class Step:
    """A section to write. Working steps (an outline, keywords) have ``in_document`` false."""

    section: str
    title: str
    in_document: bool = True
    target_words: int = 0


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to ask a model. ``schema`` asks for structured output, where the provider can do that.

    ``target_words`` is how much text is expected, for budgets and progress. ``answered`` is what the model has said
    already, where it is to go on.
    """

    system: str
    user: str
    schema: Mapping[str, Any] | None = None
    schema_name: str = ""
    target_words: int = 0
    answered: str = ""

    @property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """The conversation as (role, text)."""
        asked = (("system", self.system), ("user", self.user))
        return (*asked, ("assistant", self.answered), ("user", GO_ON)) if self.answered else asked

    @property
    def length_chars(self) -> int:
        """Characters of all messages."""
        return sum(len(text) for _, text in self.messages)

    def continued(self, answered: str) -> "Prompt":
        """The same question after an unfinished answer; a schema would make the model begin anew."""
        return replace(self, answered=answered, schema=None, schema_name="")


@dataclass(frozen=True, slots=True)
class Work:
    """A post as a recipe sees it: the request and what is finished so far.

    ``artifacts`` holds the data of finished structured sections by section id, ``texts`` the text of all finished
    ones, ``plan`` the document's sections once they are fixed.
    """

    title: str
    inputs: BaseModel
    artifacts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    plan: tuple[Step, ...] = ()

    @property
    def document(self) -> str:
        """The document's text so far."""
        return "".join(self.texts.get(step.section, "") for step in self.plan if step.in_document)


@dataclass(frozen=True, slots=True)
class Rendered:
    """The end of a section: the text still owed to the reader, and its data if it is a structured one."""

    text: str = ""
    data: dict[str, Any] | None = None


class Renderer(Protocol):
    """Turns a model's answer into a section's Markdown as it arrives. What was returned once stands for ever."""

    def start(self) -> str:
        """Text of ours that stands before the answer: a heading, blank lines."""
        ...

    def feed(self, delta: str) -> str:
        """Take a piece of the answer; returns the Markdown that is now certain."""
        ...

    def finish(self) -> Rendered:
        """The answer is complete.

        Raises:
            UnusableOutput: it cannot be used.
        """
        ...


class Recipe(Protocol):
    """One kind of content. Registered under the entry point group ``inkwire.recipes``."""

    name: str
    """The value of ``recipe`` in a request."""
    title: str
    """For people, in lists."""
    description: str
    inputs: type[BaseModel]
    """Options of a request; ``model_json_schema()`` describes them to clients."""

    def steps(self, work: Work) -> tuple[Step, ...]:
        """Working steps before the plan, in order; none for a recipe whose sections are known at once."""
        ...

    def plan(self, work: Work) -> PlannedData:
        """The document's sections and metadata, from the request and the steps' data."""
        ...

    def prompt(self, work: Work, step: Step) -> Prompt:
        """What to ask for a step or a section."""
        ...

    def renderer(self, work: Work, step: Step) -> Renderer:
        """How the answer for it becomes text."""
        ...
