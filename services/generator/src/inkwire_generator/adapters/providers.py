"""The providers in their order, each behind its circuit and its budget: one call of one post, rightly routed.

Nothing is retried here. A call waits for its turn in the budget, and tells how long; one that an open circuit refuses
fails with ``asked`` false and a time to wait, and the run that wanted it decides, as about every other failure.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from inkwire_chassis.clock import Clock
from inkwire_chassis.logs import get_logger
from inkwire_generator.adapters.gate import MAX_SILENT_WAIT_S, Gate
from inkwire_generator.adapters.provider_openai import OpenAIProvider, ProviderConfig
from inkwire_generator.budget import Place
from inkwire_generator.circuit import Circuit, CircuitPolicy
from inkwire_generator.completion import CHARS_PER_TOKEN
from inkwire_generator.errors import ProviderError
from inkwire_generator.ports import Answer, Finish, OnWait
from inkwire_recipes.recipe import Prompt

TOKENS_PER_WORD = 1.5
ILL = frozenset({"provider_unavailable", "provider_timeout", "provider_cut"})
"""Failures that say something about the provider's health, so that the circuit counts them."""

HOPELESS = frozenset({"provider_auth", "provider_quota"})
"""Refusals of the key itself: the next provider is used, where there is one."""


@dataclass(frozen=True, slots=True)
class Line:
    """One provider with what all posts share: the circuit those of this worker, the budget behind the gate all."""

    config: ProviderConfig
    provider: OpenAIProvider
    circuit: Circuit
    gate: Gate


class Providers:
    """See :class:`inkwire_generator.ports.Provider`. Close it with :meth:`close`."""

    def __init__(
        self,
        configs: Sequence[tuple[ProviderConfig, Gate]],
        clock: Clock,
        circuit_policy: CircuitPolicy,
        max_retry_after_s: float,
    ) -> None:
        """``max_retry_after_s``: a provider that asks for a longer wait is passed over, where another is near."""
        self._clock = clock
        self._max_retry_after_s = max_retry_after_s
        self._lines = [
            Line(config, OpenAIProvider(config, clock, gate.observe), Circuit(circuit_policy), gate)
            for config, gate in configs
        ]

    async def start(self) -> None:
        """Hear of what other workers take and learn."""
        for line in self._lines:
            await line.gate.start()

    @property
    def patience_s(self) -> float:
        return max(line.provider.patience_s for line in self._lines) + MAX_SILENT_WAIT_S

    @property
    def model(self) -> str:
        return self._lines[0].config.model

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return any(line.provider.is_closed for line in self._lines)

    async def close(self) -> None:
        """Close all connections; what was taken of the budgets and not used is given back."""
        for line in self._lines:
            await line.gate.close()
            await line.provider.close()

    @asynccontextmanager
    async def stream(self, prompt: Prompt, on_wait: OnWait) -> AsyncIterator[Answer]:
        line = self._choose(self._clock.monotonic_s())
        tokens = prompt.length_chars / CHARS_PER_TOKEN + prompt.target_words * TOKENS_PER_WORD
        place = await line.gate.admit(tokens, on_wait)
        if (wait_s := line.circuit.refusal_s(self._clock.monotonic_s())) > 0:  # it opened while this call waited
            line.gate.give_back(place)
            raise _not_asked(line.circuit.code, wait_s, "circuit open")
        permit = line.circuit.ask()
        began_s = line.gate.now_s()
        try:
            async with AsyncExitStack() as stack:
                answer = await stack.enter_async_context(line.provider.stream(prompt))
                pieces = await stack.enter_async_context(aclosing(_watched(line, permit, place, answer.pieces)))
                yield Answer(answer.model, pieces)
        except ProviderError as error:
            raise await self._judged(line, permit, began_s, error) from None
        finally:
            line.circuit.left(permit)

    def _choose(self, now_s: float) -> Line:
        """The first provider whose circuit lets a call pass."""
        nearest = min(self._lines, key=lambda line: line.circuit.refusal_s(now_s))  # the first of equals
        if (wait_s := nearest.circuit.refusal_s(now_s)) > 0:
            raise _not_asked(nearest.circuit.code, wait_s, "circuit open")
        return nearest

    async def _judged(self, line: Line, permit: int, began_s: float, error: ProviderError) -> ProviderError:
        """Tell circuit and budget of a failure; what it means for the run."""
        now_s = self._clock.monotonic_s()
        if (passed := self._passed_over(line, permit, now_s, error)) is not None:
            return passed
        if error.code in ILL:
            was_open = line.circuit.is_open
            line.circuit.failed(permit, now_s, error.code)
            if line.circuit.is_open and not was_open:
                get_logger().warning("circuit open", base_url=line.config.base_url, model=line.config.model)
        elif error.code == "provider_rate_limited":
            await line.gate.refused(error.retry_after_s, began_s)
        elif error.code in HOPELESS and line is not self._lines[-1]:
            line.circuit.tripped(permit, now_s, error.code)
            get_logger().error("provider refuses the key", base_url=line.config.base_url, detail=error.detail)
            return _not_asked(error.code, 0.0, "another provider is next")
        return error

    def _passed_over(self, line: Line, permit: int, now_s: float, error: ProviderError) -> ProviderError | None:
        """A provider asks for a wait that would end the run: it is out for that long, and another is asked instead."""
        told_s = error.retry_after_s
        if not error.retryable or told_s is None or told_s <= self._max_retry_after_s:
            return None
        wait_s = min((other.circuit.refusal_s(now_s) for other in self._lines if other is not line), default=None)
        if wait_s is None or wait_s > self._max_retry_after_s:
            return None
        line.circuit.tripped(permit, now_s, error.code, told_s)
        get_logger().warning("provider is out", base_url=line.config.base_url, code=error.code, wait_s=told_s)
        return _not_asked(error.code, wait_s, "another provider is next")


async def _watched(
    line: Line, permit: int, place: Place, pieces: AsyncIterator[str | Finish]
) -> AsyncGenerator[str | Finish, None]:
    async for piece in pieces:
        if isinstance(piece, Finish):
            line.circuit.finished(permit)
            line.gate.settle(place, piece.usage.tokens_in + piece.usage.tokens_out)
        else:
            line.circuit.answered(permit)
        yield piece


def _not_asked(code: str, wait_s: float, detail: str) -> ProviderError:
    return ProviderError(code, retryable=True, retry_after_s=wait_s, detail=detail, asked=False)
