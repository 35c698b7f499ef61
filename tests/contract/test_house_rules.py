"""The rules of house_rules.py hold in the whole tree, and each of them can fail."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.house_rules import EXEMPT, ROOT, RULES, Finding, Rule, findings, parse, role

BY_NAME = {rule.name: rule for rule in RULES}
CORE = "services/generator/src/inkwire_generator/planner.py"
CONTRACT = "libs/contracts/src/inkwire_contracts/events.py"
ADAPTER = "services/gateway/src/inkwire_gateway/adapters/server.py"
SETTINGS = "services/gateway/src/inkwire_gateway/settings.py"
TEST = "tests/unit/inkwire_gateway/test_hub.py"

# rule, path, text that breaks it at the named line
BREACHES = [
    ("short_functions", ADAPTER, "def f():\n" + "    x = 1\n" * 70, 1),
    ("short_files", "web/src/inkwire_web/app.js", "x;\n" * 501, 501),
    ("pure_imports", CORE, "import json\nimport asyncio\n", 2),
    ("pure_imports", CORE, "from time import monotonic\n", 1),
    ("pure_imports", CORE, "import nats.aio.client\n", 1),
    ("pure_imports", CORE, "from .adapters import log\n", 1),
    ("pure_imports", CORE, "from inkwire_generator.settings import Settings\n", 1),
    ("pure_imports", CORE, "from inkwire_stores.mongo import MongoStore\n", 1),
    ("pure_imports", CORE, "from inkwire_chassis.clock import SystemClock\n", 1),
    ("pure_imports", "services/generator/src/inkwire_generator/runner.py", "import aiohttp\n", 1),
    ("pure_code", CORE, "async def f():\n    pass\n", 1),
    ("pure_code", CORE, "from datetime import datetime\nx = datetime.now()\n", 2),
    ("pure_code", CORE, "from uuid import uuid4\nx = uuid4()\n", 2),
    ("pure_code", CORE, "x = open('a')\n", 1),
    ("pure_code", "services/api/src/inkwire_api/ports.py", "async def f(x):\n    await x\n", 2),
    ("only_importers", "services/api/src/inkwire_api/app.py", "from motor import motor_asyncio\n", 1),
    ("only_importers", ADAPTER, "from faststream.nats import NatsBroker\n", 1),
    ("contracts_imports", CONTRACT, "import orjson\n", 1),
    ("contracts_imports", CONTRACT, "from inkwire_chassis import logs\n", 1),
    ("declared_imports", ADAPTER, "import fastapi\n", 1),
    ("declared_imports", ADAPTER, "import no_such_library\n", 1),
    ("bounded_queues", ADAPTER, "import asyncio\nq = asyncio.Queue()\n", 2),
    ("bounded_queues", ADAPTER, "from asyncio import Queue\nq: Queue[int] = Queue(maxsize=0)\n", 2),
    ("bounded_queues", ADAPTER, "import queue\nq = queue.SimpleQueue()\n", 2),
    ("supervised_tasks", ADAPTER, "import asyncio\nasyncio.create_task(f())\n", 2),
    ("supervised_tasks", ADAPTER, "from asyncio import create_task as go\ngo(f())\n", 2),
    ("supervised_tasks", ADAPTER, "import asyncio\nasyncio.get_running_loop().create_task(f())\n", 2),
    ("settings_units", SETTINGS, "class S:\n    ack_timeout: float = 1\n", 2),
    ("settings_units", SETTINGS, "class S:\n    send_queue_size: int | None = 1\n", 2),
    ("settings_units", SETTINGS, "class S:\n    weight: int = 1\n", 2),
    ("no_sleep", TEST, "import time\ntime.sleep(1)\n", 2),
    ("no_sleep", TEST, "import asyncio as a\nasync def f():\n    await a.sleep(0.1)\n", 3),
    ("no_sleep", TEST, "page.wait_for_timeout(500)\n", 1),
    ("test_docstrings", TEST, "async def test_a():\n    assert f()\n", 1),
]

# rule, path, text that must pass
FINE = [
    ("short_functions", ADAPTER, 'def f():\n    """' + "x\n" * 90 + '    """\n' + "    x = 1\n" * 68),
    ("pure_imports", CORE, "import json\nfrom inkwire_contracts.events import Event\nfrom .ports import Log\n"),
    ("pure_imports", "services/generator/src/inkwire_generator/runner.py", "import asyncio\nfrom .ports import Log\n"),
    ("pure_imports", ADAPTER, "import asyncio, nats, time\n"),
    ("pure_code", "services/api/src/inkwire_api/ports.py", "async def f(x):\n    ...\n"),
    ("only_importers", "libs/stores/src/inkwire_stores/mongo_database.py", "import motor, pymongo\n"),
    ("bounded_queues", ADAPTER, "import asyncio\nq = asyncio.Queue(maxsize=limit)\n"),
    ("supervised_tasks", ADAPTER, "async with TaskGroup() as tg:\n    tg.create_task(f())\n"),
    (
        "settings_units",
        SETTINGS,
        "class S:\n    ack_timeout_s: float = 1\n    posts: int = 2\n    port: int = 0\n",
    ),
    ("no_sleep", TEST, "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    spawn(asyncio.sleep(9))\n"),
]


def _report(found: list[Finding]) -> str:
    return "\n" + "\n".join(str(f) for f in found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_holds(rule: Rule) -> None:
    """No file of the tree breaks the rule, but for the exemptions that give a reason."""
    found = [f for f in findings(rule) if (rule.name, f.path) not in EXEMPT]
    assert not found, _report(found)


@pytest.mark.parametrize(("name", "path", "text", "line"), BREACHES)
def test_rule_finds_a_breach(name: str, path: str, text: str, line: int) -> None:
    """Each rule reports a breach, once, with its file and line."""
    rule = BY_NAME[name]
    assert rule.applies(path)
    found = list(rule.check(parse(path, text)))
    assert [(f.path, f.line) for f in found] == [(path, line)], _report(found)


@pytest.mark.parametrize(("name", "path", "text"), FINE)
def test_rule_passes_what_is_allowed(name: str, path: str, text: str) -> None:
    """The nearest allowed neighbour of each breach is not reported."""
    found = list(BY_NAME[name].check(parse(path, text)))
    assert not found, _report(found)


def test_every_rule_is_proved() -> None:
    """A rule without an example of its breach could be one that never fails."""
    assert {rule.name for rule in RULES} == {name for name, *_ in BREACHES}


def test_exemptions_are_needed() -> None:
    """An exemption whose file keeps the rule again is taken out."""
    used = {(rule.name, f.path) for rule in RULES for f in findings(rule)}
    assert not set(EXEMPT) - used
    assert all(reason.strip() for reason in EXEMPT.values())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("libs/contracts/src/inkwire_contracts/fold.py", "pure"),
        ("services/gateway/src/inkwire_gateway/dialects/native.py", "pure"),
        ("services/gateway/src/inkwire_gateway/adapters/server.py", "free"),
        ("services/api/src/inkwire_api/routes/posts.py", "free"),
        ("services/api/src/inkwire_api/posts.py", "orchestrator"),
        ("services/persister/src/inkwire_persister/ports.py", "ports"),
        ("libs/chassis/src/inkwire_chassis/clock.py", "free"),
    ],
)
def test_role_follows_from_the_path(path: str, expected: str) -> None:
    """Where a file lies decides what it may do."""
    assert role(path) == expected


IMPORT_ALL = """
import importlib, pkgutil, sys, traceback
failed = 0
for top in sys.argv[1:]:
    names = [top]
    package = importlib.import_module(top)
    names += [m.name for m in pkgutil.walk_packages(package.__path__, top + ".") if not m.name.endswith("__main__")]
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException:
            failed += 1
            print(f"{name}: {traceback.format_exc(limit=-2)}")
sys.exit(failed)
"""


def test_modules_import_with_an_empty_environment(tmp_path: Path) -> None:
    """Importing a module reads no setting, opens no connection and needs no variable."""
    tops = sorted(p.parent.name for pattern in ("libs/*", "services/*", "web", "tests/openai_sim")
                  for p in ROOT.glob(f"{pattern}/src/*/__init__.py"))  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *tops], env={}, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.iterdir())
