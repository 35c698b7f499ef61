"""Documents that an author uploads and mentions: what travels of them in requests and events.

The text itself stays in the store and is read by document and owner; both come from the api, which checked them, and
never from a model's answer.
"""

import unicodedata

from pydantic import Field

from inkwire_contracts.data import Data
from inkwire_contracts.ids import OwnerToken, PostId

DocumentId = PostId

MAX_DOCUMENTS = 20
"""Documents that one request may mention."""

MAX_NAME_CHARS = 200
MAX_PLACES = 50
"""Places of one document that a section names; more are left out, later ones first."""


def name_key(name: str) -> str:
    """What all spellings of a document's name have in common: case, Unicode's ways to write one letter, and blanks.

    So ``@security-policy.pdf`` means "Security policy.pdf".
    """
    return "-".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).split())


class DocumentRef(Data):
    """A mentioned document. ``number`` is the one its owner knows it by (``@3``)."""

    document: DocumentId
    owner: OwnerToken
    number: int = Field(ge=1)
    name: str = Field(max_length=MAX_NAME_CHARS)


class Place(Data):
    """Where in a document a passage stands: its page from 1 (``None`` where there are none), the heading above it."""

    page: int | None = Field(None, ge=1)
    heading: str = ""


class Source(Data):
    """A document whose passages a section was written from, and where they stand, in the document's order.

    ``missing``: the author names it, and it was deleted before the section was written; then there are no places.
    """

    document: DocumentId
    number: int = Field(ge=1)
    name: str
    places: list[Place] = Field(default_factory=list, max_length=MAX_PLACES)
    missing: bool = False


class Passage(Data):
    """A piece of a document's text, small enough for a prompt. ``index`` counts from 0 in the document's order."""

    index: int = Field(ge=0)
    page: int | None = Field(None, ge=1)
    heading: str = ""
    text: str

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(page=self.page, heading=self.heading)
