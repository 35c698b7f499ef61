"""docs/recipes.md works as it stands: its recipe is installed and runs to a published post, its job types are taken."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from inkwire_contracts.commands import Job
from inkwire_contracts.events import RequestedData
from inkwire_contracts.fold import document
from inkwire_recipes.analysis import operator_job_types
from inkwire_recipes.platforms import PLATFORMS, Platform
from inkwire_recipes.recipe import Recipe
from inkwire_recipes.registry import load_recipes
from tests.support.generator import assert_exact, commit_job, generator_process, read_folded, until_final
from tests.support.log import TIME, make_job, open_log
from tests.support.processes import base_environment
from tests.support.sim import SimServer

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
FILES = {name: body for name, body in re.findall(r"^```\w+ (\S+)\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)}
LIST = "from inkwire_recipes.registry import load_recipes; print(*load_recipes())"


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment in which the tutorial's package is installed: as an installer leaves it, without one."""
    site = tmp_path / "site"
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = ((group, points.items()) for group, points in project["entry-points"].items())
    lines = (f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points) for group, points in groups)
    (info / "entry_points.txt").write_text("\n".join(lines))
    (site / "release_notes.py").write_text(FILES["release_notes.py"])
    return {"PYTHONPATH": str(site)}


def test_what_is_installed_is_told() -> None:
    """Every recipe stands in the table with its options, every platform with the limits that code checks."""
    told = TEXT.partition("## What is installed\n")[2].partition("\n## ")[0]
    recipes = {
        name: re.findall(r"`(\w+)`", options) for name, options in re.findall(r"^\| `(\w+)` \| (.*?) \|", told, re.M)
    }
    assert recipes == {name: list(recipe.inputs.model_fields) for name, recipe in load_recipes().items()}
    for platform in PLATFORMS.values():
        least, most = platform.parts
        part = platform.part.lower()
        parts = f"{least} to {most} {part}s" if most > 1 else f"1 {part}"
        of_part, of_tags = _limit(platform.part_max_weight), _limit(platform.hashtags_max)
        cells = [platform.name, parts, of_part, _caption(platform), of_tags]
        row = next(line for line in told.splitlines() if line.startswith(f"| {platform.name} |"))
        assert [cell.partition(", counted")[0].strip() for cell in row.strip("| ").split("|")] == cells


def _limit(limit: int) -> str:
    return f"{limit:,}" if limit else "any"


def _caption(platform: Platform) -> str:
    if platform.caption_max_chars or not platform.part_max_weight:
        return _limit(platform.caption_max_chars)
    part = platform.part.lower()
    return f"{_limit(platform.part_max_weight)}, as one more {part}" if platform.parts[1] > 1 else f"in the {part}'s"


def test_the_tutorial_is_short() -> None:
    """Both files together, blank lines included, stay below what the heading promises."""
    assert "in under 60 lines" in TEXT
    assert len((FILES["pyproject.toml"] + FILES["release_notes.py"]).splitlines()) < 60


def test_the_tutorials_recipe_is_found_in_another_process(installed: dict[str, str]) -> None:
    """By its entry point alone; without the package it is not there."""
    for environment, there in (({}, False), (installed, True)):
        command = [sys.executable, "-c", LIST]
        done = subprocess.run(
            command, env=base_environment() | environment, capture_output=True, text=True, timeout=60, check=True
        )
        assert ("release_notes" in done.stdout.split()) is there, done.stderr


async def test_the_tutorials_recipe_writes_a_post(installed: dict[str, str], nats_url: str, tmp_path: Path) -> None:
    """A generator in whose environment it is installed takes a job for it and publishes."""
    request = RequestedData(
        title="Release 2.1", recipe="release_notes", options={"changes": "Fixed the login on old phones."}
    )
    job = Job(post=make_job().post, owner="local", run=1, time=TIME, request=request)
    async with open_log(nats_url) as log:
        with SimServer() as sim:
            generator = generator_process(nats_url, sim, tmp_path, "tutorial", **installed)
            generator.start()
            try:
                await generator.ready()
                await log.ensure_requested(job)
                await commit_job(log, job)
                await until_final(log, job)
                snapshot, stored = await read_folded(log, job)
            finally:
                generator.assert_clean_exit()
    assert_exact(snapshot, stored)
    notes, count = (section.data or {} for section in snapshot.sections)
    text = document(snapshot)
    assert text.startswith(f"# Release 2.1\n\n{notes['summary']}\n\n- **")
    assert all(f"- **{one['kind'].capitalize()}:** {one['text']}\n" in text for one in notes["changes"])
    assert count == {"changes": len(notes["changes"])}
    assert text.endswith(" of them fixes.\n") and f"\n{count['changes']} changes, " in text


def test_the_job_types_are_taken() -> None:
    """The example is a file that an operator can start with."""
    first, second = operator_job_types(FILES["job_types.json"])
    assert (first.name, first.schema) == ("contract_review", None)
    assert second.schema is not None and next(iter(second.schema["properties"])) == "product_area"


def test_the_table_is_whole() -> None:
    """Every method of the interface is on the way of a post, or told beside it."""
    methods = [name for name, value in vars(Recipe).items() if callable(value) and not name.startswith("_")]
    assert len(methods) >= 6
    assert [name for name in methods if f"`{name}" not in TEXT] == []
