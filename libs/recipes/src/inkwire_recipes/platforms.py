"""Where a social post appears: the form it takes there, and the limits that code can check.

Limits as of 2026: what the platforms' own publishing interfaces accept, the stricter of what circulates: five hashtags
on Instagram since December 2025, captions of 2,200 characters on TikTok's interface though its app takes 4,000.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

URL_WEIGHT = 23
"""What any address counts on Twitter: it is replaced by a short one."""

_URL = re.compile(r"https?://\S+", re.IGNORECASE)
_EMOJI_BASE = "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff]"
_EMOJI = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3|{_EMOJI_BASE}[\ufe0f\U0001f3fb-\U0001f3ff]*"
    f"(?:\u200d{_EMOJI_BASE}[\ufe0f\U0001f3fb-\U0001f3ff]*)*"
)
_SINGLE_WEIGHT = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))
_HASHTAG = re.compile(r"#\w+")
_MAX_QUOTE_CHARS = 120


@dataclass(frozen=True, slots=True)
class Platform:
    """One platform. ``part`` is what its pieces are called; 0 means that there is no such limit."""

    name: str
    part: str
    form: str
    """What to ask a model for."""
    parts: tuple[int, int]
    part_max_weight: int = 0
    """Of one piece, counted as the platform counts."""
    caption_max_chars: int = 0
    hashtags_max: int = 0


PLATFORMS: Mapping[str, Platform] = {
    platform.name: platform
    for platform in (
        Platform(
            "Instagram",
            "Slide",
            "a carousel of 3 to 8 slides (each with a short title and at most 40 words of text), a caption of at most "
            "1,200 characters whose first sentence makes people stop, and 3 to 5 hashtags",
            parts=(2, 10),
            caption_max_chars=2_200,
            hashtags_max=5,
        ),
        Platform(
            "Twitter",
            "Tweet",
            "a thread of 2 to 6 tweets (in each an empty title, and text of at most 240 characters, "
            "hashtags included), an empty caption, and the one or two hashtags that the tweets use",
            parts=(1, 10),
            part_max_weight=280,
            hashtags_max=3,
        ),
        Platform(
            "TikTok",
            "Scene",
            "a video of 3 to 6 scenes (the title says what is seen, the text what is said), a caption of at most 300 "
            "characters, and 3 to 5 hashtags",
            parts=(1, 10),
            caption_max_chars=2_200,
            hashtags_max=5,
        ),
        Platform(
            "Facebook",
            "Post",
            "one post (a single part with an empty title and 60 to 200 words of text), an empty caption, and at most 3 "
            "hashtags",
            parts=(1, 1),
            part_max_weight=63_206,
            hashtags_max=10,
        ),
    )
}


def platform_named(name: str) -> Platform:
    """The platform of that name in any case.

    Raises:
        ValueError: there is none.
    """
    for platform in PLATFORMS.values():
        if platform.name.lower() == name.strip().lower():
            return platform
    raise ValueError(f"must be one of {', '.join(PLATFORMS)}")


def weight(text: str) -> int:
    """Length of a text as Twitter counts it (twitter-text, config v3): letters 1, CJK and emoji 2, any address 23."""
    total = 0
    rest = _URL.sub("", unicodedata.normalize("NFC", text))
    total += URL_WEIGHT * len(_URL.findall(text))
    total += 2 * len(_EMOJI.findall(rest))
    return total + sum(_weight_of(ord(character)) for character in _EMOJI.sub("", rest))


def _weight_of(code: int) -> int:
    return 1 if any(low <= code <= high for low, high in _SINGLE_WEIGHT) else 2


def violations(draft: Mapping[str, Any], platform: Platform) -> Iterator[tuple[str, str]]:
    """What the platform would refuse, as (rule, quote)."""
    parts, caption, hashtags = draft["parts"], draft["caption"], draft["hashtags"]
    least, most = platform.parts
    if not least <= len(parts) <= most:
        wanted = str(most) if least == most else f"{least} to {most}"
        yield f"{platform.name} takes {wanted} {platform.part.lower()}s, not {len(parts)}", _quote(parts[-1]["text"])
    for name, text in _pieces(draft, platform) if platform.part_max_weight else ():
        if (length := weight(text)) > platform.part_max_weight:
            yield f"{name} is {length} characters long, {platform.part_max_weight} are allowed", _quote(text)
    tagged_caption = " ".join([caption, *hashtags]).strip()
    if platform.caption_max_chars and len(tagged_caption) > platform.caption_max_chars:
        yield (
            f"Caption and hashtags are {len(tagged_caption)} characters long, {platform.caption_max_chars} are allowed",
            _quote(caption),
        )
    everything = " ".join([*(part["text"] for part in parts), tagged_caption])
    used = {tag.lower() for tag in _HASHTAG.findall(everything)}
    if len(used) > platform.hashtags_max:
        yield f"{len(used)} hashtags, {platform.hashtags_max} are allowed", " ".join(sorted(used))[:_MAX_QUOTE_CHARS]


def _pieces(draft: Mapping[str, Any], platform: Platform) -> list[tuple[str, str]]:
    """What is posted on a platform without captions, as (name, text): behind the last piece, hashtags no piece has yet.

    A caption belongs to the one post, or becomes one more piece of a thread.
    """
    pieces = [(f"{platform.part} {number}", str(part["text"])) for number, part in enumerate(draft["parts"], 1)]
    if (caption := draft["caption"].strip()) and platform.parts[1] > 1:
        pieces.append(("The caption", caption))
    elif caption:
        pieces[-1] = ("Post and caption", f"{pieces[-1][1]} {caption}")
    used = {tag.lower() for _, text in pieces for tag in _HASHTAG.findall(text)}
    if unused := [tag for tag in draft["hashtags"] if tag.lower() not in used]:
        name, text = pieces[-1]
        pieces[-1] = (f"{name} with hashtags", " ".join([text, *unused]))
    return pieces


def _quote(text: str) -> str:
    return text if len(text) <= _MAX_QUOTE_CHARS else text[: _MAX_QUOTE_CHARS - 1] + "…"


def hashtag(text: str) -> str:
    """A word or several as one hashtag; empty where nothing is left of it."""
    word = re.sub(r"\W+", "", text)
    return f"#{word}" if word else ""


def distinct_hashtags(texts: list[str]) -> list[str]:
    """Words or several as hashtags, each once whatever its case."""
    tags = {tag.lower(): tag for text in reversed(texts) if (tag := hashtag(text))}
    return list(reversed(tags.values()))
