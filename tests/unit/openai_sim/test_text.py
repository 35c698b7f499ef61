"""The simulator's English: deterministic, readable, about the right thing and of about the right length."""

import re
from itertools import pairwise

import pytest

from inkwire_openai_sim.outline import find_tip, plan_sections, understand
from inkwire_openai_sim.prompt import Brief, read_brief
from inkwire_openai_sim.text import count_words, seeded, write
from inkwire_openai_sim.tokens import split_deltas, split_surrogates

LARAVEL = "Top 10 Laravel tips"
HEADINGS = [
    "Eager load relationships to avoid N+1 queries",
    "Rehearse a failure before it happens",
    "The idea behind Laravel",
    "Push slow work onto queues",
]


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "You write articles."}, {"role": "user", "content": text}]


def test_equal_requests_give_equal_text() -> None:
    """The same seed and brief give the same text; another seed, heading or title gives another."""
    brief = Brief(LARAVEL, HEADINGS[0], 180)
    assert write(brief, 1) == write(brief, 1)
    others = [write(brief, 2), write(Brief(LARAVEL, HEADINGS[1], 180), 1), write(Brief("Tea", HEADINGS[0], 180), 1)]
    assert len({write(brief, 1), *others}) == 4


@pytest.mark.parametrize("heading", HEADINGS)
@pytest.mark.parametrize("target", [60, 120, 180, 400, 1500])
def test_length_follows_the_word_target(heading: str, target: int) -> None:
    """A section has about as many words as were asked for."""
    for seed in range(5):
        words = count_words(write(Brief(LARAVEL, heading, target), seed))
        assert 0.8 * target - 10 <= words <= 1.2 * target + 10


def test_title_with_a_number_yields_that_many_unique_tips() -> None:
    """ "Top 10 Laravel tips" is planned as ten different imperatives about Laravel, in every seed."""
    for seed in range(20):
        sections = plan_sections(understand(LARAVEL), seeded(seed))
        titles = [section.title for section in sections]
        assert len(titles) == 10
        assert len(set(titles)) == 10
        assert all(find_tip(title) for title in titles)
        assert all(60 <= section.target_words <= 300 and section.points for section in sections)


@pytest.mark.parametrize(
    ("title", "count", "subject"),
    [
        ("Top 10 Laravel tips", 10, "Laravel"),
        ("7 ways to sleep better", 7, "sleeping better"),
        ("Ten Python tricks for beginners", 10, "Python"),
        ("Top 500 ideas", 40, "Top 500 ideas"),
        ("How to brew better coffee", None, "brewing better coffee"),
        ("A beginner's guide to Kubernetes", None, "Kubernetes"),
        ("Why remote teams need rituals", None, "remote teams"),
        ("Create security training using @1 @3", None, "security training"),
        ("Windows 11", None, "Windows 11"),
        ("é", None, "é"),
        ("???", None, "???"),
    ],
)
def test_title_is_understood(title: str, count: int | None, subject: str) -> None:
    """Count and subject are read from the title, and nonsense is its own subject."""
    topic = understand(title)
    assert (topic.count, topic.subject) == (count, subject)
    titles = [section.title for section in plan_sections(topic, seeded(title))]
    assert len(titles) == len(set(titles)) >= (count or 5)


def test_body_is_sound_markdown() -> None:
    """Fences are closed, headings stay at level 3, no slot is left unfilled, no sentence is said twice in a row."""
    for seed in range(60):
        heading = HEADINGS[seed % len(HEADINGS)]
        text = write(Brief(LARAVEL, heading, 100 + 10 * seed), seed)
        prose = re.sub(r"^```[a-z]+\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
        assert "```" not in prose
        assert not re.search(r"\{[a-z]+\}", prose)
        assert all(len(marks) == 3 for marks in re.findall(r"^(#+) ", prose, re.MULTILINE))
        assert all(one != two for one, two in pairwise(re.split(r"(?<=[.!?])\s", prose)))
        assert text == text.strip()


def test_known_tip_brings_its_facts_and_code() -> None:
    """A section about a tip that the simulator knows says what is true of it and shows the code."""
    text = write(Brief(LARAVEL, "1. Eager load relationships to avoid N+1 queries", 220), 3)
    assert "preventLazyLoading" in text
    assert "```php\n" in text


def test_texts_hold_characters_that_break_careless_offsets() -> None:
    """Over a few sections there are dashes, CJK, combining marks, emoji, joiners and right-to-left words."""
    titles = [section.title for section in plan_sections(understand(LARAVEL), seeded(1))]
    text = "".join(write(Brief(LARAVEL, title, 400), seed) for title in titles for seed in range(4))
    for wanted in ("—", "改善", "e\u0301", "😀", "\u200d", "ס"):
        assert wanted in text


def test_brief_is_read_from_the_prompt() -> None:
    """Title, section, word target and points are found in the usual ways of asking for them."""
    prompt = (
        "Title: Top 10 Laravel tips\nOutline:\n1. Queues\n2. Caches\n"
        "Section 2 of 10: Push slow work onto queues\nWrite about 170 words.\nPoints to cover:\n- Mails\n- Retries\n"
    )
    brief = read_brief(user(prompt))
    assert brief.title == LARAVEL
    assert brief.heading == "Push slow work onto queues"
    assert brief.target_words == 170
    assert brief.points == ("Mails", "Retries")


@pytest.mark.parametrize(
    "prompt",
    [
        'Write the section "Push slow work onto queues" of the article "Top 10 Laravel tips" in 150-200 words.',
        "<title>Top 10 Laravel tips</title>\n<section>Push slow work onto queues</section>\nTarget words: 175",
        "Article title: **Top 10 Laravel tips**\nCurrent section: Push slow work onto queues\ntarget_words=175",
    ],
)
def test_brief_is_read_from_other_prompts(prompt: str) -> None:
    """Quoted, tagged and labelled prompts mean the same."""
    brief = read_brief(user(prompt))
    assert (brief.title, brief.heading, brief.target_words) == (LARAVEL, "Push slow work onto queues", 175)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("Title: Write 500 to 800 words a day\nWrite about 90 words.", 90),
        ("An essay of 1,200 words", 1200),
        ("between 100 and more", None),
        ("word count: 300", 300),
        ("Write 99999 words", 6000),
    ],
)
def test_word_target(prompt: str, words: int | None) -> None:
    """The last clear wish counts, whatever the title says, within a bound."""
    assert read_brief(user(prompt)).target_words == words


def test_introduction_and_conclusion_are_prose() -> None:
    """The first and the last section open as such, without lists."""
    for heading in ("Introduction", "Conclusion"):
        text = write(Brief(LARAVEL, heading, 100), 1)
        assert "Laravel" in text
        assert heading not in text
        assert "\n- " not in text


def test_brief_falls_back_to_the_last_user_message() -> None:
    """Without any pattern the first line of the last user message is the title; an empty prompt gets a title too."""
    messages = [*user("first"), {"role": "assistant", "content": "Title: no"}, {"role": "user", "content": "\nHi you"}]
    assert read_brief(messages) == Brief("Hi you")
    assert read_brief([{"role": "user", "content": ""}]).title == "Notes"


def test_deltas_join_to_the_text() -> None:
    """Deltas are short, never empty and their concatenation is the text, whatever it holds."""
    samples = ["", "a", "  \n\n x\t", "e\u0301👩‍💻 Straßenbahnhaltestelle__12345…", "\ud83d lone", "\r\n"]
    samples += [write(Brief(LARAVEL, heading, 300), 1) for heading in HEADINGS]
    for text in samples:
        deltas = split_deltas(text, seeded(text))
        assert "".join(deltas) == text
        assert all(0 < len(delta) <= 7 for delta in deltas)
    assert 3 <= len(samples[-1]) / len(split_deltas(samples[-1], seeded(1))) <= 6


def test_surrogates_are_split_between_deltas() -> None:
    """Each astral character becomes two deltas, which join to the same text in UTF-16."""
    deltas = split_surrogates(["ab😀c", "🚀", "x"])
    assert deltas == ["ab\ud83d", "\ude00c", "\ud83d", "\ude80", "x"]
    assert "".join(deltas).encode("utf-16-le", "surrogatepass").decode("utf-16-le") == "ab😀c🚀x"
