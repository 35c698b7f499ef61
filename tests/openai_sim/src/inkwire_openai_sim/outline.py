"""From a title to a subject, a kind of article and a list of sections. Pure and deterministic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Final

from inkwire_openai_sim.topics import (
    HOWTO_SECTIONS,
    OBJECTS,
    PACKS,
    TIPS_GENERAL,
    TIPS_TECHNICAL,
    TOPIC_SECTIONS,
    VERBS,
    Tip,
)
from inkwire_openai_sim.vocabulary import TECHNICAL_WORDS

MAX_LIST_COUNT: Final = 40  # "Top 500 ..." yields this many
DEFAULT_SECTION_WORDS: Final = 160

_KINDS: Final = (
    "tips|tricks|ways|reasons|ideas|mistakes|habits|lessons|things|steps|rules|facts|secrets|hacks|practices|"
    "best practices|techniques|principles|features|tools|questions|examples|myths|points|items|sections|strategies"
)
_NUMBER_WORDS: Final = {
    "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12,
}  # fmt: skip
_NUMBERS: Final = "|".join(_NUMBER_WORDS)
_LISTICLE: Final = re.compile(
    rf"^(?:the\s+)?(?:top|best|our)?\s*(?P<n>\d{{1,3}}|{_NUMBERS})\s+(?P<before>.*?)\s*\b(?P<kind>{_KINDS})\b"
    r"(?P<after>.*)$",
    re.IGNORECASE,
)
_LEADS: Final = re.compile(
    r"^(?:the\s+|an?\s+)?(?:(?:complete|beginner['’]s|short|practical|ultimate|simple|quick|gentle)\s+)*"
    r"(?:guide|introduction|intro|primer|overview|tutorial)\s+(?:to|of|on|for)\s+",
    re.IGNORECASE,
)
_QUESTION: Final = re.compile(r"^(?:why|what|when|where|who|which|is|are|should|do|does|can)\b\s*", re.IGNORECASE)
_REQUEST: Final = re.compile(
    r"^(?:please\s+)?(?:can you\s+|could you\s+)?(?:write|create|explain|describe|tell me|give me|make|generate|draft|"
    r"summari[sz]e|analy[sz]e)\s+(?:an?\s+|the\s+|some\s+|me\s+)?(?:(?:short\s+|long\s+)?(?:article|post|text|essay|"
    r"story|course|training|report|summary|analysis)\s+)?(?:about|on|of|for)?\s*",
    re.IGNORECASE,
)
_STOP_AT: Final = re.compile(
    r"\s+\b(?:need|needs|should|is|are|was|were|matter|matters|fail|fails|work|works|beat|beats|will|can|that|you|we|"
    r"every|everyone|everybody|to|using|with)\b.*$",
    re.IGNORECASE,
)
_ARTICLES: Final = re.compile(r"^(?:the|an?|your|my|our|some|about|for|to|of|on|in|with|from)\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Topic:
    """A title understood: its subject, whether it counts something, and whether code belongs into the text."""

    title: str
    subject: str
    count: int | None
    kind: str
    technical: bool
    pack: tuple[Tip, ...] = ()


@dataclass(frozen=True, slots=True)
class OutlineSection:
    """One planned section."""

    title: str
    target_words: int
    points: tuple[str, ...]


def understand(title: str) -> Topic:
    """The topic of a title such as "Top 10 Laravel tips" or "How to brew better coffee"."""
    plain = title.strip().rstrip(".!?…:") or title.strip() or "Notes"
    words = set(re.findall(r"[a-z]+", plain.lower()))
    pack = next((tips for name, tips in PACKS.items() if name in words), ())
    technical = bool(words & TECHNICAL_WORDS) and not words & {"botox", "training", "awareness"}
    if match := _LISTICLE.match(plain):
        number = match["n"].lower()
        count = _NUMBER_WORDS[number] if number in _NUMBER_WORDS else int(number)
        subject = _subject(match["before"]) or _subject(match["after"]) or plain
        return Topic(plain, subject, max(1, min(MAX_LIST_COUNT, count)), match["kind"].lower(), technical, pack)
    kind = "howto" if re.match(r"how to\b", plain, re.IGNORECASE) else "topic"
    return Topic(plain, _subject(plain) or plain, None, kind, technical, pack)


def _subject(phrase: str) -> str:
    phrase = phrase.strip(" ,:-–—")
    if match := re.match(r"(?:how )?to\s+([a-z]+)(\s+.+)", phrase, re.IGNORECASE):
        return " ".join((_gerund(match[1].lower()) + match[2]).split()[:6])
    for pattern in (_REQUEST, _LEADS, _QUESTION, _QUESTION):
        phrase = pattern.sub("", phrase) or phrase
    phrase = _STOP_AT.sub("", phrase) or phrase
    for _ in range(2):
        phrase = _ARTICLES.sub("", phrase)
    return " ".join(phrase.split()[:6]).strip(" ,:-–—")


def display_title(topic: Topic) -> str:
    """The title as a person would print it: a request such as "Create a course on X" becomes its subject."""
    if topic.count is None and _REQUEST.match(topic.title):
        return topic.subject[:1].upper() + topic.subject[1:]
    return topic.title


def _gerund(verb: str) -> str:
    if verb.endswith("e") and not verb.endswith(("ee", "ye", "oe")):
        return verb[:-1] + "ing"
    if re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]|begin|admit|refer", verb):
        return verb + verb[-1] + "ing"
    return verb + "ing"


def plan_sections(
    topic: Topic, rng: Random, count: int | None = None, total_words: int | None = None
) -> list[OutlineSection]:
    """Sections with unique titles: exactly as many as the title counts, else `count`, else five to seven."""
    wanted = topic.count or count or rng.randint(5, 7)
    titles = _titles(topic, rng, wanted)
    each = max(40, total_words // wanted) if total_words else None
    return [
        OutlineSection(
            title,
            each or DEFAULT_SECTION_WORDS + 10 * rng.randint(-4, 6),
            points_for(title, topic, rng),
        )
        for title in titles
    ]


def _titles(topic: Topic, rng: Random, wanted: int) -> list[str]:
    if topic.count is None:
        base = HOWTO_SECTIONS if topic.kind == "howto" else TOPIC_SECTIONS
        ordered = [text.format(s=topic.subject) for text in base]
        if wanted < len(ordered):  # keep the order of the story, leave out from the middle
            keep = sorted({0, len(ordered) - 1, *rng.sample(range(1, len(ordered) - 1), max(0, wanted - 2))})
            return [ordered[i] for i in keep][:wanted]
        return _unique(ordered + _generic(topic, rng), wanted)
    curated = [tip.title for tip in topic.pack]
    rng.shuffle(curated)
    return _unique(curated + _generic(topic, rng), wanted)


def _generic(topic: Topic, rng: Random) -> list[str]:
    generic = list(TIPS_TECHNICAL if topic.technical else TIPS_GENERAL)
    rng.shuffle(generic)
    combined = [f"{verb} {thing}" for verb in VERBS for thing in OBJECTS]
    rng.shuffle(combined)
    return generic + combined


def _unique(titles: list[str], wanted: int) -> list[str]:
    return list(dict.fromkeys(titles))[:wanted]


_POINT_PATTERNS: Final = (
    "Why it matters for {s}", "A first step for today", "What usually goes wrong", "How to check the result",
    "An example from practice", "When not to bother", "A question to ask first", "The cost of waiting",
)  # fmt: skip


def points_for(heading: str, topic: Topic, rng: Random) -> tuple[str, ...]:
    """Two to four short points that a section with this heading should make."""
    tip = find_tip(heading)
    known = [fact.rstrip(".") for fact in tip.facts[:2]] if tip else []
    return (*known, *(text.format(s=topic.subject) for text in rng.sample(_POINT_PATTERNS, 2)))


def find_tip(heading: str) -> Tip | None:
    """The tip with this title, whatever its numbering, or None."""
    plain = re.sub(r"^\W*(?:\d+[.):]\s*)?", "", heading).strip().lower()
    return next((tip for tips in PACKS.values() for tip in tips if tip.title.lower() == plain), None)
