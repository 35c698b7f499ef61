"""Where each call waits for its place in a provider key's budget. Waiting is no failure: it costs no retry."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from inkwire_generator.adapters.budgets import SharedBudget
from inkwire_generator.budget import MAX_AHEAD_S, Budget, Place, RateLimits, observe, refuse, reserve, settle, unlimited
from inkwire_generator.ports import OnWait
from inkwire_generator.rate_headers import read
from inkwire_generator.slices import Slice

MAX_SILENT_WAIT_S = 1.0
"""A shorter wait is made without a word; readers are told of a longer one."""


class _Want:
    def __init__(self, tokens: float) -> None:
        self.tokens = tokens
        self.place: Place | None = None


class _Telling:
    """Says how long a call waits: once, and again when that changes."""

    def __init__(self, on_wait: OnWait) -> None:
        self._on_wait = on_wait
        self._until_s: float | None = None

    async def waits(self, wait_s: float, now_s: float) -> None:
        known = self._until_s is not None and abs(now_s + wait_s - self._until_s) < MAX_SILENT_WAIT_S
        if wait_s > MAX_SILENT_WAIT_S and not known:
            self._until_s = now_s + wait_s
            await self._on_wait(wait_s)

    async def over(self) -> None:
        if self._until_s is not None:
            await self._on_wait(0.0)


class Gate:
    """One provider key, as this worker's posts meet it. Those who ask in the same moment are served by one change."""

    def __init__(self, budget: SharedBudget, limits: RateLimits, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._budget = budget
        self._limits = limits
        self._sleep = sleep
        self._slice = Slice()
        self._wants: list[_Want] = []
        self._serving = asyncio.Lock()
        self._owed_requests = self._owed_tokens = 0.0
        """Taken (or, negative, not used) since the last change, to be told with the next."""

    def now_s(self) -> float:
        """The time in which places are given."""
        return self._budget.now_s()

    async def start(self) -> None:
        """Hear of what other workers do."""
        await self._budget.start()

    async def admit(self, tokens: float, on_wait: OnWait) -> Place:
        """Return when a call of about so many tokens may be made; ``on_wait`` hears of a wait worth telling.

        Settle the place, or give it back. One that is cancelled while it waits has given it back.
        """
        telling = _Telling(on_wait)
        while True:
            place = await self._place(tokens)
            try:
                while (wait_s := self._wait_s(place)) > 0:
                    await telling.waits(wait_s, self.now_s())
                    await self._sleep(wait_s if place.given else max(MAX_SILENT_WAIT_S, wait_s - MAX_AHEAD_S / 2))
                    if not place.given:
                        break
            except BaseException:
                self.give_back(place)
                raise
            if self._wait_s(place) <= 0:
                await telling.over()
                return place

    def _wait_s(self, place: Place) -> float:
        return place.begins_s(self._budget.newest) - self.now_s()

    def give_back(self, place: Place) -> None:
        """The call was not made."""
        if place.given:
            self._owed_requests -= 1
            self._owed_tokens -= place.tokens

    def settle(self, place: Place, tokens: float) -> None:
        """The call has cost so many tokens."""
        if place.given:
            self._owed_tokens += tokens - place.tokens

    async def observe(self, headers: Mapping[str, str]) -> None:
        """Read the rate-limit headers of an answer; all workers learn what is new in them."""
        requests, tokens = read(headers)

        def step(budget: Budget, now_s: float) -> Budget:
            return observe(budget, requests, tokens, now_s)

        if step(self._budget.newest, self.now_s()) is not self._budget.newest:
            await self._budget.change(step)

    async def refused(self, retry_after_s: float | None, began_s: float) -> None:
        """A call that began then was refused for asking too often: all workers wait."""
        await self._budget.change(lambda budget, now_s: refuse(budget, retry_after_s, began_s, now_s))

    async def close(self) -> None:
        """Give back what this worker holds."""
        for place in self._slice.unwanted(float("inf")):
            self.give_back(place)
        if self._owed_requests or self._owed_tokens:
            await self._change([])

    async def _place(self, tokens: float) -> Place:
        budget, now_s = self._budget.newest, self.now_s()
        if (free := unlimited(budget, tokens, now_s, self._limits)) is not None:
            return free
        if (ready := self._slice.take(tokens, budget, now_s)) is not None:
            return ready
        want = _Want(tokens)
        self._wants.append(want)
        try:
            async with self._serving:
                if want.place is None:
                    await self._change(list(self._wants))
        except BaseException:
            if want in self._wants:
                self._wants.remove(want)
            elif want.place is not None:
                self.give_back(want.place)
            raise
        assert want.place is not None  # noqa: S101 - whoever served us said so
        return want.place

    async def _change(self, wants: list[_Want]) -> None:
        for place in self._slice.unwanted(self.now_s()):
            self.give_back(place)
        requests, tokens = self._owed_requests, self._owed_tokens
        places: list[Place] = []
        ahead: list[Place] = []

        def step(budget: Budget, now_s: float) -> Budget:
            places.clear()
            ahead.clear()
            budget = settle(budget, requests, tokens, now_s, self._limits)
            for want in wants:
                budget, place = reserve(budget, want.tokens, now_s, self._limits)
                places.append(place)
            for _ in range(self._slice.wanted_ahead(now_s) if wants else 0):
                more, place = reserve(budget, max(want.tokens for want in wants), now_s, self._limits)
                if place.start_s > now_s:
                    break
                budget = more
                ahead.append(place)
            return budget

        await self._budget.change(step)
        self._owed_requests -= requests
        self._owed_tokens -= tokens
        self._slice.put(ahead)
        for want, place in zip(wants, places, strict=True):
            want.place = place
            if want in self._wants:
                self._wants.remove(want)
            else:
                self.give_back(place)
