"""What can be written, and what the page needs to know."""

from fastapi import APIRouter

from inkwire_api.routes.services import Here
from inkwire_api.schemas import PublicConfig, RecipeList, RecipeStep, RecipeView
from inkwire_recipes.recipe import Recipe, Work

router = APIRouter(tags=["about"])


@router.get("/recipes", summary="List what can be written")
async def list_recipes(here: Here) -> RecipeList:
    """Each kind of content with the JSON Schema of its options, and its working steps."""
    return RecipeList(
        items=[
            RecipeView(
                name=recipe.name,
                title=recipe.title,
                description=recipe.description,
                inputs=recipe.inputs.model_json_schema(),
                steps=_first_steps(recipe),
                outputs={section: dict(schema) for section, schema in recipe.outputs().items()},
            )
            for _, recipe in sorted(here.recipes.items())
        ]
    )


def _first_steps(recipe: Recipe) -> list[RecipeStep]:
    """Of a post with the usual options; a recipe has a default for each of them."""
    steps = recipe.steps(Work("", recipe.inputs()))
    return [RecipeStep(section=step.section, title=step.title) for step in steps]


@router.get("/config", summary="What the page needs to know")
async def get_config(here: Here) -> PublicConfig:
    """No secrets: who writes (a model or the simulator) and whether signing in is needed."""
    return here.config
