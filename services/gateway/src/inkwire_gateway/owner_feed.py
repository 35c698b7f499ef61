"""Which lifecycle events an owner's channel tells: those of articles, not those of answers in conversations. Pure.

Only a ``requested`` says what its post is. Of any other post whose nature is not known the events are held, in order,
until somebody has looked it up.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass

import orjson

MAX_KNOWN = 10_000
"""Posts of one owner whose nature is remembered; of older ones it is looked up again."""

MAX_HELD = 1_000
"""Events that wait; beyond it the oldest is told without being asked about: too much is better than too little."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A lifecycle event as it came."""

    type: str
    name: str
    raw: bytes


class OwnerFeed:
    """See the module's docstring. Methods tell what may go out now."""

    def __init__(self) -> None:
        self._is_reply: OrderedDict[str, bool] = OrderedDict()
        self._held: deque[tuple[str, Happening]] = deque()

    @property
    def unknown(self) -> list[str]:
        """Posts to look up, then to :meth:`learn` about."""
        return list(dict.fromkeys(post for post, _ in self._held))

    def take(self, happening: Happening) -> list[Happening]:
        """An event came in; one that cannot be read is told to nobody."""
        try:
            event = orjson.loads(happening.raw)
            post = str(event["post"])
            if happening.type == "requested":
                return [*self.learn(post, is_reply=event["data"].get("turn") is not None), *self._told(post, happening)]
        except (ValueError, TypeError, KeyError, AttributeError):
            return []
        return self._told(post, happening)

    def learn(self, post: str, *, is_reply: bool) -> list[Happening]:
        """What a post is."""
        self._is_reply[post] = is_reply
        self._is_reply.move_to_end(post)
        if len(self._is_reply) > MAX_KNOWN:
            self._is_reply.popitem(last=False)
        if not self._held:
            return []
        mine = [happening for held, happening in self._held if held == post]
        self._held = deque((held, happening) for held, happening in self._held if held != post)
        return [] if is_reply else mine

    def _told(self, post: str, happening: Happening) -> list[Happening]:
        is_reply = self._is_reply.get(post)
        if is_reply is not None:
            return [] if is_reply else [happening]
        self._held.append((post, happening))
        if len(self._held) > MAX_HELD:
            return [self._held.popleft()[1]]
        return []
