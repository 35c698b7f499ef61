"""Presence between processes: what is said, heard, whispered, and what a stop or an outage do to it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from inkwire_contracts.client_frames import PresentMember
from inkwire_gateway.announcements import Announcements
from inkwire_gateway.ports import Unavailable
from tests.support.clock import ManualClock
from tests.support.wait import eventually
from tests.unit.gateway.conversation_fakes import ADA, BOB, CONVERSATION, FakeConversations, FakePresence
from tests.unit.gateway.fakes import FakeTransport
from tests.unit.gateway.stage import Stage

NAME = f"presence:{CONVERSATION}"


class World:
    """Two processes that share a log and a bucket."""

    def __init__(self) -> None:
        self.log, self.presence = FakeConversations().begin(), FakePresence()
        self.one, self.two = (Stage(conversations=self.log, presence=self.presence.speaker()) for _ in range(2))


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    made = World()
    tasks = [asyncio.ensure_future(stage.announcements.run()) for stage in (made.one, made.two)]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def there(stage: Stage, who: PresentMember) -> FakeTransport:
    """Somebody who is there."""
    client = stage.enter(NAME, who)
    await eventually(lambda: "here" in client.types, what="it is told who is there")
    return client


async def test_who_is_in_another_process_is_seen() -> None:
    """By reading the bucket at first, then by what is said; goodbyes are heard."""
    async with world() as w:
        ada = await there(w.one, ADA)
        await eventually(lambda: w.presence.bucket, what="it is said")
        bob = await there(w.two, BOB)
        assert [m["user"] for m in bob.told[-1]["members"]] == ["ada", "bob"]
        await eventually(lambda: "joined" in ada.types, what="the first is told")
        w.two.hub.leave_all(bob.queue)
        await eventually(lambda: "left" in ada.types, what="the first is told")
        assert ada.types == ["subscribed", "here", "joined", "left"]


async def test_a_stop_says_no_goodbye() -> None:
    """Clients of a process that stops come back elsewhere; until its time is over nobody misses them."""
    async with world() as w:
        ada, bob = await there(w.one, ADA), await there(w.two, BOB)
        await eventually(lambda: "joined" in ada.types, what="the first is told")
        w.two.announcements.handing_over = True
        w.two.hub.leave_all(bob.queue)
        w.one.clock.advance(29.0)
        w.one.channels.sweep()
        assert "left" not in ada.types and not [s for s in w.presence.said if s[0] == "leave"]
        w.one.clock.advance(2.0)
        w.one.channels.sweep()
        assert ada.types.count("left") == 1


async def test_an_outage_takes_nobody_away() -> None:
    """While the broker is away nobody can be heard, so nobody goes; afterwards all have their whole time again."""
    async with world() as w:
        ada = await there(w.one, ADA)
        await there(w.two, BOB)
        await eventually(lambda: "joined" in ada.types, what="the first is told")
        w.one.channels.disconnected()
        w.one.clock.advance(100.0)
        w.one.channels.sweep()
        assert "left" not in ada.types
        said = len(w.presence.said)
        w.one.channels.reconnected()
        await eventually(lambda: len(w.presence.said) > said, what="it is said again who is here")
        w.one.channels.sweep()
        assert "left" not in ada.types
        w.one.clock.advance(31.0)
        w.one.channels.sweep()
        assert ada.types.count("left") == 1


async def test_who_is_there_is_read_again_after_a_failure() -> None:
    """A bucket that did not answer in time is asked again for the next reader, who then hears of who comes and goes."""
    stage = Stage(load_timeout_s=0.5)
    stage.presence.presence.bucket["bob", "bob-elsewhere"] = BOB
    home = stage.enter(f"conversation:{CONVERSATION}", ADA)
    await eventually(lambda: "conversation" in home.types, what="the conversation is here")
    present = stage.presence.present

    async def fails(conversation: str) -> Sequence[tuple[PresentMember, str]]:
        raise Unavailable("down")

    stage.presence.present = fails  # type: ignore[method-assign]
    stage.enter(NAME, ADA)
    assert await stage.refused() == "broker_unavailable"
    stage.presence.present = present  # type: ignore[method-assign]
    ada = await there(stage, ADA)
    assert {m["user"] for m in ada.told[-1]["members"]} == {"ada", "bob"}
    bob = await there(stage, BOB)
    stage.hub.leave_all(bob.queue)
    listener = stage.presence.presence.listeners[-1][0].listener
    listener.gone("bob", "bob-elsewhere")
    await eventually(lambda: ada.types[-1] == "left", what="it is told")


async def test_a_loss_during_a_reading_is_made_good_by_another_one() -> None:
    """Messages that may have been lost while it is read who is there make it be read once more."""
    stage = Stage()
    ada = await there(stage, ADA)
    asked, answer, answers, present = asyncio.Event(), asyncio.Event(), [], stage.presence.present

    async def late(conversation: str) -> Sequence[tuple[PresentMember, str]]:
        answers.append(await present(conversation))
        asked.set()
        await answer.wait()
        return answers[-1]

    stage.presence.present = late  # type: ignore[method-assign]
    stage.channels.suspect_conversation(CONVERSATION)
    await asked.wait()
    stage.presence.presence.bucket["bob", "bob-elsewhere"] = BOB  # and what was said of it is lost
    stage.channels.suspect_conversation(CONVERSATION)
    answer.set()
    await eventually(lambda: "joined" in ada.types, what="the first is told")
    assert len(answers) == 2


async def test_whispers_go_to_all_but_their_own_connection() -> None:
    """Also to those who fell behind and catch up; who is no member any more is not heard."""
    async with world() as w:
        ada, tab, bob = await there(w.one, ADA), await there(w.one, ADA), await there(w.two, BOB)
        await eventually(lambda: "joined" in ada.types, what="both processes know both")
        for client in (ada, tab):
            client.queue.pause()
        assert ada.joined is not None and w.one.channels.whisper(ada.joined, "typing", b"{}")
        await eventually(lambda: "whispered" in bob.types, what="the whisper is heard")
        for client in (ada, tab):
            client.queue.resume()
        assert "whispered" not in ada.types and tab.types[-1] == "whispered"
        assert tab.told[-1]["member"]["user"] == "ada"
        home = w.two.hub.conversation_channel(CONVERSATION)
        home.live.roster = frozenset({"bob"})
        deliveries = w.one.hub.counters.deliveries
        assert w.one.channels.whisper(ada.joined, "typing", b"{}")
        await eventually(lambda: tab.types.count("whispered") == 2, what="it was said")
        assert w.one.hub.counters.deliveries == deliveries + 1, "who whispers is not counted as one who hears it"
        assert bob.types.count("whispered") == 1


async def test_who_is_not_there_does_not_whisper() -> None:
    """Neither who waits to be let in nor who follows something else."""
    stage = Stage()
    client = stage.enter(NAME, ADA)
    assert client.joined is not None and not stage.channels.whisper(client.joined, "typing", b"{}")
    follower = stage.enter(f"conversation:{CONVERSATION}", ADA)
    await eventually(lambda: "conversation" in follower.types, what="the conversation is followed")
    assert follower.joined is not None and not stage.channels.whisper(follower.joined, "typing", b"{}")


class Spoken:
    """Announcements on a clock of the test."""

    def __init__(self) -> None:
        self.presence, self.clock = FakePresence(), ManualClock()
        self.announcements = Announcements(self.presence.speaker(), clock=self.clock, ttl_s=30.0)

    async def speak(self) -> list[tuple[str, str, str]]:
        """Say what is due; what was said."""
        before = len(self.presence.said)
        await self.announcements._speak()
        return self.presence.said[before:]


async def test_beats_are_spread_around_a_third_of_the_time() -> None:
    """Each connection is said anew every 7.5 to 12.5 s, not all of them at the same moment."""
    s = Spoken()
    for n in range(20):
        s.announcements.hold(CONVERSATION, ADA, f"a{n}")
    assert len(await s.speak()) == 20 and await s.speak() == []
    s.clock.advance(7.4)
    assert await s.speak() == []
    s.clock.advance(2.6)
    early = len(await s.speak())
    s.clock.advance(2.6)
    assert 0 < early < 20 and early + len(await s.speak()) == 20


async def test_goodbyes_come_after_what_was_said_and_once() -> None:
    """Who comes back before the goodbye was said was never away; who is gone is not said to be there again."""
    s = Spoken()
    s.announcements.hold(CONVERSATION, ADA, "a")
    s.announcements.release(CONVERSATION, "a")
    s.announcements.hold(CONVERSATION, ADA, "a")
    assert {what for what, _, _ in await s.speak()} == {"say"}
    s.announcements.release(CONVERSATION, "a")
    s.announcements.release(CONVERSATION, "a")
    assert await s.speak() == [("leave", "ada", "a")]
    s.clock.advance(100.0)
    s.announcements.repeat()
    assert await s.speak() == []


async def test_whispers_are_bounded_while_nothing_can_be_said() -> None:
    """The oldest are dropped; beats and goodbyes are kept."""
    s = Spoken()
    for n in range(1_010):
        s.announcements.whisper(CONVERSATION, ADA, "a", f"w{n}", b"{}")
    s.announcements.hold(CONVERSATION, ADA, "a")
    said = [what for what, _, _ in await s.speak()]
    assert said.count("whisper") == 1_000 and said.count("say") == 1
