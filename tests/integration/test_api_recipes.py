"""Recipes as the api shows them and takes requests for them."""

from pathlib import Path

from inkwire_recipes.analysis import MAX_MATERIAL_CHARS
from tests.support.api import open_api


async def test_an_operators_job_types_are_listed_and_taken(nats_url: str, tmp_path: Path) -> None:
    """The options' schema has them to choose from; material as long as the recipe takes it comes through."""
    own = '{"triage": {"title": "Triage", "task": "Sort."}}'
    async with open_api(nats_url, tmp_path, job_types=own) as api:
        listed = (await api.ask("GET", "/recipes", subject=None)).json["items"]
        [inputs] = [recipe["inputs"] for recipe in listed if recipe["name"] == "analysis"]
        assert inputs["properties"]["job_type"]["enum"][-2:] == ["gas_analysis", "triage"]
        options = {"job_type": "triage", "material": "x" * MAX_MATERIAL_CHARS}
        wish = {"title": "A long report", "recipe": "analysis", "options": options}
        assert (await api.ask("POST", "/posts", json=wish)).status == 202
        options["material"] += "x"
        assert (await api.ask("POST", "/posts", json=wish)).code in ("invalid_request", "invalid_options")
        unknown = {**wish, "options": {"job_type": "horoscope"}}
        assert (await api.ask("POST", "/posts", json=unknown)).code == "invalid_options"
