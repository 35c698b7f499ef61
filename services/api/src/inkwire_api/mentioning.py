"""From mentions to documents: what a caller names, looked up among the caller's own."""

from collections.abc import Iterable, Sequence

from inkwire_api.mentions import mentions, referenced
from inkwire_contracts.documents import DocumentRef
from inkwire_contracts.errors import InkwireError
from inkwire_stores.document_ports import DocumentStore


class Mentions:
    """Resolves mentions for whoever accepts requests, before anything is promised."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def resolve(
        self, owner: str, texts: Iterable[str], explicit: Sequence[int | str] = (), *, allowed: bool = True
    ) -> list[DocumentRef]:
        """The caller's documents that texts and an explicit list name, in order, each once.

        Args:
            owner: the caller, whose documents alone are looked at.
            texts: what the caller wrote; see :mod:`inkwire_api.mentions`.
            explicit: numbers, ids and names as a program gives them.
            allowed: whether the caller's token reaches documents at all.

        Raises:
            InkwireError: ``unknown_document``, ``too_many_documents``, or ``forbidden_channel`` where the token does
                not allow what is mentioned.
            StoreUnavailable: something may be mentioned, and the store does not say what.
        """
        named = mentions(texts, explicit)
        if not named:
            return []
        views = await self._documents.find(
            owner,
            numbers=[mention.number for mention in named if mention.number is not None],
            names=[mention.name for mention in named if mention.name is not None],
            ids=[mention.id for mention in named if mention.id is not None],
        )
        found = referenced(owner, named, views)
        if found and not allowed:
            raise InkwireError("forbidden_channel", channel=f"user:{owner}")
        return found
