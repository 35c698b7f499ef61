"""What a recipe is: inputs, working steps, a plan of sections, a prompt for each, and how answers become Markdown.

A recipe is data and pure functions. It never sees a provider, a broker or a clock; what it needs to know about the
post so far comes in as :class:`Work`, folded from the log, so that another worker can go on in the same place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from inkwire_contracts.conversations import Role
from inkwire_contracts.documents import DocumentRef
from inkwire_contracts.events import PlannedData
from inkwire_recipes.material import Excerpt, material_text

MAX_CONTEXT_CHARS = 6_000
"""How much of what is already written a prompt may repeat."""


GO_ON = (
    "Your answer was cut off by its length limit. Go on with the very next character, as if you had never stopped: "
    "repeat nothing, explain nothing, begin with a blank where one is due, and finish what was asked for."
)
"""What a model is told after its own unfinished answer."""

REPAIR = (
    "That answer cannot be used: {complaint}. Answer once more, whole and from the beginning, in the form that was "
    "asked for. Explain nothing."
)
"""What a model is told after an answer that does not fit."""

MAX_REPAIR_CHARS = 8_000
"""How much of an unusable answer is shown to the model again."""


class Inputs(BaseModel):
    """Base of a recipe's options: unknown names are errors, every option has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UnusableOutput(Exception):
    """The model's answer does not hold what the section needs; it should be asked again."""


class NothingToApprove(Exception):
    """The recipe waits for nobody, or has nothing to show yet."""


@dataclass(frozen=True, slots=True)
class Step:
    """A section to write. Working steps (an outline, keywords) have ``in_document`` false."""

    section: str
    title: str
    in_document: bool = True
    target_words: int = 0
    progress: str = "planning"
    """Code of the progress message while a working step is written."""


@dataclass(frozen=True, slots=True)
class Composed:
    """A section that needs no model: its text and data are known from what is done."""

    text: str
    data: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to ask a model. ``schema`` asks for structured output, where the provider can do that.

    ``target_words`` is how much text is expected, for budgets and progress. ``answered`` is what the model has said
    already, and ``then`` what it is told after that. ``history`` are the turns of a conversation before ``user``, as
    (role, text). Where the section is worth no failure, ``otherwise`` is what it becomes when the model gives nothing.

    Where the author names documents, passages of them join every prompt before it is asked. ``query`` is what to look
    for in them; empty: title, section and text options. Without ``uses_material`` none do.
    """

    system: str
    user: str
    schema: Mapping[str, Any] | None = None
    schema_name: str = ""
    target_words: int = 0
    answered: str = ""
    then: str = GO_ON
    history: tuple[tuple[str, str], ...] = ()
    otherwise: Composed | None = None
    query: str = ""
    uses_material: bool = True
    material: tuple[Excerpt, ...] = ()
    cites: bool = True

    @property
    def question(self) -> str:
        """What the model is asked: the material, then ``user``."""
        return "\n\n".join(part for part in (material_text(self.material, cites=self.cites), self.user) if part)

    @property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """The conversation as (role, text)."""
        asked = (("system", self.system), *self.history, ("user", self.question))
        return (*asked, ("assistant", self.answered), ("user", self.then)) if self.answered else asked

    @property
    def length_chars(self) -> int:
        """Characters of all messages."""
        return sum(len(text) for _, text in self.messages)

    @property
    def prefix(self) -> str:
        """What the next answer goes on from; nothing where it is to begin anew."""
        return self.answered if self.then == GO_ON else ""

    def with_material(self, excerpts: Sequence[Excerpt], *, cites: bool) -> "Prompt":
        """The same question with passages of the author's documents. ``cites``: the answer is to name its sources."""
        return replace(self, material=tuple(excerpts), cites=cites)

    def continued(self, answered: str) -> "Prompt":
        """The same question after an unfinished answer; a schema would make the model begin anew."""
        return replace(self, answered=answered, then=GO_ON, schema=None, schema_name="")

    def repaired(self, answered: str, complaint: str) -> "Prompt":
        """The same question after an answer that cannot be used, and why it cannot."""
        return replace(self, answered=answered[:MAX_REPAIR_CHARS], then=REPAIR.format(complaint=complaint))


@dataclass(frozen=True, slots=True)
class Utterance:
    """What somebody said in a conversation. ``message`` is its id, ``name`` the speaker's, where it is known.

    ``unfinished``: an answer that was stopped or failed in the middle.
    """

    role: Role
    text: str
    name: str = ""
    message: str = ""
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """A post as a recipe sees it: the request and what is finished so far.

    ``artifacts`` holds the data of finished structured sections by section id, ``texts`` the text of all finished
    ones, ``plan`` the planned sections once they are fixed.

    A reply in a conversation has a ``question``, whole, where the title is only its first line. ``earlier`` is what was
    said before, oldest first, from where ``summary`` ends, which tells what came before that; ``left_out`` messages
    between them nobody can read any more. ``titled`` is false where the conversation still needs a title.

    ``documents`` are those that the author names. A recipe need not care: passages of them join its prompts.
    """

    title: str
    inputs: BaseModel
    artifacts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    plan: tuple[Step, ...] = ()
    question: Utterance | None = None
    earlier: tuple[Utterance, ...] = ()
    summary: str = ""
    left_out: int = 0
    titled: bool = True
    documents: tuple[DocumentRef, ...] = ()

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
    planning_percent: int
    """How much of the work the working steps are, for progress bars."""
    material_chars: int
    """How much of the author's documents one prompt takes in, in characters; the operator may set less."""
    shows_sources: bool
    """Whether the document ends with the list of its sources. Without it they stand beside the document, and no answer
    is asked to name them: a platform's post has no room for either."""

    def outputs(self) -> Mapping[str, Mapping[str, Any]]:
        """JSON Schemas of the sections' data, for clients.

        By section id; where it depends on an option, section id and the option's value are joined by a slash.
        """
        ...

    def steps(self, work: Work) -> tuple[Step, ...]:
        """Working steps before the plan, in order; none for a recipe whose sections are known at once.

        Asked again after each of them, so that a result can bring further steps, such as a second draft; how many
        is the recipe's to bound. Steps that are done stay in the list.
        """
        ...

    def pause(self, work: Work) -> str | None:
        """Why the run must wait for its author before the plan is fixed; ``None`` to go on."""
        ...

    def approved(self, work: Work, outline: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Options of the run that goes on after :meth:`pause`, and of all later ones.

        ``outline`` is what the author made of what was shown, ``None`` where it stands as it is.

        Raises:
            NothingToApprove: this recipe never pauses, or there is nothing to approve yet.
            pydantic.ValidationError: the outline does not fit.
        """
        ...

    def plan(self, work: Work) -> PlannedData:
        """The document's sections and metadata, from the request and the steps' data.

        The first section is one of the document; behind it there may be some that are not (``in_document`` false).
        """
        ...

    def prompt(self, work: Work, step: Step) -> Prompt | Composed:
        """What to ask for a step or a section, or the section itself where nobody needs to be asked."""
        ...

    def renderer(self, work: Work, step: Step) -> Renderer:
        """How the answer for it becomes text."""
        ...


class BaseRecipe:
    """What most recipes have in common: no structured sections, no working steps, and nothing to wait for."""

    planning_percent: int = 10
    material_chars: int = 12_000
    shows_sources: bool = True

    def outputs(self) -> Mapping[str, Mapping[str, Any]]:
        """See :meth:`Recipe.outputs`."""
        return {}

    def steps(self, _work: Work) -> tuple[Step, ...]:
        """See :meth:`Recipe.steps`."""
        return ()

    def pause(self, _work: Work) -> str | None:
        """See :meth:`Recipe.pause`."""
        return None

    def approved(self, _work: Work, _outline: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """See :meth:`Recipe.approved`."""
        raise NothingToApprove
