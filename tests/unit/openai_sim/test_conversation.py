"""What is said in a conversation."""

from inkwire_openai_sim.conversation import Talk, read_talk, speak
from inkwire_recipes.chat import CHAT
from inkwire_recipes.recipe import Utterance
from tests.support.recipes import asked_by


def test_what_our_own_recipe_asks_for_is_understood() -> None:
    """Notes on a long beginning, the reply to the last message alone, and a title."""
    long = Utterance("user", "What is a queue? " * 60, "Ana", "q1")
    answer = Utterance("assistant", "A line. " * 60, message="a1")
    question = Utterance("user", "And a stack, in about 90 words?", "Ana", "q2")
    talk = {"question": question, "earlier": (long, answer), "summary": "They met.", "titled": False}
    asked = list(asked_by(CHAT, "And a stack?", {"history_tokens": 300}, lambda step, _: step.section, **talk))
    found = [read_talk([{"role": role, "content": text} for role, text in one.prompt.messages]) for one in asked]
    assert [one.wanted for one in found if one] == ["notes", "reply", "title"]
    notes, reply, title = found
    assert notes is not None and notes.before == "They met." and notes.target_words == 40
    assert reply == Talk("reply", ("And a stack, in about 90 words?",), "", 90)
    assert title is not None and title.said[0] == "And a stack, in about 90 words?"


def test_other_prompts_are_no_conversation() -> None:
    """Also where data of a conversation stands in them."""
    assert read_talk([{"role": "user", "content": "Write about <title>Queues</title>."}]) is None
    assert read_talk([{"role": "user", "content": "<message>Hello</message>\n\nWrite an article."}]) is None
    assert read_talk([{"role": "system", "content": "<message>Hello</message>"}]) is None


def test_answers() -> None:
    """A reply is Markdown about the question, a title a few words, notes hold the notes before."""
    reply = speak(Talk("reply", ("What is a queue?\nSay it in short.",), "", 90), 1, "prompt")
    assert 60 < len(reply.split()) < 130 and "queue" in reply.lower()
    assert speak(Talk("reply", ("What is a queue?",)), 1, "other") != speak(
        Talk("reply", ("What is a queue?",)), 1, "p"
    )
    assert speak(Talk("title", ("What is a queue?",)), 1, "") == "Queue"
    notes = speak(Talk("notes", ("What is a queue?", "And a stack?"), "They met."), 1, "")
    assert notes.startswith("They met. They spoke of ") and "queue" in notes
    assert len(speak(Talk("notes", ("word " * 50,) * 5, "They met. " * 200, 40), 1, "").split()) == 40
