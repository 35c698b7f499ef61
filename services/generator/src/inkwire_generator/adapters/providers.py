"""The providers in their order, each behind its circuit and its throttle: one call of one post, rightly routed.

Nothing is retried here. A call that cannot be made now fails with ``asked`` false and a time to wait, and the run
that wanted it decides, as about every other failure, and tells its readers.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from inkwire_chassis.clock import Clock
from inkwire_chassis.logs import get_logger
from inkwire_generator.adapters.provider_openai import OpenAIProvider, ProviderConfig
from inkwire_generator.circuit import Circuit, CircuitPolicy
from inkwire_generator.completion import CHARS_PER_TOKEN
from inkwire_generator.errors import ProviderError
from inkwire_generator.ports import Answer, Finish
from inkwire_generator.throttle import Throttle, ThrottlePolicy
from inkwire_recipes.recipe import Prompt

MAX_SILENT_WAIT_S = 1.0
"""A shorter wait for the throttle is made without a word; readers are told of a longer one."""

TOKENS_PER_WORD = 1.5
ILL = frozenset({"provider_unavailable", "provider_timeout", "provider_cut"})
"""Failures that say something about the provider's health, so that the circuit counts them."""

HOPELESS = frozenset({"provider_auth", "provider_quota"})
"""Refusals of the key itself: the next provider is used, where there is one."""


@dataclass(frozen=True, slots=True)
class Line:
    """One provider with the state that all posts of this worker share."""

    config: ProviderConfig
    provider: OpenAIProvider
    circuit: Circuit
    throttle: Throttle


class Providers:
    """See :class:`inkwire_generator.ports.Provider`. Close it with :meth:`close`."""

    def __init__(
        self,
        configs: Sequence[ProviderConfig],
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
        circuit_policy: CircuitPolicy,
        throttle_policy: ThrottlePolicy,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lines = [self._line(config, circuit_policy, throttle_policy) for config in configs]

    def _line(self, config: ProviderConfig, circuit_policy: CircuitPolicy, throttle_policy: ThrottlePolicy) -> Line:
        throttle, clock = Throttle(throttle_policy), self._clock
        provider = OpenAIProvider(config, clock, lambda headers: throttle.observe(headers, clock.monotonic_s()))
        return Line(config, provider, Circuit(circuit_policy), throttle)

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
        """Close all connections."""
        for line in self._lines:
            await line.provider.close()

    @asynccontextmanager
    async def stream(self, prompt: Prompt) -> AsyncIterator[Answer]:
        began_s = self._clock.monotonic_s()
        line = self._choose(began_s)
        tokens = prompt.length_chars / CHARS_PER_TOKEN + prompt.target_words * TOKENS_PER_WORD
        wait_s = line.throttle.wait_s(tokens, began_s)
        if wait_s > MAX_SILENT_WAIT_S:
            raise _not_asked("provider_rate_limited", wait_s, "throttled")
        permit = line.circuit.ask()
        try:
            async with AsyncExitStack() as stack:
                line.throttle.take(tokens, began_s)
                try:
                    if wait_s > 0:
                        await self._sleep(wait_s)
                    began_s = self._clock.monotonic_s()
                    answer = await stack.enter_async_context(line.provider.stream(prompt))
                finally:
                    line.throttle.answered(tokens)
                pieces = await stack.enter_async_context(aclosing(_watched(line, permit, answer.pieces)))
                yield Answer(answer.model, pieces)
        except ProviderError as error:
            raise self._judged(line, permit, began_s, error) from None
        finally:
            line.circuit.left(permit)

    def _choose(self, now_s: float) -> Line:
        """The first provider whose circuit lets a call pass."""
        nearest = min(self._lines, key=lambda line: line.circuit.refusal_s(now_s))  # the first of equals
        if (wait_s := nearest.circuit.refusal_s(now_s)) > 0:
            raise _not_asked(nearest.circuit.code, wait_s, "circuit open")
        return nearest

    def _judged(self, line: Line, permit: int, began_s: float, error: ProviderError) -> ProviderError:
        """Tell circuit and throttle of a failure; what it means for the run."""
        now_s = self._clock.monotonic_s()
        if error.code in ILL:
            was_open = line.circuit.is_open
            line.circuit.failed(permit, now_s, error.code)
            if line.circuit.is_open and not was_open:
                get_logger().warning("circuit open", base_url=line.config.base_url, model=line.config.model)
        elif error.code == "provider_rate_limited":
            line.throttle.refused(error.retry_after_s, began_s, now_s)
        elif error.code in HOPELESS and line is not self._lines[-1]:
            line.circuit.tripped(permit, now_s, error.code)
            get_logger().error("provider refuses the key", base_url=line.config.base_url, detail=error.detail)
            return _not_asked(error.code, 0.0, "another provider is next")
        return error


async def _watched(line: Line, permit: int, pieces: AsyncIterator[str | Finish]) -> AsyncGenerator[str | Finish, None]:
    async for piece in pieces:
        if isinstance(piece, Finish):
            line.circuit.finished(permit)
            line.throttle.succeeded()
        else:
            line.circuit.answered(permit)
        yield piece


def _not_asked(code: str, wait_s: float, detail: str) -> ProviderError:
    return ProviderError(code, retryable=True, retry_after_s=wait_s, detail=detail, asked=False)
