"""What must hold of a conversation after any number of kills: its log, folded, is what everybody was shown and kept."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from inkwire_chassis.conversation_log import StoredConversationEvent
from inkwire_contracts.conversations import Conversation, fold_conversation
from inkwire_contracts.fold import Outcome, digest
from inkwire_stores.conversation_ports import StoredConversation


@dataclass(slots=True)
class Heard:
    """What one listener was shown: the conversation at each sequence, and answers that it must not get."""

    name: str
    sights: list[tuple[int, str]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


@dataclass(slots=True)
class TalkEvidence:
    """One conversation: what everybody says of it. `accepted`: (message, words, post of the answer), as answered."""

    conversation: str
    accepted: list[tuple[str, str, str]] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    end_seq: int | None = None
    """Where it was when its last answer had ended; None: it never had."""
    log: Sequence[StoredConversationEvent] = ()
    stored: StoredConversation | None = None


def talk_view(conversation: Conversation) -> str:
    """All that a reader sees of a conversation, as one digest."""
    messages = [[m.message, m.role, m.content, m.post, m.reply_to, m.author] for m in conversation.standing]
    members = [m.user for m in conversation.members]
    return digest(json.dumps([conversation.status, conversation.title, members, messages], ensure_ascii=False))


def judge_talk(talk: TalkEvidence) -> Iterator[tuple[str, str]]:
    """Every breach as (rule, message)."""
    truth = Conversation(conversation=talk.conversation)
    views: dict[int, str] = {}
    for stored in talk.log:
        if fold_conversation(truth, stored.event, stored.seq) is not Outcome.APPLIED:
            yield "talk_log_folds", f"what stands at {stored.seq} does not fold"
        views[stored.seq] = talk_view(truth)
    yield from _accepted(talk, truth)
    for heard in talk.heard:
        yield from (("talk_is_served", f"{heard.name}: {refusal}") for refusal in heard.refusals)
        yield from _shown(heard, views, talk.end_seq)
    if talk.stored is None or talk.stored.conversation != truth:
        yield "talk_store_is_the_log", "the store does not hold what the log says"


def _accepted(talk: TalkEvidence, truth: Conversation) -> Iterator[tuple[str, str]]:
    """What was answered 202 stands there once, with its words, and is answered once."""
    asked = {message: (words, post) for message, words, post in talk.accepted}
    if len({post for _, _, post in talk.accepted}) != len(asked):
        yield "talk_accepted_once", "a repeat of a request was answered with another message or post"
    said = {m.message: m.content for m in truth.messages if m.role == "user"}
    if said != {message: words for message, (words, _) in asked.items()}:
        yield "talk_accepted_once", f"{len(asked)} messages were accepted, {len(said)} stand in the log"
    answers = sorted((m.reply_to or "", m.post or "") for m in truth.messages if m.role == "assistant")
    if answers != sorted((message, post) for message, (_, post) in asked.items()):
        yield "talk_answered_once", "the answers in the log are not those that were promised"


def _shown(heard: Heard, views: dict[int, str], end_seq: int | None) -> Iterator[tuple[str, str]]:
    before = 0
    for seq, shown in heard.sights:
        if views.get(seq) != shown:
            yield "talk_shows_the_log", f"{heard.name} was not shown the conversation as of {seq}"
        if seq < before:
            yield "talk_goes_forward", f"{heard.name} went back from {before} to {seq}"
        before = seq
    if end_seq is None or before < end_seq:
        yield "talk_reaches_the_end", f"{heard.name} was at {before} in the end, the log at {end_seq}"
