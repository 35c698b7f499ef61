"""Recipes as the api shows them and takes requests for them."""

from pathlib import Path

import jsonschema

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


async def test_schemas_of_what_comes_out_are_published(nats_url: str, tmp_path: Path) -> None:
    """Every kind of content tells the form of its structured sections; they are JSON Schemas."""
    async with open_api(nats_url, tmp_path) as api:
        listed = (await api.ask("GET", "/recipes", subject=None)).json["items"]
    outputs = {recipe["name"]: recipe["outputs"] for recipe in listed}
    assert list(outputs["course"]) == ["overview", "objectives", "modules", "assessments"]
    assert "report/security_analysis" in outputs["analysis"] and "severity_breakdown" in outputs["analysis"]
    for schema in (schema for schemas in outputs.values() for schema in schemas.values()):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object" and schema["required"] == list(schema["properties"])
