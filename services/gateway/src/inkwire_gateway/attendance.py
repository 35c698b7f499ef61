"""Who is in a conversation: connections that said so lately, of people who are members. Pure; time is passed in."""

import math
from dataclasses import dataclass, field
from typing import Literal

from inkwire_contracts.client_frames import PresentMember

MAX_CONNECTIONS = 10_000
"""Connections of one conversation, in all gateways; more are not noted, and their people seem away."""

Key = tuple[str, str]
"""A member and one of its connections."""


@dataclass(frozen=True, slots=True)
class Change:
    """Somebody came or went."""

    kind: Literal["joined", "left"]
    member: PresentMember


@dataclass(slots=True)
class _Person:
    who: PresentMember
    heard_s: dict[str, float] = field(default_factory=dict)
    """When each connection was heard last; infinity for those of this process, which are there until they say so."""


class Attendance:
    """Each method tells what changed for those who look on: a person comes once and goes once.

    Args:
        ttl_s: a connection of another process that was silent for so long is gone.
    """

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._people: dict[str, _Person] = {}
        self._roster: frozenset[str] = frozenset()
        self._present: dict[str, PresentMember] = {}
        self._connections = 0

    @property
    def present(self) -> list[PresentMember]:
        """Who is there, in the order of their coming."""
        return list(self._present.values())

    def hold(self, who: PresentMember, connection: str) -> list[Change]:
        """A connection of this process is there, until :meth:`release`."""
        self._note(who, connection, math.inf)
        return self._changes(who.user)

    def release(self, user: str, connection: str) -> list[Change]:
        """A connection of this process is gone."""
        return self._forget(user, connection)

    def heard(self, who: PresentMember, connection: str, now_s: float) -> list[Change]:
        """A connection of another process is there."""
        if not self._is_held(who.user, connection):
            self._note(who, connection, now_s)
        return self._changes(who.user)

    def gone(self, user: str, connection: str) -> list[Change]:
        """A connection of another process said that it goes."""
        return [] if self._is_held(user, connection) else self._forget(user, connection)

    def expire(self, now_s: float) -> list[Change]:
        """Those who have been silent for too long are gone."""
        late = [
            (user, connection)
            for user, person in self._people.items()
            for connection, heard_s in person.heard_s.items()
            if now_s - heard_s > self._ttl_s
        ]
        return [change for user, connection in late for change in self._forget(user, connection)]

    def forgive(self, now_s: float) -> None:
        """Nobody could be heard for a while: the time until now does not count."""
        for person in self._people.values():
            for connection, heard_s in person.heard_s.items():
                person.heard_s[connection] = max(heard_s, now_s)

    def admit(self, roster: frozenset[str]) -> list[Change]:
        """These are the members; others do not count, and may be on before it is known here that they are members."""
        self._roster = roster
        return [change for user in sorted({*self._people, *self._present}) for change in self._changes(user)]

    def _is_held(self, user: str, connection: str) -> bool:
        person = self._people.get(user)
        return person is not None and person.heard_s.get(connection) == math.inf

    def _note(self, who: PresentMember, connection: str, heard_s: float) -> None:
        person = self._people.get(who.user)
        if person is None or connection not in person.heard_s:
            if self._connections >= MAX_CONNECTIONS:
                return
            self._connections += 1
        if person is None:
            person = self._people[who.user] = _Person(who)
        person.who = who
        person.heard_s[connection] = heard_s

    def _forget(self, user: str, connection: str) -> list[Change]:
        person = self._people.get(user)
        if person is None or person.heard_s.pop(connection, None) is None:
            return []
        self._connections -= 1
        if not person.heard_s:
            del self._people[user]
        return self._changes(user)

    def _changes(self, user: str) -> list[Change]:
        person, shown = self._people.get(user), self._present.get(user)
        if person is not None and user in self._roster and shown is None:
            self._present[user] = person.who
            return [Change("joined", person.who)]
        if shown is not None and (person is None or user not in self._roster):
            del self._present[user]
            return [Change("left", shown)]
        return []
