"""Conversations during a run: two people speak in turns and are answered, and others listen over every outage.

An answer is a post like any other, read and judged as such (people.py). What is held to the conversation's own log is
here: who listened, what they were shown, and what was accepted.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from inkwire_contracts.client_frames import (
    SERVER_FRAME,
    SUBPROTOCOL,
    TOKEN_SUBPROTOCOL_PREFIX,
    ConversationEventFrame,
    ConversationFrame,
    ErrorFrame,
    Position,
    Subscribe,
    Unsubscribed,
)
from inkwire_contracts.conversations import Conversation, fold_conversation, parse_conversation_event
from inkwire_contracts.errors import ERROR_CODES
from inkwire_contracts.fold import Outcome
from tests.chaos.cluster import Cluster
from tests.chaos.pacing import pause
from tests.chaos.people import REQUEST_TIMEOUT_S, People
from tests.chaos.steering import Api
from tests.chaos.talk_oracle import Heard, TalkEvidence, talk_view
from tests.support.wait import scaled_s

SPEAKERS: Final = ("mary", "katherine")
TURNS: Final = 3
OPEN_TIMEOUT_S: Final = 5.0
RETRY_S: Final = (0.05, 0.3)
STAYS_S: Final = ((60.0, 60.0), (0.1, 2.5))
"""How long listeners stay before they come back with their position: one hardly ever leaves, one always does."""
LOOK_S: Final = 0.3


@dataclass(slots=True)
class _Talk:
    evidence: TalkEvidence
    rng: random.Random
    listeners: list["_Listener"] = field(default_factory=list)


class Talks:
    """All conversations of a run."""

    def __init__(self, cluster: Cluster, people: People, seed: int, over: asyncio.Event) -> None:
        self.all: list[_Talk] = []
        self._cluster = cluster
        self._people = people
        self._seed = seed
        self._over = over
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S), trust_env=False)

    @property
    def steps(self) -> int:
        """Grows whenever anybody comes forward."""
        return sum(len(t.evidence.accepted) + sum(len(h.sights) for h in t.evidence.heard) for t in self.all)

    @property
    def evidence(self) -> list[TalkEvidence]:
        """What everybody says of each conversation."""
        return [talk.evidence for talk in self.all]

    async def close(self) -> None:
        await self._http.close()

    async def hold(self, number: int) -> None:
        """One conversation from its beginning to the end of its last answer."""
        rng = random.Random(f"{self._seed}.talk.{number}")
        owner, guest = (self._api(user) for user in SPEAKERS)
        begun = await owner.insist("POST", "/conversations", frozenset({201}), json={})
        if begun is None:
            self._people.never_accepted.append(f"conversation {number}")
            return
        name = str(begun[1]["id"])
        talk = _Talk(TalkEvidence(name), rng)
        self.all.append(talk)
        await owner.insist("PUT", f"/conversations/{name}/members/{SPEAKERS[1]}", frozenset({200, 204}), json={})
        listening = [asyncio.ensure_future(self._listen(talk, stay_s)) for stay_s in STAYS_S]
        try:
            for turn in range(TURNS):
                await self._turn(talk, (owner, guest)[turn % 2], turn)
            last = await owner.insist("GET", f"/conversations/{name}", frozenset({200}))
            talk.evidence.end_seq = None if last is None else int(last[1]["position"]["seq"])
            await asyncio.gather(*listening)
        finally:
            for listener in listening:
                listener.cancel()
            await asyncio.gather(*listening, return_exceptions=True)

    async def _turn(self, talk: _Talk, speaker: Api, turn: int) -> None:
        """Say something until it is accepted, once more because people do, and read the answer to its end."""
        name, words = talk.evidence.conversation, f"Question {turn} of {talk.rng.randint(1, 10**6)}: why?"
        key = {"Idempotency-Key": f"talk-{self._seed}-{name}-{turn}"}
        path = f"/conversations/{name}/messages"
        told = [
            await speaker.insist("POST", path, frozenset({202}), json={"content": words}, headers=key) for _ in range(2)
        ]
        for answer in told:
            if answer is not None:
                talk.evidence.accepted.append((str(answer[1]["message"]["id"]), words, str(answer[1]["reply"]["post"])))
        if told[0] is not None:
            await self._people.read(SPEAKERS[0], str(told[0][1]["reply"]["post"]), talk.rng)

    async def _listen(self, talk: _Talk, stay_s: tuple[float, float]) -> None:
        user = SPEAKERS[len(talk.listeners) % 2]
        gateways, token = self._cluster.gateways, self._cluster.token(user)
        listener = _Listener(talk, f"{user}-{len(talk.listeners)}", gateways, token, stay_s, self._over)
        talk.listeners.append(listener)
        talk.evidence.heard.append(listener.heard)
        await listener.run()

    def _api(self, user: str) -> Api:
        return Api(self._http, self._cluster.api_url, self._cluster.token(user), self._over)


class _Listener:
    """Follows `conversation:<id>`, goes and comes back with its position, until it has heard everything."""

    def __init__(
        self,
        talk: _Talk,
        name: str,
        gateways: Sequence[str],
        token: str,
        stay_s: tuple[float, float],
        over: asyncio.Event,
    ) -> None:
        self.heard = Heard(name)
        self._talk = talk
        self._gateways = gateways
        self._token = token
        self._stay_s = stay_s
        self._over = over
        self._conversation = Conversation(conversation=talk.evidence.conversation)
        self._epoch: str | None = None
        self._turn = talk.rng.randrange(len(gateways))

    @property
    def _done(self) -> bool:
        end_seq = self._talk.evidence.end_seq
        return end_seq is not None and self._conversation.seq >= end_seq

    async def run(self) -> None:
        while not self._done and not self._over.is_set():
            self._turn += 1
            with contextlib.suppress(OSError, TimeoutError, WebSocketException):
                await self._visit(self._gateways[self._turn % len(self._gateways)])
            await pause(self._over, self._talk.rng.uniform(*RETRY_S))

    async def _visit(self, url: str) -> None:
        subprotocols = [Subprotocol(SUBPROTOCOL), Subprotocol(TOKEN_SUBPROTOCOL_PREFIX + self._token)]
        leave_s = asyncio.get_running_loop().time() + self._talk.rng.uniform(*self._stay_s)
        async with asyncio.timeout(scaled_s(OPEN_TIMEOUT_S)):
            socket = await connect(url, subprotocols=subprotocols, proxy=None, close_timeout=1)
        async with socket:
            channel = f"conversation:{self._conversation.conversation}"
            position = None
            if self._epoch is not None:
                position = Position(epoch=self._epoch, seq=self._conversation.seq)
            subscribe = Subscribe(type="subscribe", channel=channel, position=position)
            await socket.send(subscribe.model_dump_json(exclude_none=True))
            while not (self._done or self._over.is_set() or asyncio.get_running_loop().time() > leave_s):
                if not await self._receive(socket):
                    return

    async def _receive(self, socket: ClientConnection) -> bool:
        """Take one frame in, if one comes soon; False where the channel is over for now."""
        try:
            async with asyncio.timeout(LOOK_S):
                message = await socket.recv()
        except TimeoutError:
            return True
        try:
            frame = SERVER_FRAME.validate_json(message)
        except ValidationError:
            return True
        if isinstance(frame, ErrorFrame | Unsubscribed):
            spec = ERROR_CODES.get(frame.code or "")
            if spec is None or spec.status not in (429, 502, 503, 504):
                self.heard.refusals.append(f"{frame.type} {frame.code}: {frame.message}")
            return False
        if isinstance(frame, ConversationFrame):
            self._conversation = Conversation.model_validate(frame.conversation)
            self._epoch = frame.position.epoch
            self._note(frame.position.seq)
        elif isinstance(frame, ConversationEventFrame):
            self._fold(frame.event, frame.position)
        return True

    def _fold(self, event: dict[str, Any], position: Position) -> None:
        parsed = parse_conversation_event(json.dumps(event))
        outcome = fold_conversation(self._conversation, parsed, position.seq)
        if outcome is not Outcome.APPLIED:
            self.heard.refusals.append(f"event {position.seq} is {outcome} at {self._conversation.seq}")
            return
        self._note(position.seq)

    def _note(self, seq: int) -> None:
        self.heard.sights.append((seq, talk_view(self._conversation)))
