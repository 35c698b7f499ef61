"""The platforms' limits, as code checks them."""

from typing import Any

import pytest

from inkwire_recipes.platforms import PLATFORMS, distinct_hashtags, hashtag, platform_named, violations, weight


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("Laravel", 7),
        ("é", 1),
        ("e\u0301", 1),
        ("日本", 4),
        ("😀", 2),
        ("👩\u200d💻", 2),
        ("👍🏽", 2),
        ("🇩🇪", 2),
        ("see https://example.org/a/very/long/address?with=parameters now", 4 + 23 + 4),
        ("“quoted”", 8),
    ],
)
def test_twitter_counts(text: str, expected: int) -> None:
    """Letters 1, CJK and each emoji 2, any address 23."""
    assert weight(text) == expected


def draft(*texts: str, caption: str = "", hashtags: tuple[str, ...] = ()) -> dict[str, Any]:
    """A draft with these pieces."""
    return {"parts": [{"title": "", "text": text} for text in texts], "caption": caption, "hashtags": list(hashtags)}


@pytest.mark.parametrize(
    ("platform", "wrong", "rule"),
    [
        ("Instagram", draft("one"), "2 to 10 slides, not 1"),
        ("Instagram", draft(*"12345678901"), "2 to 10 slides, not 11"),
        ("Instagram", draft("a", "b", caption="x" * 2_195, hashtags=("#spring",)), "2203 characters long, 2200"),
        ("Instagram", draft("a", "b", hashtags=("#a", "#b", "#c", "#d", "#e", "#f")), "6 hashtags, 5 are allowed"),
        ("Twitter", draft("x" * 281), "Tweet 1 is 281 characters long, 280"),
        ("Twitter", draft("日" * 141), "Tweet 1 is 282"),
        ("Twitter", draft("#a #b", "#c #d"), "4 hashtags, 3"),
        ("Twitter", draft("a", "#a " + "x" * 277, hashtags=("#A", "#b")), "Tweet 2 with hashtags is 283 characters"),
        ("Twitter", draft("a", caption="x" * 281), "The caption is 281 characters long, 280"),
        ("Twitter", draft("a", caption="x" * 278, hashtags=("#b",)), "The caption with hashtags is 281"),
        ("Facebook", draft("x" * 63_000, caption="x" * 206), "Post and caption is 63207"),
        ("Facebook", draft("x" * 63_204, hashtags=("#b",)), "Post 1 with hashtags is 63207"),
        ("TikTok", draft("a", caption="x" * 2_201), "2201 characters long"),
        ("Facebook", draft("a", "b"), "takes 1 posts, not 2"),
        ("Facebook", draft("x" * 63_207), "63207 characters"),
    ],
)
def test_what_a_platform_would_refuse_is_found(platform: str, wrong: dict[str, Any], rule: str) -> None:
    """Each finding names the limit and what was counted, with words of the draft."""
    ((found, quote),) = violations(wrong, PLATFORMS[platform])
    assert rule in found and 0 < len(quote) <= 120


@pytest.mark.parametrize(
    ("platform", "right"),
    [
        ("Instagram", draft("a", "b", caption="x" * 2_192, hashtags=("#spring",))),
        ("Twitter", draft("x" * 280, "日" * 140)),
        ("TikTok", draft("a", hashtags=("#a", "#A", "#b"))),
        ("Twitter", draft("x" * 280, "#b" + " " * 278, caption="x" * 280, hashtags=("#B",))),
        ("Twitter", draft("x" * 277, hashtags=("#b",))),
        ("Facebook", draft("x" * 63_206)),
        ("Facebook", draft("x" * 63_000, caption="x" * 202, hashtags=("#b",))),
    ],
)
def test_what_just_fits_is_let_through(platform: str, right: dict[str, Any]) -> None:
    """At the limit nothing is found."""
    assert list(violations(right, PLATFORMS[platform])) == []


def test_names_are_known_in_any_case() -> None:
    """Clients write them as they like."""
    assert platform_named(" tiktok ").name == "TikTok"
    with pytest.raises(ValueError, match="Instagram, Twitter, TikTok, Facebook"):
        platform_named("Myspace")


@pytest.mark.parametrize(
    ("text", "tag"), [("skin care", "#skincare"), ("#Botox!", "#Botox"), ("日本", "#日本"), ("#", "")]
)
def test_hashtags_are_one_word(text: str, tag: str) -> None:
    """Whatever the model called a hashtag."""
    assert hashtag(text) == tag


def test_each_hashtag_stands_once() -> None:
    """The first spelling stays, in the order of the list."""
    assert distinct_hashtags(["#Botox", "skin care", "BOTOX", "#", "#Skincare"]) == ["#Botox", "#skincare"]
