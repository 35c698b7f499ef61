"""Finds recipes by entry point, so that a package of anybody's can add one."""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from inkwire_recipes.recipe import Recipe

GROUP = "inkwire.recipes"


class RecipeConflict(Exception):
    """Two packages register the same recipe name, or one under a name that is not its own."""


def load_recipes() -> Mapping[str, Recipe]:
    """All installed recipes by name.

    Raises:
        RecipeConflict: a name is taken twice.
    """
    return collect(entry_points(group=GROUP))


def collect(points: Iterable[EntryPoint]) -> Mapping[str, Recipe]:
    """Recipes behind entry points; each names a recipe object. See :func:`load_recipes`."""
    found: dict[str, Recipe] = {}
    for point in sorted(points, key=lambda p: p.name):
        recipe: Recipe = point.load()
        if recipe.name != point.name:
            raise RecipeConflict(f"{point.value} is registered as {point.name!r} but calls itself {recipe.name!r}")
        if point.name in found:
            raise RecipeConflict(f"two packages register the recipe {point.name!r}; uninstall one")
        found[point.name] = recipe
    return found
