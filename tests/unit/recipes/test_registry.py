"""Finding recipes by entry point."""

from importlib.metadata import EntryPoint

import pytest

from inkwire_recipes.blog import BLOG
from inkwire_recipes.registry import GROUP, RecipeConflict, collect, load_recipes


def point(name: str) -> EntryPoint:
    """An entry point that names the blog recipe."""
    return EntryPoint(name=name, value="inkwire_recipes.blog:BLOG", group=GROUP)


def test_the_blog_recipe_is_installed() -> None:
    """The installed package registers its recipe under its own name."""
    assert load_recipes()["blog"] is BLOG


def test_a_name_is_taken_once() -> None:
    """Two packages cannot both provide a recipe."""
    with pytest.raises(RecipeConflict, match="two packages"):
        collect([point("blog"), point("blog")])


def test_the_registered_name_is_the_recipes_own() -> None:
    """A recipe registered under another name is refused, because requests and logs use its own."""
    with pytest.raises(RecipeConflict, match="calls itself"):
        collect([point("essay")])
