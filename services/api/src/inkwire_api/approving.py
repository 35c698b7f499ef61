"""What an author's approval makes of a post's options: decided by its recipe and the folded post alone. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from inkwire_api import problems
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Snapshot
from inkwire_recipes.recipe import NothingToApprove, Recipe, Work

OptionsOf = Callable[[Snapshot], dict[str, Any]]
"""Options of the run that goes on with a post; raises InkwireError where it cannot be approved so."""


def approval(recipes: Mapping[str, Recipe], outline: Mapping[str, Any] | None) -> OptionsOf:
    """How a post's options look once its author has approved it: with ``outline``, or (``None``) as it is."""

    def options_of(snapshot: Snapshot) -> dict[str, Any]:
        recipe = recipes.get(snapshot.recipe)
        if recipe is None:
            raise InkwireError("unknown_recipe", known=", ".join(sorted(recipes)))
        try:
            options = recipe.approved(_work(recipe, snapshot), outline)
            return recipe.inputs.model_validate(dict(options)).model_dump(mode="json")
        except NothingToApprove:
            raise InkwireError("not_approvable", status=snapshot.status) from None
        except ValidationError as error:
            raise problems.from_options(error.errors(include_url=False, include_input=False)) from None

    return options_of


def _work(recipe: Recipe, snapshot: Snapshot) -> Work:
    """The post before its plan, as its recipe sees it."""
    done = [section for section in snapshot.sections if section.status == "done"]
    return Work(
        title=snapshot.title,
        inputs=recipe.inputs.model_validate(snapshot.options),
        artifacts={section.section: section.data for section in done if section.data is not None},
        texts={section.section: section.text for section in done},
    )
