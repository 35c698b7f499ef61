"""Bodies that are not events of a post: jobs, claims and cancel intents."""

from pydantic import Field

from inkwire_contracts.conversations import MessageCreated
from inkwire_contracts.data import Data
from inkwire_contracts.events import Priority, RequestedData
from inkwire_contracts.ids import OwnerToken, PostId


class Job(Data):
    """The commit point of a request: once JOBS has acknowledged it, the run will end in exactly one terminal.

    It carries all that ``requested`` needs, so that a worker can write that event when the api died before it did.
    """

    post: PostId
    owner: OwnerToken
    run: int = Field(ge=1)
    time: str
    request: RequestedData
    traceparent: str | None = None
    delivered: int = Field(0, ge=0)
    """Where the count of this copy's deliveries begins: beyond earlier copies', so that no claim of it is late."""
    messages: list[MessageCreated] = Field(default_factory=list, max_length=2)
    """Of a reply: the message that it answers and its own, which must stand in the conversation's log before it begins.
    So a message that asks for a reply is committed by the reply's job; whoever is first writes it."""

    @property
    def priority(self) -> Priority:
        """Priority of the request."""
        return self.request.priority

    @property
    def msg_id(self) -> str:
        """De-duplication id: one job for each run of a post."""
        return f"{self.post}.{self.run}"


class Claim(Data):
    """The fenced right to write a post's log. Its stream sequence is the token that every event carries."""

    claim_id: str
    run: int = Field(ge=0)
    attempt: int = Field(ge=1)
    deliveries: int = Field(ge=0)
    holder: str
    released: bool = False
    """The holder gave it back on purpose: this attempt says nothing against the post."""


class CancelIntent(Data):
    """Someone with the right to do so wants this run to stop."""

    post: PostId
    owner: OwnerToken
    run: int = Field(ge=1)
    by: str = ""
    time: str
