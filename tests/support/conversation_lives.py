"""Random lives of a conversation: events as several members may send them, whether or not they make sense."""

from typing import Any

from hypothesis import strategies as st

from inkwire_contracts.conversations import ConversationEvent, UnknownConversationEvent
from tests.support.conversation_logs import ConversationScript
from tests.support.post_logs import post_id

USERS = ("ana", "ben", "cy")
NUMBERS = st.integers(1, 6)
EMOJIS = st.sampled_from(["👍", "❤️", "1️⃣"])
Stored = tuple[int, ConversationEvent]


@st.composite
def conversations(draw: st.DrawFn, most: int = 25) -> list[Stored]:
    """A log: events with their sequences, rising with holes. It usually begins with the beginning."""
    script = ConversationScript()
    script.seq = draw(st.integers(0, 3))
    if draw(st.integers(0, 9)):
        script.created(title=draw(st.sampled_from(["", "Bees"])), name="Ana")
    for _ in range(draw(st.integers(0, most))):
        script.seq += draw(st.integers(0, 3))
        _any_event(draw, script)
    return script.events


def _any_event(draw: st.DrawFn, script: ConversationScript) -> None:
    user = draw(st.sampled_from(USERS))
    kind = draw(st.sampled_from(["question"] * 4 + ["answer"] * 3 + ["reaction", "member", "title", "rare"]))
    replaces: dict[str, Any] = {"replaces": post_id(draw(NUMBERS))} if draw(st.booleans()) else {}
    match kind:
        case "question":
            script.message(draw(NUMBERS), by=user, content=draw(st.text(max_size=5)), **replaces)
        case "answer":
            script.message(draw(NUMBERS), role="assistant", post=post_id(90), **replaces)
        case "reaction":
            script.reaction(draw(NUMBERS), draw(EMOJIS), by=user, present=draw(st.booleans()))
        case "member":
            script.member(user, present=draw(st.booleans()), name=draw(st.sampled_from(["", "N"])))
        case "title":
            script.title(draw(st.sampled_from(["A", "B"])), generated=draw(st.booleans()))
        case _:
            _rare_event(draw, script)


def _rare_event(draw: st.DrawFn, script: ConversationScript) -> None:
    match draw(st.sampled_from(["created", "unknown", "deleted"])):
        case "created":
            script.created(title="again")
        case "deleted":
            script.deleted()
        case _:
            script.seq += 1
            event = UnknownConversationEvent(
                type="pinned", conversation=script.conversation, id="x", by="ana", time=script.time()
            )
            script.events.append((script.seq, event))
