"""Keeps channels of what a log tells whole, posts and conversations alike: loads and repairs. No I/O."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from inkwire_chassis.logs import get_logger
from inkwire_gateway.channel import LogChannel
from inkwire_gateway.live_log import Phase, Verdict
from inkwire_gateway.ports import Damaged
from inkwire_gateway.upkeep import REFILL_TRIES, Desk, NotFollowable, OfALog, Upkeep, delay_s


class ReadWhole(OfALog, Protocol):
    """What a channel begins with."""

    @property
    def source(self) -> str:
        """Where it came from: one of ``SOURCES``."""
        ...


C = TypeVar("C", bound=LogChannel[Any])
L = TypeVar("L", bound=ReadWhole)
E = TypeVar("E")


class LogUpkeep(ABC, Generic[C, L, E]):
    """What is the same for all kinds: ``C`` is a kind of channel, ``L`` what it begins with, ``E`` an event of it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def of_another_log(self, channel: C) -> bool:
        """Whether the log that came back is not the one that the channel was read from.

        Then, and before it was read, what it kept is forgotten: it might follow upon what is read of the other log.
        """
        before, now = channel.live.epoch, self._known_epoch()
        if before != now:
            channel.live.forget_kept()
        other = channel.ready and before != now
        if other:
            get_logger().warning("the log is another one", channel=channel.name, before=before, now=now)
        return other

    async def _bring_up_to_date(self, channel: C, upkeep: Upkeep) -> tuple[Verdict, str]:
        """Repair or load; returns what the repair said, and where readers begin who are attached now."""
        verdict = Verdict.DAMAGED if upkeep.anew else await self._repair(channel)
        return verdict, await self._load(channel, upkeep) if verdict is Verdict.DAMAGED else "log"

    async def _load(self, channel: C, upkeep: Upkeep) -> str:
        """Read it whole; readers it already had are told how things stand. Returns where it came from.

        Raises:
            NotFollowable: there is no such thing.
            Damaged: what is read does not fold.
        """
        upkeep.anew = True
        channel.live.suspend()
        loaded = await self._desk.of_this_log(partial(self._read_whole, channel), self._known_epoch)
        if loaded is None:
            raise NotFollowable("not_found")
        upkeep.anew = False  # at once: what a comparison says from now on is not to be taken back
        verdict = self._start(channel, loaded)
        if verdict is Verdict.GAP:
            verdict = await self._repair(channel)
        if verdict is Verdict.DAMAGED:
            raise Damaged("a live message contradicts the log")
        return loaded.source

    async def _repair(self, channel: C) -> Verdict:
        """Compare with the log and read what is missing; what then still is, the next tail check asks for again."""
        live, desk = channel.live, self._desk
        outages = desk.outages
        if not desk.certain.is_set() or self._known_epoch() not in (None, live.epoch):
            return Verdict.GAP  # the broker was lost since it was read: as below
        for attempt in range(REFILL_TRIES):
            if attempt:
                await asyncio.sleep(delay_s(attempt))
            newest, seq, events = await desk.insist(partial(self._compare, channel))
            if outages != desk.outages:
                return Verdict.GAP  # perhaps of another log, which must never be added to this one: compare first
            if events is not None and self._refill(channel, events, seq, newest) is Verdict.DAMAGED:
                get_logger().warning("channel is read anew", channel=channel.name, seq=live.seq)
                return Verdict.DAMAGED
            if newest <= live.seq and live.phase is Phase.LIVE:
                void = newest <= seq and await self._is_void(channel, newest)
                return Verdict.DAMAGED if void else Verdict.OK
        get_logger().warning("events are missing in the log", channel=channel.name, seq=live.seq)
        return Verdict.GAP

    async def _compare(self, channel: C) -> tuple[int, int, Sequence[E] | None]:
        """The log's newest, how far it is folded here, and what is beyond that; ``None`` where nothing has to be done.

        In one turn: where all channels are compared they are whole one after the other, not all at the end.
        """
        newest = await self._newest_seq(channel)
        seq = channel.live.seq
        if newest <= seq and channel.live.phase is Phase.LIVE:
            return newest, seq, None
        return newest, seq, await self._missing(channel, newest)

    @abstractmethod
    def _known_epoch(self) -> str | None:
        """The log's identity as it was told last."""

    @abstractmethod
    async def _read_whole(self, channel: C) -> L | None:
        """The thing up to its newest event; None if there is none, or none that may be followed here."""

    @abstractmethod
    def _start(self, channel: C, loaded: L) -> Verdict:
        """Begin there, and have readers told."""

    @abstractmethod
    async def _newest_seq(self, channel: C) -> int:
        """The newest event's in the log; 0 if the log has none."""

    @abstractmethod
    async def _is_void(self, channel: C, newest: int) -> bool:
        """Whether what is here cannot be built upon, although the log has nothing newer."""

    @abstractmethod
    async def _missing(self, channel: C, newest: int) -> Sequence[E]:
        """What the log has beyond what is here, up to there at least."""

    @abstractmethod
    def _refill(self, channel: C, events: Sequence[E], seq: int, newest: int) -> Verdict:
        """Add that, and have readers told. ``seq``: how far it was folded when that was asked for."""
