"""Readable, deterministic Markdown for a section, an article or a reply. Pure.

The same seed and the same request give the same text; another section heading gives other sentences.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from random import Random
from typing import Final

from inkwire_openai_sim import vocabulary as words
from inkwire_openai_sim.outline import Topic, find_tip, plan_sections, understand
from inkwire_openai_sim.prompt import Brief
from inkwire_openai_sim.topics import Tip

DEFAULT_WORDS: Final = 180
SHORT_WORDS: Final = 130  # below this there is no room for a second paragraph before a list or code
SMALLEST_BLOCK_WORDS: Final = 14
PARAGRAPH_WORDS: Final = 42
ASIDE_FIRST: Final = 0.5  # share of texts whose first extra block holds characters outside ASCII
CLOSER_WORDS: Final = 14  # room kept for the last sentence

_CODE_GENERIC: Final[tuple[tuple[str, str], ...]] = (
    ("bash", "git switch -c small-step\n./run test\ngit commit -am 'Explain why, not what'"),
    ("python", "def within_budget(spent_ms: int, budget_ms: int) -> bool:\n    return spent_ms <= budget_ms"),
    ("json", '{\n  "timeout_ms": 2500,\n  "retries": 2,\n  "owner": "platform"\n}'),
    ("sql", "SELECT status, COUNT(*)\nFROM jobs\nGROUP BY status\nORDER BY 2 DESC;"),
)


def seeded(*parts: object) -> Random:
    """A generator of its own for these parts; equal parts give equal text in every process."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return Random(int.from_bytes(digest[:8], "big"))


def write(brief: Brief, seed: int, prompt: str = "") -> str:
    """Markdown for the brief: the body of its section, or a whole text where no section is named.

    `prompt` only varies the text, so that different requests for one section get different words.
    """
    rng = seeded(seed, brief.title, brief.heading, brief.target_words, brief.points, prompt)
    topic = understand(brief.title)
    target = brief.target_words or DEFAULT_WORDS
    if brief.heading is not None:
        body = _Writer(topic, brief.heading, brief.points, rng).body(target)
    elif brief.explicit_title and target >= 3 * DEFAULT_WORDS:
        body = _article(topic, target, rng)
    else:
        body = _Writer(topic, None, brief.points, rng, reply=not brief.explicit_title).body(target)
    return f"{body}\n\n{_quoted(brief, rng)}" if brief.quotes else body


def _quoted(brief: Brief, rng: Random) -> str:
    """A paragraph from the material: up to two of its sentences."""
    chosen = rng.sample(brief.quotes, min(2, len(brief.quotes)))
    return f"The material says: {'; '.join(chosen)}."


def _article(topic: Topic, target: int, rng: Random) -> str:
    parts = [_Writer(topic, None, (), rng).body(max(30, target // 8))]
    sections = plan_sections(topic, rng, count=max(2, target // DEFAULT_WORDS))
    each = (target - count_words(parts[0])) // len(sections)
    for section in sections:
        body = _Writer(topic, section.title, section.points, rng).body(max(30, each - 5))
        parts.append(f"### {section.title}\n\n{body}")
    return "\n\n".join(parts)


def count_words(text: str) -> int:
    """Words as a person counts them: runs without white space."""
    return len(text.split())


class _Deck:
    """Draws without repeating until all were drawn, so that no sentence appears twice in a short text."""

    def __init__(self, items: tuple[str, ...], rng: Random) -> None:
        self._items, self._rng, self._left = items, rng, list[str]()

    def draw(self) -> str:
        if not self._left:
            self._left = list(self._items)
            self._rng.shuffle(self._left)
        return self._left.pop()


class _Writer:
    """Builds the blocks of one body until the word target is met."""

    def __init__(
        self, topic: Topic, heading: str | None, points: tuple[str, ...], rng: Random, *, reply: bool = False
    ) -> None:
        self.topic, self.heading, self.points, self.rng = topic, heading, points, rng
        self.reply = reply
        self.edge = _edge_openers(heading)
        self.tip: Tip | None = find_tip(heading) if heading else None
        slots = words.SLOTS_TECHNICAL if topic.technical else words.SLOTS_GENERAL
        self.slots = {name: _Deck(values, rng) for name, values in slots.items()}
        self.bodies = _Deck(words.BODY, rng)
        self.asides = _Deck(words.UNICODE_ASIDES, rng)
        self.facts = list(self.tip.facts) if self.tip else []

    def body(self, target: int) -> str:
        """About `target` words of Markdown; the last block is a plain closing paragraph."""
        blocks = [self._opening(1 if target < 2 * PARAGRAPH_WORDS else 2)]
        used = count_words(blocks[0])
        makers = self._makers(target)
        while used < target - CLOSER_WORDS:
            left = target - CLOSER_WORDS - used
            block = makers.pop(0)() if makers and left > SMALLEST_BLOCK_WORDS else self._paragraph(left)
            if not block:
                break
            blocks.append(block)
            used += count_words(block)
        if used < target + CLOSER_WORDS // 2:
            closer = self.fill(self.rng.choice(words.CLOSERS))
            if len(blocks) > 1 and not re.match(r"- |\d+\. |```", blocks[-1].splitlines()[-1]):
                blocks[-1] = f"{blocks[-1]} {closer}"
            else:
                blocks.append(closer)
        return "\n\n".join(blocks)

    def _makers(self, target: int) -> list[Callable[[], str]]:
        """The blocks after the opening, in order; what does not fit into the target is left out."""
        if self.edge:
            return [self._paragraph, self._aside]
        has_code = bool(self.tip and self.tip.code)
        extras = [self._list, self._aside, self._steps, self._link]
        if self.topic.technical and not has_code:
            extras.append(self._code)
        self.rng.shuffle(extras)
        if self.rng.random() < ASIDE_FIRST:
            extras.sort(key=lambda make: make != self._aside)
        if has_code:
            extras.insert(self.rng.randrange(2), self._code)
        makers: list[Callable[[], str]] = []
        for extra in extras:
            direct = extra == self._code or target < SHORT_WORDS
            makers += [extra, self._paragraph] if direct else [self._paragraph, extra]
        if target > 420:
            makers.insert(4, self._subhead)
        return makers

    def fill(self, pattern: str) -> str:
        """The pattern with its slots filled, as one sentence that begins with a capital."""
        values = {name: deck.draw() for name, deck in self.slots.items() if "{" + name + "}" in pattern}
        text = pattern.format(
            s=self.topic.subject,
            t=_imperative(self.heading) if self.heading else "",
            h=self.heading or self.topic.subject,
            n=self.rng.randint(2, 9),
            pct=f"{self.rng.randrange(15, 85, 5)} %",
            **values,
        )
        return text[0].upper() + text[1:]

    def _opening(self, facts: int) -> str:
        if self.reply:
            first = self.fill(self.rng.choice(words.OPENERS_REPLY))
        elif self.edge:
            first = self.fill(self.rng.choice(self.edge))
        elif self.heading is not None and _is_imperative(self.heading, self.topic):
            first = self.fill(self.rng.choice(words.OPENERS_TIP))
        else:
            first = self.fill(self.rng.choice(words.OPENERS_TOPIC))
        return " ".join([first, *self._take_facts(facts), self.fill(self.bodies.draw())])

    def _take_facts(self, count: int) -> list[str]:
        taken, self.facts = self.facts[:count], self.facts[count:]
        return taken

    def _paragraph(self, at_most_words: int = PARAGRAPH_WORDS) -> str:
        at_most_words = min(at_most_words, PARAGRAPH_WORDS)
        sentences = self._take_facts(1)
        while len(sentences) < 4:
            sentence = self.fill(self.bodies.draw())
            if sentences and count_words(" ".join([*sentences, sentence])) > at_most_words:
                break
            sentences.append(sentence)
        return " ".join(sentences)

    def _aside(self) -> str:
        return f"{self.asides.draw()} {self.fill(self.bodies.draw())}"

    def _list(self) -> str:
        intro = self.fill(self.rng.choice(words.LIST_INTROS))
        if len(self.points) >= 2:
            items = [f"- **{point}.** {self.fill(self.bodies.draw())}" for point in self.points[:3]]
        else:
            items = [f"- **{lead}**: {rest}." for lead, rest in self.rng.sample(words.LIST_ITEMS, 3)]
        return intro + "\n\n" + "\n".join(items)

    def _steps(self) -> str:
        leads = self.rng.sample(words.LIST_ITEMS, 3)
        steps = [f"{i}. {lead} first: {rest}." if i == 1 else f"{i}. {lead}: {rest}." for i, (lead, rest) in
                 enumerate(leads, 1)]  # fmt: skip
        return f"As a sequence for {self.topic.subject}:\n\n" + "\n".join(steps)

    def _code(self) -> str:
        language, code = (
            (self.tip.language, self.tip.code) if self.tip and self.tip.code else self.rng.choice(_CODE_GENERIC)
        )
        return f"In code it is only a few lines:\n\n```{language}\n{code}\n```"

    def _link(self) -> str:
        label, address = self.rng.choice(words.LINKS)
        slug = re.sub(r"[^a-z0-9]+", "-", self.topic.subject.lower()).strip("-") or "notes"
        return f"For background, see [{label}]({address.format(slug=slug)}). {self.fill(self.bodies.draw())}"

    def _subhead(self) -> str:
        return f"### {self.rng.choice(words.SUBHEADS)}\n\n{self._paragraph()}"


def _edge_openers(heading: str | None) -> tuple[str, ...]:
    plain = (heading or "").strip(" .:!").lower()
    if plain in ("introduction", "intro", "opening", "prologue", "overview"):
        return words.OPENERS_INTRODUCTION
    if plain in (
        "conclusion",
        "summary",
        "next steps",
        "closing",
        "final thoughts",
        "outlook",
        "where to go from here",
    ):
        return words.OPENERS_CLOSING
    return ()


_NOT_IMPERATIVE: Final = frozenset(
    "what why how when where who common an a the ideas realistic in on of and conclusion introduction overview "
    "background summary your our first next final key best mistakes going getting understanding is are".split()
)


def _is_imperative(heading: str, topic: Topic) -> bool:
    first = re.sub(r"^\W*(?:\d+[.):]\s*)?", "", heading).split(" ")[0].lower().strip(":,")
    return len(heading.split()) > 2 and first.isalpha() and first not in _NOT_IMPERATIVE and topic.kind != "topic"


def _imperative(heading: str) -> str:
    plain = re.sub(r"^\W*(?:\d+[.):]\s*)?", "", heading).strip().rstrip(".!?:")
    return plain[:1].lower() + plain[1:]
