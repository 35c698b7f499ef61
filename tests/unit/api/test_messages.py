"""What a message becomes: ids, bounds, events and requests, by the folded conversation alone."""

import pytest

from inkwire_api.bounds import MAX_TITLE_CHARS
from inkwire_api.messages import (
    UNTITLED,
    MessageWish,
    answer_event,
    answer_id,
    answer_in,
    clean_content,
    fingerprint,
    note_id,
    post_of_key,
    post_of_regeneration,
    question_event,
    question_id,
    reply_options,
    reply_title,
    require_editable,
    require_room,
    says_the_same,
)
from inkwire_contracts.conversations import (
    MAX_CONVERSATION_CHARS,
    MAX_MENTIONS,
    MAX_MESSAGE_CHARS,
    MAX_MESSAGES,
    Conversation,
    Message,
)
from inkwire_contracts.documents import DocumentRef
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.ids import idempotent_post_id, is_id

TALK, POST = idempotent_post_id("ana", "talk"), idempotent_post_id("ana", "post")
QUESTION, ANSWER = question_id(POST), answer_id(POST)


def talk() -> Conversation:
    """Ana asked, the assistant answered, ben noted something."""
    messages = [
        Message(message=QUESTION, seq=2, role="user", author="ana", content="Why?"),
        Message(message=ANSWER, seq=3, role="assistant", reply_to=QUESTION, post=POST),
        Message(message=note_id(POST), seq=4, role="user", author="ben", content="Hm."),
    ]
    return Conversation(
        conversation=TALK, owner="ana", status="active", recipe="chat", options={"a": 1, "b": 2}, messages=messages
    )


def test_ids_are_derived_and_apart() -> None:
    """The same request has the same ids anywhere; no two things share one."""
    ids = [question_id(POST), answer_id(POST), note_id(POST), post_of_regeneration(POST)]
    assert ids == [question_id(POST), answer_id(POST), note_id(POST), post_of_regeneration(POST)]
    assert len({POST, *ids}) == 5 and all(map(is_id, ids))


def test_a_key_belongs_to_its_caller_and_conversation() -> None:
    """The same key elsewhere is another request, also one of POST /posts."""
    keys = {post_of_key(TALK, "ana", "k"), post_of_key(TALK, "ben", "k"), post_of_key(POST, "ana", "k")}
    assert len({*keys, idempotent_post_id("ana", "k")}) == 4


@pytest.mark.parametrize(
    "other",
    [
        MessageWish("Why not?"),
        MessageWish("Why?", recipe="chat"),
        MessageWish("Why?", options={}),
        MessageWish("Why?", documents=(1,)),
        MessageWish("Why?", priority="high"),
        MessageWish("Why?", replaces=QUESTION),
    ],
)
def test_another_request_has_another_fingerprint(other: MessageWish) -> None:
    """Whatever part of it differs."""
    assert fingerprint(MessageWish("Why?")) == fingerprint(MessageWish("Why?")) != fingerprint(other)


@pytest.mark.parametrize("text", ["Why?", "a\nb\tc", "😀", "x" * MAX_MESSAGE_CHARS, "  spaces stay \n"])
def test_text_is_kept_as_it_is(text: str) -> None:
    """What people write is Markdown: blanks and lines have a meaning."""
    assert clean_content(text) == text


def test_line_breaks_are_one_kind() -> None:
    """Whatever machine it was typed on."""
    assert clean_content("a\r\nb\rc") == "a\nb\nc"


@pytest.mark.parametrize(
    "text", ["", " \n\t", "\u200b\u2028", "a\x00b", "\x1b[31m", "\ud800", "x" * (MAX_MESSAGE_CHARS + 1)]
)
def test_what_is_no_text_is_refused(text: str) -> None:
    """Nothing to read, control characters, half characters, too much."""
    with pytest.raises(ValueError, match="must"):
        clean_content(text)


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("Why?", "Why?"),
        ("\n  \n Why  so\tfew?\nBecause", "Why so few?"),
        ("\u200b\nSecond", "Second"),
        ("x" * 300, "x" * MAX_TITLE_CHARS),
        ("\u2028", UNTITLED),
        ("Ends \u202ehere\u2066?", "Ends here?"),
    ],
)
def test_a_reply_is_titled_by_the_first_line_that_has_words(content: str, title: str) -> None:
    """On one line, and no longer than a title may be."""
    assert reply_title(content) == title


def test_a_conversation_has_a_last_message() -> None:
    """Both bounds: how many, and how much text."""
    full = talk()
    full.messages = [full.messages[0]] * (MAX_MESSAGES - 1)
    require_room(full, messages=1, chars=0)
    for messages, chars in ((2, 0), (1, MAX_CONVERSATION_CHARS)):
        with pytest.raises(InkwireError) as caught:
            require_room(full, messages=messages, chars=chars)
        assert caught.value.code == "conversation_full"


def test_a_conversation_mentions_so_many_documents() -> None:
    """Beyond it a message that mentions none is still taken."""
    full = talk()
    policy = DocumentRef(document=POST, owner="ana", number=1, name="policy.pdf")
    full.messages[0].documents = [policy] * MAX_MENTIONS
    require_room(full, messages=1, chars=1)
    with pytest.raises(InkwireError) as caught:
        require_room(full, messages=1, chars=1, mentions=1)
    assert caught.value.code == "conversation_full"


def test_only_its_author_replaces_a_message_that_stands() -> None:
    """Not the owner, not the assistant's, not one that was replaced already."""
    conversation = talk()
    require_editable(conversation, None, "ben")
    require_editable(conversation, QUESTION, "ana")
    conversation.messages[0].superseded_by = POST
    for message, by, code in (
        (note_id(POST), "ana", "author_only"),
        (ANSWER, "ana", "author_only"),
        (QUESTION, "ana", "unknown_message"),
        (POST, "ana", "unknown_message"),
    ):
        with pytest.raises(InkwireError) as caught:
            require_editable(conversation, message, by)
        assert caught.value.code == code


def test_an_answer_is_found_by_its_message() -> None:
    """Anything else is none."""
    assert answer_in(talk(), ANSWER)[1] == POST
    for message, code in ((QUESTION, "not_a_reply"), (POST, "unknown_message")):
        with pytest.raises(InkwireError) as caught:
            answer_in(talk(), message)
        assert caught.value.code == code


def test_options_of_a_message_lie_over_the_conversations() -> None:
    """But those of one recipe are none of another's."""
    assert reply_options(talk(), MessageWish("x")) == {"a": 1, "b": 2}
    assert reply_options(talk(), MessageWish("x", options={"b": 3})) == {"a": 1, "b": 3}
    assert reply_options(talk(), MessageWish("x", recipe="chat", options={"b": 3})) == {"a": 1, "b": 3}
    assert reply_options(talk(), MessageWish("x", recipe="blog", options={"c": 4})) == {"c": 4}
    assert reply_options(talk(), MessageWish("x", recipe="blog")) == {}


def test_events_name_each_other() -> None:
    """The answer names its question and its post; what is stored once is the message."""
    question = question_event(TALK, POST, MessageWish("Why?"), [], by="ana", time="t")
    answer = answer_event(TALK, POST, question=QUESTION, by="ana", time="t", replaces=POST)
    assert (question.id, question.data.message, question.data.author) == (QUESTION, QUESTION, "ana")
    assert (answer.id, answer.data.reply_to, answer.data.post, answer.data.replaces) == (ANSWER, QUESTION, POST, POST)
    assert answer.data.author is None and answer.data.content == ""


def test_a_note_is_the_same_by_who_said_what() -> None:
    """Numbers of documents may change meanwhile."""
    event = question_event(TALK, POST, MessageWish("Hm.", reply=False), [], by="ben", time="t")
    assert says_the_same(talk().messages[2], event)
    other = question_event(TALK, POST, MessageWish("Ha.", reply=False), [], by="ben", time="t")
    assert not says_the_same(talk().messages[2], other)
