"""Contents for single fields of structured output, chosen by name and description. Pure."""

from __future__ import annotations

import re
from random import Random
from typing import Final

from inkwire_openai_sim import vocabulary as words
from inkwire_openai_sim.outline import Topic

_PHRASES: Final[dict[str, tuple[str, ...]]] = {
    "title": (
        "Foundations of {s}", "{s} in daily work", "Typical mistakes with {s}", "Tools and methods",
        "Working together", "From plan to practice", "Looking back and improving", "A project of your own",
    ),
    "description": (
        "A practical look at {s}: what to do first, what to leave for later, and how to tell the difference.",
        "This part shows {s} from the point of view of somebody who has to use it on Monday morning.",
        "Short explanations, one worked example and room for questions about {s}.",
        "What {s} means in practice — with examples, common mistakes and a small exercise.",
    ),
    "summary": (
        "{s} rewards small and regular steps; the largest gain comes from a measured start.",
        "In short: begin with the basics of {s}, measure once, and change one thing at a time.",
    ),
    "objective": (
        "Explain the central ideas of {s} in your own words", "Recognise common mistakes before they cost time",
        "Apply {s} to an example from your own work", "Choose between two approaches and give reasons",
        "Plan the next step and measure its result", "Give helpful feedback to others who learn {s}",
    ),
    "topic": (
        "Basic terms", "A first example", "Typical questions", "Checklists", "Roles and responsibilities",
        "Measuring success", "Case study: the café around the corner", "Exercise in pairs",
    ),
    "point": (
        "Why it matters for {s}", "A first step for today", "What usually goes wrong", "How to check the result",
        "An example from practice", "The cost of waiting",
    ),
    "recommendation": (
        "Limit access to those who need it, and review the list every quarter",
        "Add a check at the boundary and a test that fails without it",
        "Measure for one week, then decide with the figures on the table",
        "Name an owner and a date, and write both down", "Replace the manual step with a small script",
    ),
    "finding": (
        "Input reaches the inner layer unchecked", "A time limit is missing on an outside call",
        "Two components keep the same state", "Errors are swallowed without a trace",
        "An old dependency is still in use", "Access rights are wider than the task needs",
    ),
    "keyword": ("{s}", "getting started", "best practice", "checklist", "everyday use", "common mistakes", "guide"),
    "question": (
        "Which part of {s} would you try first?", "What would convince you that it works?",
        "Which mistake is the most expensive one?",
    ),
    "audience": ("curious beginners", "teams with little time", "people who use {s} every day"),
    "tone": ("calm and reassuring", "friendly and precise", "clear, with a little humour"),
}  # fmt: skip

# Name (or a part of it) to the family of phrases above.
_FAMILIES: Final[tuple[tuple[str, str], ...]] = (
    ("objective", "objective"), ("goal", "objective"), ("outcome", "objective"), ("recommend", "recommendation"),
    ("action", "recommendation"), ("remediation", "recommendation"), ("fix", "recommendation"),
    ("finding", "finding"), ("issue", "finding"), ("vulnerab", "finding"), ("risk", "finding"),
    ("warning", "finding"), ("keyword", "keyword"), ("tag", "keyword"), ("topic", "topic"), ("point", "point"),
    ("bullet", "point"), ("idea", "point"), ("question", "question"), ("audience", "audience"), ("tone", "tone"),
    ("summary", "summary"), ("conclusion", "summary"), ("verdict", "summary"), ("description", "description"),
    ("overview", "description"), ("abstract", "description"), ("explanation", "description"),
    ("detail", "description"), ("title", "title"), ("heading", "title"), ("name", "title"), ("label", "title"),
)  # fmt: skip

_NUMBERS: Final[tuple[tuple[str, int, int], ...]] = (
    ("word", 120, 220), ("order", 0, 0), ("index", 0, 0), ("position", 0, 0), ("number", 0, 0), ("line", 12, 240),
    ("percent", 5, 95), ("score", 55, 95), ("rating", 3, 5), ("hours", 1, 8), ("minutes", 10, 90), ("days", 1, 5),
    ("year", 2019, 2025), ("count", 2, 9), ("gas", 21_000, 90_000),
)  # fmt: skip


def sentence(topic: Topic, rng: Random) -> str:
    """One full English sentence about the topic."""
    slots = words.SLOTS_TECHNICAL if topic.technical else words.SLOTS_GENERAL
    values = {name: rng.choice(options) for name, options in slots.items()}
    number, percent = rng.randint(2, 9), f"{rng.randrange(15, 85, 5)} %"
    text = rng.choice(words.BODY).format(s=topic.subject, n=number, pct=percent, **values)
    return text[0].upper() + text[1:]


def text_for(name: str, topic: Topic, rng: Random, index: int = 0, description: str = "") -> str:
    """Text for a field with this name (and description), the `index`-th of its list."""
    plain = name.lower()
    special = _special(plain, description.lower(), topic, rng)
    if special is not None:
        return special
    for part, family in _FAMILIES:
        if part in plain:
            options = _PHRASES[family]
            text = options[index % len(options)].format(s=topic.subject)
            return text[0].upper() + text[1:]
    return sentence(topic, rng)


def _special(plain: str, description: str, topic: Topic, rng: Random) -> str | None:
    if "duration" in plain or "duration" in description:
        whole_course = "estimate" in plain or "days" in description
        return f"{rng.randint(2, 9)} hours" if whole_course else f"{rng.randrange(15, 95, 15)} minutes"
    if plain in ("slug", "id", "key", "identifier") or plain.endswith("_id"):
        return re.sub(r"[^a-z0-9]+", "-", topic.subject.lower()).strip("-") or "entry"
    if "hashtag" in plain:
        return "#" + re.sub(r"\W+", "", topic.subject.title())
    if plain.endswith(("url", "link", "uri")):
        return "https://example.org/" + (re.sub(r"[^a-z0-9]+", "-", topic.subject.lower()).strip("-") or "entry")
    if plain in ("content", "body", "text", "markdown", "caption", "answer", "response"):
        return " ".join(sentence(topic, rng) for _ in range(4))
    if plain in ("language", "locale"):
        return "en"
    if plain in ("sentiment", "mood"):
        return rng.choice(("positive", "neutral", "mixed"))
    if plain in ("severity", "risk_level", "priority", "level", "difficulty"):
        return rng.choice(("low", "medium", "high"))
    if plain == "emoji":
        return rng.choice(("🚀", "🙂", "👩‍💻"))
    return None


def number_for(name: str, rng: Random, index: int, whole: bool) -> float:
    """A number that fits the field's name; places in a list count from 1, shares lie between 0 and 1."""
    plain = name.lower()
    if any(part in plain for part in ("confidence", "probability", "ratio", "share", "weight")):
        return 1 if whole else round(rng.uniform(0.6, 0.98), 2)
    for part, low, high in _NUMBERS:
        if part in plain:
            return index + 1 if high == 0 else rng.randint(low, high)
    return rng.randint(1, 10) if whole else round(rng.uniform(1, 10), 2)


def formatted(name: str, rng: Random) -> str | None:
    """A text in one of JSON Schema's named formats, or None for a format that is not known."""
    day = f"2025-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return {
        "date": day,
        "date-time": f"{day}T09:30:00Z",
        "time": "09:30:00Z",
        "duration": "PT45M",
        "email": "editor@example.org",
        "hostname": "example.org",
        "ipv4": "192.0.2.10",
        "ipv6": "2001:db8::10",
        "uri": "https://example.org/article",
        "uuid": f"{rng.getrandbits(32):08x}-0000-4000-8000-{rng.getrandbits(48):012x}",
    }.get(name)


def singular(name: str) -> str:
    """The name of one item of a list: `objectives` holds an `objective`."""
    for ending, single in (("ies", "y"), ("sses", "ss"), ("s", "")):
        if name.endswith(ending) and not name.endswith("ss"):
            return name[: -len(ending)] + single
    return name
