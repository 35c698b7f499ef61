"""One attempt at one job: claim, read, decide, write to the end. Sees ports only; every fact comes from the log."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from inkwire_chassis.clock import Clock, rfc3339
from inkwire_chassis.event_log import Fenced
from inkwire_chassis.lifecycle import cancel_and_wait, spawn
from inkwire_chassis.logs import get_logger
from inkwire_contracts.commands import Job
from inkwire_contracts.errors import REASONS, InkwireError, render
from inkwire_contracts.events import (
    MAX_EVENT_BYTES,
    Cancelled,
    CancelledData,
    Failed,
    FailedData,
    GenerateRequested,
    Paused,
    PausedData,
    Planned,
    PostPublished,
    ProgressData,
    Progressed,
    PublishedData,
    Retrying,
    RetryingData,
    SectionCompleted,
    SectionCompletedData,
    SectionStarted,
    SectionStartedData,
    Started,
    StartedData,
)
from inkwire_contracts.fold import Progress, Section, Snapshot, digest, document
from inkwire_generator import planner, retry
from inkwire_generator.assembler import Assembler, bounded, too_long
from inkwire_generator.claim import Limits, Standing, Verdict, is_poison, verdict
from inkwire_generator.continuation import ContinuationLimits, Joint, continued
from inkwire_generator.desk import Desk
from inkwire_generator.errors import ProviderError
from inkwire_generator.meter import Meter
from inkwire_generator.planner import FixPlan, Pause, WriteSection
from inkwire_generator.ports import Finish, Held, Library, Log, Prices, Provider, Talks, Writer
from inkwire_generator.pulse import Pulse
from inkwire_generator.talking import Talking
from inkwire_recipes.recipe import Composed, Prompt, Recipe, Rendered, Renderer, UnusableOutput
from inkwire_stores.ports import StoreUnavailable

WAITING = "waiting_for_provider"
MAX_COMPLETED_BYTES = MAX_EVENT_BYTES - 4_096
"""Of a finished section with its data, as JSON; the rest is for the event around it."""


class Ending(StrEnum):
    """What becomes of the job."""

    ACK = "ack"
    """The run has its terminal event."""
    SILENT = "silent"
    """Somebody else holds the post: no ack, no nak, no word."""
    LATER = "later"
    """Not now: hand the job back with a delay."""
    REJECT = "reject"
    """Nobody can work on it: to the dead letters."""
    POISON = "poison"
    """The run has failed for good; keep a copy of the job among the dead letters."""


EARLY: Mapping[Verdict, Ending] = {
    Verdict.DONE: Ending.ACK,
    Verdict.WAIT: Ending.LATER,
    Verdict.REJECT: Ending.REJECT,
}
"""Verdicts under which nothing is written."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every attempt of a worker shares."""

    log: Log
    talks: Talks
    library: Library
    provider: Provider
    prices: Prices
    recipes: Mapping[str, Recipe]
    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    policy: retry.RetryPolicy
    limits: Limits
    continuations: ContinuationLimits
    material_chars: int
    """Most characters of the author's documents in one prompt."""
    worker: str


@dataclass(frozen=True, slots=True)
class Complaint:
    """An answer that could not be used. It is lost with the worker: then the question is asked as at first."""

    section: str
    answer: str
    why: str


class Runner:
    """One attempt. :meth:`run` it once; :meth:`cancel` may be called at any time."""

    def __init__(self, job: Job, deliveries: int, tools: Tools, pulse: Pulse) -> None:
        self._job = job
        self._deliveries = job.delivered + deliveries
        self._tools = tools
        self._pulse = pulse
        self._meter = Meter(tools.clock.monotonic_s(), tools.prices.cost_usd)
        self._desk = Desk(tools.library, tools.clock, pulse, tools.material_chars)
        self._talking = Talking(tools.talks, tools.clock, pulse, job)
        self._failures = self._unusable = 0
        self._told_before = Progress()
        self._complaint: Complaint | None = None
        self._cancel_wish = asyncio.Event()
        self.held: Held | None = None
        """The claim, once it is ours."""

    def cancel(self) -> None:
        """Somebody wants the run to stop: close the provider's stream and write ``cancelled``."""
        self._cancel_wish.set()

    async def run(self) -> Ending:
        """Work until the run has ended or is somebody else's.

        Raises:
            BrokerError, StoreUnavailable: no verdict could be had; hand the job back.
            LogDamaged: the post's history does not fold.
        """
        job, log = self._job, self._tools.log
        await self._talking.announce()
        known = await log.open(job)
        if known is not None:
            return EARLY[known]
        await self._lay_out()
        try:
            held = self.held = await log.claim(job, self._deliveries)
        except Fenced:
            return await self._fenced_out()
        snapshot = await log.snapshot(job, held)
        wanted = await log.cancel_wanted(job)
        standing = await log.standing(job, held)
        what = verdict(snapshot, job.run, cancel_wanted=wanted, poison=is_poison(standing, self._tools.limits))
        get_logger().info("claimed", attempt=held.attempt, seq=snapshot.seq, verdict=what.value)
        if what in EARLY:
            return EARLY[what]
        try:
            return await self._under(held, snapshot, what, standing)
        except Fenced:
            get_logger().info("fenced", attempt=held.attempt)
            return Ending.SILENT

    async def _lay_out(self) -> None:
        """Documents that cannot be read are met before the claim, which counts as an attempt; a cancel needs none."""
        try:
            await self._desk.lay_out(self._job.request.documents)
        except StoreUnavailable:
            if not await self._tools.log.cancel_wanted(self._job):
                raise
        except Exception as error:  # noqa: BLE001 - it comes again under the claim, where it counts as an attempt
            get_logger().error("documents not read", error=f"{type(error).__name__}: {error}")

    async def _fenced_out(self) -> Ending:
        """A later claim exists. If this run has ended the job is a leftover of a lost ack, else it is not ours."""
        snapshot = await self._tools.log.snapshot(self._job, None)
        over = verdict(snapshot, self._job.run, cancel_wanted=False, poison=False) is Verdict.DONE
        return Ending.ACK if over else Ending.SILENT

    async def _under(self, held: Held, snapshot: Snapshot, what: Verdict, standing: Standing) -> Ending:
        async with self._tools.log.writer(self._job, held, snapshot, self._pulse) as writer:
            if what in (Verdict.WRITE, Verdict.REQUEST):
                await self._talking.recall()
            await self._inherit(snapshot)
            if what is Verdict.CANCEL:
                await self._write_cancelled(writer)
                return Ending.ACK
            if what is Verdict.POISON:
                await self._write_failed(writer, "poison", {"deliveries": standing.in_vain_since(standing.finished)})
                return Ending.POISON
            if what is Verdict.REQUEST:
                await writer.write(GenerateRequested, self._job.request)
            await self._write_or_cancel(writer)
            return Ending.ACK

    async def _inherit(self, snapshot: Snapshot) -> None:
        """A dead attempt's unfinished answer was paid for; nobody has told the log yet."""
        if snapshot.is_final:
            return
        try:
            behind = await self._desk.behind_open_text(self._tools.recipes, snapshot, self._talking.talk)
        except Exception as error:  # noqa: BLE001 - a recipe's fault may spoil the estimate, never the run's end
            get_logger().error("no estimate of an unfinished answer", error=f"{type(error).__name__}: {error}")
            behind = (0, len(_open_text(snapshot)[1]))
        if behind is not None:
            self._meter.inherited(*behind, self._tools.provider.model)

    async def _write_or_cancel(self, writer: Writer) -> None:
        writing = spawn(f"writing {self._job.post}", self._write(writer))
        wish = spawn(f"cancel wish {self._job.post}", self._cancel_wish.wait())
        try:
            await asyncio.wait({writing, wish}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
                return
            await cancel_and_wait(writing)
            await writer.drain()
            if not writer.snapshot.is_final:
                await self._write_cancelled(writer)
        finally:
            await cancel_and_wait(writing, wish)

    # -- the way of a run --------------------------------------------------------------------------------------

    async def _write(self, writer: Writer) -> None:
        await writer.write(Started, StartedData(worker=self._tools.worker, usage=self._meter.tell()))
        while not writer.snapshot.is_final:
            try:
                await self._advance(writer)
            except UnusableOutput as error:
                unusable = ProviderError("provider_invalid_output", retryable=True, detail=str(error))
                await self._recover(writer, unusable)
            except ProviderError as error:
                await self._recover(writer, error)
            except InkwireError as error:
                await self._write_failed(writer, error.code, error.params)

    async def _advance(self, writer: Writer) -> None:
        self._talking.require()
        recipe = planner.find_recipe(self._tools.recipes, writer.snapshot.recipe)
        action = planner.next_action(recipe, writer.snapshot, self._talking.talk)
        if isinstance(action, WriteSection):
            await self._section(writer, recipe, action)
            self._failures = self._unusable = 0
        elif isinstance(action, FixPlan):
            await writer.write(Planned, action.plan)
            await self._tell(writer, recipe.planning_percent, "planned", sections=len(action.plan.sections))
        elif isinstance(action, Pause):
            await writer.write(Paused, PausedData(reason=action.reason))
            get_logger().info("paused", reason=action.reason, seq=writer.snapshot.seq)
        else:
            await self._publish(writer)

    async def _section(self, writer: Writer, recipe: Recipe, action: WriteSection) -> None:
        step = action.step
        work = planner.work_of(recipe, writer.snapshot, self._talking.talk)
        asked = await self._desk.asked(recipe, work, step, writer.snapshot)
        wanted = self._affordable(writer, asked.wanted)
        started = SectionStartedData(section=step.section, title=step.title, in_document=step.in_document)
        await writer.write(SectionStarted, started)
        if action.number:
            params = {"n": action.number, "total": action.total, "title": step.title}
            await self._tell(writer, action.percent, "writing_section", **params)
        else:
            await self._tell(writer, action.percent, step.progress, step=step.section, title=step.title)
        if isinstance(wanted, Composed):
            rendered, model = Rendered(bounded(wanted.text), wanted.data), ""
        else:
            rendered, model = await self._asked_or_not(writer, step.section, wanted, recipe.renderer(work, step))
        await writer.push(step.section, rendered.text)
        await writer.drain()
        completed = SectionCompletedData(
            section=step.section,
            text=_section(writer.snapshot, step.section).text,
            data=rendered.data,
            usage=self._meter.tell(),
            model=model,
            sources=list(asked.sources),
        )
        if len(completed.model_dump_json().encode()) > MAX_COMPLETED_BYTES:
            raise too_long()  # the broker would refuse it each time, and each time it would be paid for
        await writer.write(SectionCompleted, completed)

    async def _asked_or_not(
        self, writer: Writer, section: str, prompt: Prompt, renderer: Renderer
    ) -> tuple[Rendered, str]:
        """A section from the model; or what stands in its place, where it is worth no failure and nothing was shown."""
        try:
            return await self._asked(writer, section, prompt, renderer)
        except (ProviderError, UnusableOutput, InkwireError) as error:
            await writer.drain()
            if prompt.otherwise is None or _open_text(writer.snapshot)[1]:
                raise
            get_logger().warning("written without the model", section=section, error=str(error))
            self._complaint = None
            return Rendered(prompt.otherwise.text, prompt.otherwise.data), ""

    async def _asked(self, writer: Writer, section: str, prompt: Prompt, renderer: Renderer) -> tuple[Rendered, str]:
        """A section from the model. One whose answer could not be used is told so, and why."""
        assembler = Assembler(renderer)
        if self._complaint is not None and self._complaint.section == section:
            prompt = prompt.repaired(self._complaint.answer, self._complaint.why)
        self._complaint = None
        await writer.push(section, assembler.start())
        try:
            return await self._answer(writer, section, prompt, assembler)
        except UnusableOutput as error:
            self._complaint = Complaint(section, assembler.answer, str(error))
            raise

    async def _answer(self, writer: Writer, section: str, prompt: Prompt, assembler: Assembler) -> tuple[Rendered, str]:
        """One answer, continued as long as the model stops at its length limit and the bounds allow; and the model."""
        count = 0
        while (finish := await self._stream(writer, section, prompt, assembler)).truncated:
            prompt = continued(prompt, assembler.answer, count, self._tools.continuations)
            self._keep_to_budget(writer)
            count += 1
            get_logger().info("going on after the length limit", section=section, continuation=count)
        return assembler.finish(), finish.model

    async def _stream(self, writer: Writer, section: str, prompt: Prompt, assembler: Assembler) -> Finish:
        clock, provider = self._tools.clock, self._tools.provider
        self._pulse.expect(clock.monotonic_s(), provider.patience_s)
        first_s: float | None = None
        finish: Finish | None = None
        joint = Joint(prompt.prefix)
        async with provider.stream(prompt, lambda wait_s: self._wait(writer, wait_s)) as answer:
            self._meter.opened(prompt.length_chars, answer.model)
            async for piece in answer.pieces:
                now_s = clock.monotonic_s()
                self._pulse.expect(now_s, provider.patience_s)
                if isinstance(piece, Finish):
                    finish = piece
                    break
                first_s = now_s if first_s is None else first_s
                self._meter.received(len(piece), now_s)
                await writer.push(section, assembler.feed(joint.feed(piece)))
                await writer.settle()
        if finish is None:
            raise ProviderError("provider_cut", retryable=True, detail="the stream has no end")
        await writer.push(section, assembler.feed(joint.end()))
        now_s = clock.monotonic_s()
        self._meter.finished(finish.usage, finish.model, now_s - (first_s if first_s is not None else now_s))
        return finish

    def _affordable(self, writer: Writer, wanted: Prompt | Composed) -> Prompt | Composed:
        """What to ask for, or what stands in its place once the run has used up what it may. Raises InkwireError."""
        if isinstance(wanted, Composed):
            return wanted
        if wanted.otherwise is not None and self._is_over_budget(writer):
            return wanted.otherwise
        self._keep_to_budget(writer)
        return wanted

    def _keep_to_budget(self, writer: Writer) -> None:
        """Before each call, so that a run without failures is bounded, too. Raises InkwireError."""
        if self._is_over_budget(writer):
            raise InkwireError(retry.OVER_BUDGET)

    def _is_over_budget(self, writer: Writer) -> bool:
        return retry.is_over_budget(self._meter.spent(writer.snapshot), self._tools.policy)

    async def _wait(self, writer: Writer, wait_s: float) -> None:
        """It is not this post's turn yet: its job is kept, its text stays, and its readers know for how long."""
        clock, progress = self._tools.clock, writer.snapshot.progress
        self._pulse.expect(clock.monotonic_s(), wait_s + self._tools.provider.patience_s)
        if progress.code != WAITING:
            self._told_before = progress
        if wait_s > 0:
            params = {"delay_s": _brief(wait_s), "until": rfc3339(clock.now() + timedelta(seconds=wait_s))}
            await self._tell(writer, progress.percent, WAITING, **params)
        else:
            await self._tell(writer, progress.percent, self._told_before.code, **self._told_before.params)

    async def _recover(self, writer: Writer, error: ProviderError) -> None:
        await writer.drain()
        tools = self._tools
        now_s = tools.clock.monotonic_s()
        over = self._is_over_budget(writer)
        history = retry.RetryHistory(self._failures, self._meter.age_s(now_s), self._unusable, over)
        decision = retry.decide(error, history, tools.policy, tools.jitter())
        get_logger().warning(
            "provider failed", code=error.code, detail=error.detail, failures=self._failures, delay_s=decision.delay_s
        )
        if decision.delay_s is None:
            await self._write_failed(writer, decision.code, error.params)
            return
        if error.asked:
            self._failures += 1
            self._unusable += error.code == retry.UNUSABLE
        delay_s = decision.delay_s
        params = {"delay_s": _brief(delay_s), "reason": REASONS.get(decision.code, decision.code)}
        notice = RetryingData(
            section=writer.snapshot.open_section or "",
            code=decision.code,
            params=params,
            message=render("retrying", params),
            delay_ms=round(delay_s * 1000),
            retry=max(1, self._failures),
            asked=error.asked,
            usage=self._meter.tell(),
        )
        await writer.write(Retrying, notice)
        self._pulse.expect(tools.clock.monotonic_s(), delay_s)
        await tools.sleep(delay_s)

    # -- ends --------------------------------------------------------------------------------------------------

    async def _publish(self, writer: Writer) -> None:
        await self._tell(writer, planner.WRITTEN_PERCENT, "finishing")
        await self._talking.entitle(writer.snapshot)
        tools, snapshot = self._tools, writer.snapshot
        text = document(snapshot)
        metrics = self._meter.metrics(snapshot, tools.clock.monotonic_s())
        await writer.write(PostPublished, PublishedData(sha256=digest(text), length=len(text), metrics=metrics))
        get_logger().info("published", seq=writer.snapshot.seq, words=metrics.words, duration_ms=metrics.duration_ms)

    async def _write_failed(self, writer: Writer, code: str, params: Mapping[str, object]) -> None:
        await writer.drain()
        failed = FailedData(code=code, params=dict(params), message=render(code, params), **self._left(writer))
        await writer.write(Failed, failed)
        get_logger().warning("failed", code=code, seq=writer.snapshot.seq)

    async def _write_cancelled(self, writer: Writer) -> None:
        await writer.drain()
        await writer.write(Cancelled, CancelledData(**self._left(writer)))
        get_logger().info("cancelled", seq=writer.snapshot.seq)

    def _left(self, writer: Writer) -> dict[str, Any]:
        """What a run that ends early leaves: the open section's text, what that cost, and the run's figures."""
        section, text = _open_text(writer.snapshot)
        usage = self._meter.tell()
        now_s = self._tools.clock.monotonic_s()
        metrics = self._meter.metrics(writer.snapshot, now_s, last=usage, kept=text != "")
        return {"section": section, "text": text, "usage": usage, "metrics": metrics}

    async def _tell(self, writer: Writer, percent: int, code: str, **params: object) -> None:
        progress = ProgressData(percent=percent, code=code, params=params, message=render(code, params))
        await writer.write(Progressed, progress)


def _section(snapshot: Snapshot, section: str) -> Section:
    found = snapshot.section(section)
    assert found is not None  # noqa: S101 - section_started was folded before
    return found


def _open_text(snapshot: Snapshot) -> tuple[str, str]:
    if snapshot.open_section is None:
        return "", ""
    return snapshot.open_section, _section(snapshot, snapshot.open_section).text


def _brief(seconds: float) -> float:
    """For people: no more than a tenth, and none where it says nothing."""
    tenths = round(seconds, 1)
    return int(tenths) if tenths.is_integer() else tenths
