"""The page's colours: what is written can be read, in both themes."""

import re

import pytest

from tests.support.node import STATIC

LEAST = 4.5
"""WCAG 2.2, 1.4.3, for text of any size."""

GROUNDS = ("paper", "raised", "sunk", "tint")
PAIRS = [
    *((text, ground) for text in ("ink", "soft", "faint", "accent") for ground in GROUNDS),
    *((state, ground) for state in ("good", "warn", "bad") for ground in ("paper", "raised", f"{state}-tint")),
    *(("soft", f"{state}-tint") for state in ("good", "warn", "bad")),
    ("warn", "good-tint"),
    ("on-accent", "accent"),
    ("paper", "bad"),
]
"""Each text colour with the grounds that it stands on."""

CSS = (STATIC / "style.css").read_text("utf-8")
THEMES = [
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in re.findall(r":root[^{]*\{(.*?)\}", CSS, re.S)
]


def _luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_dark_is_the_same_whether_chosen_or_wished_for_by_the_system() -> None:
    """There are three lists of colours, and the last two are one."""
    light, dark, system = THEMES
    assert dark == system
    assert light.keys() == dark.keys()


@pytest.mark.parametrize("theme", THEMES[:2], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), PAIRS, ids=lambda name: name)
def test_text_stands_out_from_its_ground(theme: dict[str, str], text: str, ground: str) -> None:
    """Each colour of text has the contrast that WCAG asks of small print on each ground where it is used."""
    lighter, darker = sorted((_luminance(theme[text]), _luminance(theme[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= LEAST
