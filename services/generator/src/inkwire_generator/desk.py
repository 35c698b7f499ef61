"""The author's documents in one attempt: which passages join which prompt. Sees ports only.

What is read is what the request names, each document under its own owner; the api has checked that. Nothing that a
model writes has a way to here: a query finds passages within these documents, whatever it says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inkwire_chassis.clock import Clock
from inkwire_chassis.logs import get_logger
from inkwire_contracts.documents import DocumentRef, Source
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Snapshot
from inkwire_generator import planner, sources
from inkwire_generator.context import Talk
from inkwire_generator.planner import OpenSection
from inkwire_generator.ports import Library, Passages, Shelf
from inkwire_generator.pulse import Pulse
from inkwire_recipes.material import Excerpt
from inkwire_recipes.recipe import Composed, Prompt, Recipe, Step, Work
from inkwire_stores.ports import StoreUnavailable


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt with its material and what that is from; or a section that asks nobody."""

    wanted: Prompt | Composed
    sources: tuple[Source, ...] = ()


class Desk:
    """Made for one attempt. ``limit_chars`` is the most that any prompt takes in, whatever its recipe wants."""

    def __init__(self, library: Library, clock: Clock, pulse: Pulse, limit_chars: int) -> None:
        self._library = library
        self._clock = clock
        self._pulse = pulse
        self._limit_chars = limit_chars
        self._documents: tuple[DocumentRef, ...] = ()
        self._shelf: Shelf | None = None

    async def lay_out(self, documents: Sequence[DocumentRef]) -> None:
        """Read the documents, so that a store that is away is met before anything is claimed.

        Raises:
            StoreUnavailable: they cannot be read now.
        """
        if documents:
            await self._shelf_of(documents).load()

    async def asked(self, recipe: Recipe, work: Work, step: Step, snapshot: Snapshot) -> Asked:
        """What to ask for a section, with the passages that fit it.

        Raises:
            StoreUnavailable: the documents cannot be read now; nothing is written without them.
        """
        wanted = planner.wanted(recipe, work, step, snapshot)
        if isinstance(wanted, Composed):
            return Asked(wanted)
        found = await self._found(recipe, work, step, wanted, snapshot)
        prompt = wanted.with_material(found.excerpts, cites=planner.cites(recipe, step))
        noted = sources.noted(snapshot.documents, found.excerpts, found.missing)
        if found.missing:
            get_logger().info("documents are gone", section=step.section, documents=sorted(found.missing))
        return Asked(prompt, tuple(noted))

    async def behind_open_text(
        self, recipes: Mapping[str, Recipe], snapshot: Snapshot, talk: Talk
    ) -> tuple[int, int] | None:
        """See :func:`planner.behind_open_text`. Where the documents cannot be read, they count as nothing."""
        material = await self._open_material(recipes, snapshot, talk)
        return planner.behind_open_text(recipes, snapshot, talk, material)

    async def _open_material(
        self, recipes: Mapping[str, Recipe], snapshot: Snapshot, talk: Talk
    ) -> tuple[Excerpt, ...]:
        try:
            found = planner.opened(recipes, snapshot, talk)
            if not isinstance(found, OpenSection) or isinstance(found.wanted, Composed):
                return ()
            passages = await self._found(found.recipe, found.work, found.step, found.wanted, snapshot)
        except (InkwireError, StoreUnavailable):
            return ()
        return passages.excerpts

    async def _found(self, recipe: Recipe, work: Work, step: Step, prompt: Prompt, snapshot: Snapshot) -> Passages:
        if not snapshot.documents or not prompt.uses_material:
            return Passages()
        limit_chars = min(recipe.material_chars, self._limit_chars)
        query = planner.query_of(work, step, prompt)
        return await self._shelf_of(snapshot.documents).find(query, limit_chars=limit_chars)

    def _shelf_of(self, documents: Sequence[DocumentRef]) -> Shelf:
        """The shelf, which is about to be silent for a while."""
        if self._shelf is None or self._documents != tuple(documents):
            self._documents = tuple(documents)
            self._shelf = self._library.shelf(documents)
        self._pulse.expect(self._clock.monotonic_s(), self._library.patience_s)
        return self._shelf
