"""Going on where a model stopped at its length limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwire_generator.continuation import WINDOW_CHARS, ContinuationLimits, Joint, continued
from inkwire_generator.errors import ProviderError
from inkwire_recipes.recipe import GO_ON, Prompt

ASKED = Prompt("be good", "write", schema={"type": "object"}, schema_name="x")
ANSWER = "Rivers carry sand to the sea. The slow ones leave it on the way, and the fast"


def joined(answer: str, *pieces: str) -> str:
    """What the continuation's pieces add."""
    joint = Joint(answer)
    return "".join([*map(joint.feed, pieces), joint.end()])


def test_the_unfinished_answer_is_the_context() -> None:
    """The model sees its own text and is told to go on; a schema would make it begin anew."""
    prompt = continued(ASKED, ANSWER, 0, ContinuationLimits())
    assert prompt.messages == (("system", "be good"), ("user", "write"), ("assistant", ANSWER), ("user", GO_ON))
    assert prompt.schema is None
    assert prompt.length_chars == len("be good" + "write" + ANSWER + GO_ON)


@pytest.mark.parametrize(
    ("asked", "answer", "count"),
    [(ASKED, ANSWER, 4), (ASKED, "x" * 70_000, 0), (ASKED, "", 0), (ASKED.continued(ANSWER), ANSWER, 1)],
    ids=["too often", "too much", "no text at all", "nothing added"],
)
def test_continuations_are_bounded(asked: Prompt, answer: str, count: int) -> None:
    """By their number, by the size of the answer, and by their use."""
    with pytest.raises(ProviderError) as caught:
        continued(asked, answer, count, ContinuationLimits(max_count=4))
    assert (caught.value.code, caught.value.retryable) == ("provider_truncated", False)


@pytest.mark.parametrize(
    ("continuation", "new"),
    [
        (" ones take it along.", " ones take it along."),
        ("The slow ones leave it on the way, and the fast ones do not.", " ones do not."),
        (ANSWER + " ones do not.", " ones do not."),
        (ANSWER, ""),
        ("leave it on the way, and", ""),
        ("fast ones do not.", "fast ones do not."),
        ("", ""),
    ],
    ids=["as asked", "last sentence again", "all again", "only again", "stops in repeating", "too short", "nothing"],
)
def test_what_is_repeated_is_dropped(continuation: str, new: str) -> None:
    """However much of its answer the model repeats, the text has it once; a chance likeness is left alone."""
    assert joined(ANSWER, continuation) == new
    assert joined(ANSWER, *continuation) == new


def test_another_answer_is_no_continuation() -> None:
    """A model that begins again and then says something else has not gone on: the section is written again."""
    with pytest.raises(ProviderError) as caught:
        joined(ANSWER, "Rivers carry sand to the sea. But", " why?")
    assert (caught.value.code, caught.value.retryable) == ("provider_invalid_output", True)


def test_a_first_answer_passes_through() -> None:
    """Without an answer before it nothing is held back."""
    assert Joint("").feed("Once") == "Once"


@given(st.text("ab c", max_size=60), st.integers(0, 60), st.text("xy z", min_size=1, max_size=20), st.data())
def test_a_repetition_of_any_length_in_any_pieces(answer: str, back: int, new: str, data: st.DataObject) -> None:
    """Split as it may be: a repeated end is dropped where it is long enough to be one, else nothing is."""
    answer = "Once upon a time there was " + answer
    continuation = answer[len(answer) - min(back, len(answer)) :] + new
    cuts = sorted(data.draw(st.lists(st.integers(0, len(continuation)), max_size=4)))
    pieces = [continuation[a:b] for a, b in zip([0, *cuts], [*cuts, len(continuation)], strict=True)]
    assert joined(answer, *pieces) == joined(answer, continuation)
    assert joined(answer, *pieces) in {new, continuation} | {continuation[n:] for n in range(12, len(continuation))}


def test_a_long_answer_is_searched_at_its_end() -> None:
    """The bound on the search leaves what is usual: a repetition of the last paragraph."""
    answer = "A word. " * WINDOW_CHARS + "The last paragraph is unlike the others"
    assert joined(answer, "The last paragraph is unlike the others, and ends.") == ", and ends."
