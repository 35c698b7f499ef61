"""What a reply knows of its conversation."""

from typing import Any

import pytest

from inkwire_contracts.conversations import Conversation
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.events import Turn
from inkwire_contracts.fold import Section, Snapshot
from inkwire_generator.context import (
    MAX_TURNS,
    MAX_TURNS_CHARS,
    Recollection,
    Talk,
    standing,
    summary_of,
    title_for,
)
from tests.support.conversation_logs import ConversationScript
from tests.support.post_logs import post_id


def dialogue(turns: int, **data: Any) -> ConversationScript:
    """Questions 1, 3, 5, ... and their answers 2, 4, ...; the answers' posts have their numbers plus 500."""
    script = ConversationScript()
    script.created(name="Ana", **data)
    for number in range(1, 2 * turns, 2):
        script.message(number, content=f"Question {number}?")
        answer(script, number + 1)
    return script


def answer(script: ConversationScript, number: int, **data: Any) -> None:
    """The assistant's message to the one before."""
    script.message(number, role="assistant", reply_to=post_id(number - 1), post=post_id(number + 500), **data)


def reply(
    script: ConversationScript, number: int, text: str = "", *, status: str = "published", **data: Any
) -> Snapshot:
    """The post of an answer; ``data`` are those of its working steps."""
    turn = Turn(conversation=script.conversation, message=post_id(number - 1), reply=post_id(number))
    steps = [Section(section=name, in_document=False, status="done", data=value) for name, value in data.items()]
    words = Section(section="reply", status="done", text=text or f"Answer {number}.\n")
    return Snapshot(
        post=post_id(number + 500),
        owner=script.owner,
        status=status,  # type: ignore[arg-type]
        turn=turn,
        sections=[*steps, words],
    )


def recalled(script: ConversationScript, question: int, posts: dict[int, Snapshot | None]) -> tuple[Talk, list[str]]:
    """What is known at a question, and the posts that had to be read for it."""
    conversation = script.folded()
    turn = Turn(conversation=script.conversation, message=post_id(question), reply=post_id(question + 1))
    recollection = Recollection(*standing(conversation, turn))
    read = []
    while (message := recollection.next) is not None:
        if message.post is None:
            recollection.add(None)
            continue
        read.append(message.post)
        known = next((snapshot for snapshot in posts.values() if snapshot and snapshot.post == message.post), None)
        recollection.add(known)
    return recollection.talk(), read


def texts(talk: Talk) -> list[str]:
    """What was said."""
    return [turn.text for turn in talk.earlier]


def test_the_turns_before_a_question_oldest_first() -> None:
    """With who said them; the question is apart."""
    script = dialogue(2)
    script.message(5, content="And now?", by="ben")
    talk, _ = recalled(script, 5, {2: reply(script, 2), 4: reply(script, 4)})
    assert texts(talk) == ["Question 1?", "Answer 2.", "Question 3?", "Answer 4."]
    assert [turn.role for turn in talk.earlier] == ["user", "assistant"] * 2
    assert [turn.name for turn in talk.earlier] == ["Ana", "", "Ana", ""]
    assert talk.question is not None and (talk.question.text, talk.question.name) == ("And now?", "ben")
    assert not talk.titled and not talk.left_out and not talk.summary


def test_what_came_later_is_unknown() -> None:
    """Neither the question's own answers nor messages behind it are on its path."""
    script = dialogue(3)
    talk, read = recalled(script, 3, {2: reply(script, 2), 4: reply(script, 4)})
    assert texts(talk) == ["Question 1?", "Answer 2."] and read == [post_id(502)]


def test_superseded_turns_are_unknown_to_what_replaced_them() -> None:
    """An answer that was written once more stands in place of the first."""
    script = dialogue(1)
    script.message(3, role="assistant", reply_to=post_id(1), post=post_id(503), replaces=post_id(2))
    script.message(5, content="And now?")
    again = reply(script, 3, "Better.")
    talk, _ = recalled(script, 5, {2: reply(script, 2), 3: again})
    assert texts(talk) == ["Question 1?", "Better."]


@pytest.mark.parametrize(
    ("status", "text", "found"),
    [
        ("cancelled", "Half an", ("Half an", True)),
        ("failed", "Half an", ("Half an", True)),
        ("failed", " ", None),
        ("generating", "Half an", None),
        ("deleted", "", None),
    ],
)
def test_answers_that_are_not_whole(status: str, text: str, found: tuple[str, bool] | None) -> None:
    """What was stopped is known as such; what is still being written, or empty, is left out."""
    script = dialogue(1)
    script.message(3, content="And now?")
    post = reply(script, 2, text or "x", status=status)
    if status == "deleted":
        post.sections = []
    talk, _ = recalled(script, 3, {2: post})
    answers = [(turn.text, turn.unfinished) for turn in talk.earlier if turn.role == "assistant"]
    assert answers == ([found] if found else [])


def test_a_post_that_belongs_elsewhere_is_not_believed() -> None:
    """Whoever could make a message name it: another conversation's, another owner's, or no reply at all."""
    script = dialogue(1)
    script.message(3, content="And now?")
    good = reply(script, 2)
    other = Turn(conversation=post_id(77), message=post_id(1), reply=post_id(2))
    for changed in ({"owner": "ben"}, {"turn": other}, {"turn": None}):
        talk, _ = recalled(script, 3, {2: good.model_copy(update=changed)})
        assert texts(talk) == ["Question 1?"]


def test_a_list_of_sources_is_no_part_of_what_was_said() -> None:
    """It is made by code, and would be made again by a model that sees it."""
    script = dialogue(1)
    script.message(3, content="And now?")
    post = reply(script, 2)
    post.sections.append(Section(section="sources", status="done", text="\n## Sources\n"))
    assert texts(recalled(script, 3, {2: post})[0]) == ["Question 1?", "Answer 2."]


def test_nothing_before_the_newest_summary_is_read() -> None:
    """Its text stands for the turns up to the message that it names; later parts of it hold the ones before."""
    script = dialogue(4)
    script.message(9, content="And now?")
    old = {"summary": "Old.", "up_to": post_id(1)}
    new = {"summary": "New.", "up_to": post_id(3)}
    posts = {n: reply(script, n) for n in (2, 4, 8)}
    posts[4] = reply(script, 4, history={"summary": "Older.", "up_to": post_id(1)})
    posts[6] = reply(script, 6, history=old, history_2=new)
    talk, read = recalled(script, 9, posts)
    assert talk.summary == "New."
    assert texts(talk) == ["Answer 4.", "Question 5?", "Answer 6.", "Question 7?", "Answer 8."]
    assert read == [post_id(508), post_id(506), post_id(504)]


def test_a_summary_of_another_path_is_not_believed() -> None:
    """It must end before the answer that it was made for."""
    script = dialogue(2)
    script.message(5, content="And now?")
    for up_to in (post_id(5), post_id(4), post_id(99)):
        posts = {2: reply(script, 2), 4: reply(script, 4, history={"summary": "No.", "up_to": up_to})}
        talk, _ = recalled(script, 5, posts)
        assert talk.summary == "" and len(talk.earlier) == 4


def test_reading_is_bounded_and_says_what_is_missing() -> None:
    """By messages, and by characters."""
    script = ConversationScript()
    script.created()
    for number in range(1, MAX_TURNS + 101):
        script.message(number, content=f"Note {number}")
    talk, _ = recalled(script, MAX_TURNS + 100, {})
    assert len(talk.earlier) == MAX_TURNS and talk.left_out == 99
    assert texts(talk)[0] == "Note 100"
    script = dialogue(3)
    script.message(7, content="And now?")
    talk, read = recalled(script, 7, {n: reply(script, n, "x" * MAX_TURNS_CHARS) for n in (2, 4, 6)})
    assert len(talk.earlier) == 1 and talk.left_out == 5 and len(read) == 1


def test_a_reply_needs_its_place() -> None:
    """A conversation that is gone, or a question that it does not have, ends the run with a code."""
    turn = Turn(conversation=post_id(900), message=post_id(9), reply=post_id(10))
    script = dialogue(1)
    with pytest.raises(InkwireError) as unknown:
        standing(script.folded(), turn)
    assert unknown.value.code == "unknown_message"
    script.deleted()
    for gone in (None, script.folded(), Conversation(conversation=post_id(900))):
        with pytest.raises(InkwireError) as error:
            standing(gone, turn)
        assert error.value.code == "conversation_gone"


def test_titles() -> None:
    """What the reply found, else the first words of the question; a conversation that has one needs none."""
    script = dialogue(1, title="Bees")
    assert recalled(script, 1, {})[0].titled
    assert title_for(reply(script, 2), "What do bees eat?\n\nTell me.") == "What do bees eat?"
    assert title_for(reply(script, 2, title={"title": "Food of bees"}), "What?") == "Food of bees"


def test_summaries_are_known_by_their_data() -> None:
    """A section of another name, or data of another form, is none."""
    data: dict[str, object] = {"summary": "S.", "up_to": "m"}
    assert summary_of("history_3", data) == summary_of("history", data) == ("S.", "m")
    assert summary_of("reply", data) is summary_of("history", None) is summary_of("history", {"summary": "S."}) is None
