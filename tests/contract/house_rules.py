"""The house rules as data: what each one looks at, and how it finds a breach. test_house_rules.py runs them.

To add a rule, write a check that yields findings and put it into RULES with the paths it applies to. To let one file
off a rule, add it to EXEMPT with the reason; an exemption that nothing needs any more fails the tests.
"""

import ast
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
MAX_FUNCTION_LINES = 70
MAX_FILE_LINES = 500

# --- what is pure -----------------------------------------------------------------------------------------------------
# Everything in the root of a service is pure, but for these names. Orchestrators await ports and do no I/O themselves.
PROCESS_MODULES = frozenset({"__main__", "app", "main", "settings"})
HTTP_LAYER = {"inkwire_api": {"error_handlers", "middleware", "openapi", "services"}}  # FastAPI around the core
ORCHESTRATORS = {
    "inkwire_api": set(
        "answers asking conversation_access conversing dead_letters documents history joining mentioning messaging "
        "posts reading side_by_side steering".split()
    ),
    "inkwire_gateway": {
        "announcements",
        "cancels",
        "channels",
        "conversation_upkeep",
        "log_upkeep",
        "post_upkeep",
        "presence_upkeep",
        "upkeep",
        "user_upkeep",
    },
    "inkwire_generator": {"desk", "runner", "talking"},
    "inkwire_persister": {"conversation_janitor", "conversation_keeper", "janitor", "keeper", "recoverer"},
}
IMPURE_FOLDERS = frozenset({"adapters", "routes"})
PURE_CHASSIS = frozenset({"auth"})
PURE_NAMES = frozenset({"inkwire_chassis.clock.rfc3339"})  # pure functions of modules that are not
PURE_DOCUMENTS = tuple(
    f"libs/documents/src/inkwire_documents/{name}.py"
    for name in ("blocks", "chunking", "kinds", "limits", "retrieval", "wire", "words")
)
PURE_PACKAGES = ("libs/contracts/src/*", "libs/recipes/src/*", *PURE_DOCUMENTS)
PORT_MODULES = ("libs/stores/src/inkwire_stores/*ports.py", "services/*/src/*/ports.py")

PURE_THIRD_PARTY = frozenset({"bm25s", "genai_prices", "jiter", "jwt", "numpy", "orjson", "pydantic", "pydantic_core"})
IMPURE_STDLIB = frozenset(
    "asyncio concurrent http logging multiprocessing os pathlib queue random secrets select selectors shutil signal "
    "socket sqlite3 ssl subprocess tempfile threading time".split()
)
IMPURE_CALLS = frozenset({"breakpoint", "input", "open", "print", "uuid1", "uuid4"})
CLOCK_READS = frozenset({"now", "today", "utcnow"})

# --- who may import what ----------------------------------------------------------------------------------------------
MONGO = ("libs/stores/src/inkwire_stores/mongo.py", "libs/stores/src/inkwire_stores/mongo_*.py")
MONGO_AND_INDEXES = (*MONGO, "libs/stores/src/inkwire_stores/indexes.py")
FORMATS = ("libs/documents/src/inkwire_documents/formats/*",)  # loaded in the confined worker only
ONLY_IMPORTERS = {
    "bm25s": ("libs/documents/src/inkwire_documents/retrieval.py",),
    "bson": MONGO,
    "gridfs": MONGO,
    "lxml": FORMATS,
    "motor": ("libs/stores/src/inkwire_stores/mongo_database.py",),
    "pymongo": MONGO_AND_INDEXES,
    "fastapi": ("services/api/*",),
    "starlette": ("services/api/*",),
    "faststream": ("services/api/*", "services/persister/*"),
    "pypdfium2": FORMATS,
    "selectolax": FORMATS,
    "openai": (
        "services/api/src/inkwire_api/adapters/embeddings.py",
        "services/generator/src/inkwire_generator/adapters/*",
    ),
}
CONTRACTS_THIRD_PARTY = frozenset({"pydantic", "pydantic_core"})
# A package that another one re-exports and pins: declaring the other is enough.
PART_OF = {"pydantic_core": "pydantic", "starlette": "fastapi"}

# --- numbers and their units ------------------------------------------------------------------------------------------
UNIT_ENDINGS = (
    "_s", "_ms", "_us", "_bytes", "_kib", "_mib", "_chars", "_words", "_tokens", "_ratio", "_percent", "_usd",
    "_count", "_port", "_per_s", "_per_minute", "_factor", "_hours", "_days", "_version",
)  # fmt: skip
QUANTITY_WORDS = frozenset(
    "age backoff body buffer delay deadline duration grace interval lease length memory period size timeout ttl wait "
    "water".split()
)
COUNT_NAMES = frozenset({"port", "seed", "worker"})
COUNT_ENDINGS = ("s", "burst", "flight")

SOURCES = ("libs/*/src/*.py", "services/*/src/*.py", "web/src/*.py", "tests/openai_sim/src/*.py")
EVERYTHING = ("libs/*.py", "services/*.py", "web/*.py", "tests/*.py", "benchmarks/*.py", "deploy/*.py", "run")
TESTS = ("tests/*.py",)
NOT_TESTS = ("tests/support/*", "tests/openai_sim/*")

EXEMPT = {
    ("no_sleep", "tests/unit/tests_support/test_guards.py"): "the sleep is what the guard must refuse; it never sleeps",
}


@dataclass(frozen=True)
class Finding:
    """One breach of a rule."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Module:
    """A source file: its path relative to the root, its text and, for Python, its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def dotted(self) -> str:
        """The import name, for a file below a src folder; else the empty string."""
        parts = PurePosixPath(self.path).with_suffix("").parts
        if "src" not in parts:
            return ""
        inside = parts[parts.index("src") + 1 :]
        return ".".join(inside[:-1] if inside[-1] == "__init__" else inside)

    @property
    def package(self) -> str:
        """The package that relative imports start from."""
        is_package = self.path.endswith("/__init__.py")
        return self.dotted if is_package else self.dotted.rpartition(".")[0]

    def at(self, node: ast.AST, message: str) -> Finding:
        """A finding at a node."""
        return Finding(self.path, getattr(node, "lineno", 1), message)


Check = Callable[[Module], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """A name, the path patterns it applies to, the ones it leaves out, and the check."""

    name: str
    paths: tuple[str, ...]
    check: Check
    leave_out: tuple[str, ...] = ()

    def applies(self, path: str) -> bool:
        """Whether the rule looks at this path."""
        return matches(path, self.paths) and not matches(path, self.leave_out)


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether path fits one of the patterns; ``*`` spans folders."""
    return any(fnmatch(path, pattern) for pattern in patterns)


def parse(path: str, text: str) -> Module:
    """Read a module from its text; JavaScript gets an empty tree.

    Raises:
        SyntaxError: Python that does not parse.
    """
    is_python = path.endswith(".py") or path == "run"
    return Module(path, text, ast.parse(text) if is_python else ast.Module(body=[], type_ignores=[]))


@cache
def modules() -> tuple[Module, ...]:
    """Every file of ours that a rule may look at; vendored ones are their authors' business."""
    found = [ROOT / "run"]
    for top in ("libs", "services", "web", "tests", "benchmarks", "deploy"):
        for suffix in ("*.py", "*.js"):
            found += sorted((ROOT / top).rglob(suffix))
    paths = [p.relative_to(ROOT).as_posix() for p in found if p.is_file()]
    ours = [p for p in paths if not {"vendor", "node_modules", ".venv", "build"} & set(p.split("/"))]
    return tuple(parse(p, (ROOT / p).read_text(encoding="utf-8")) for p in ours)


def imports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Each imported name in full: ``from a import b`` gives a.b, relative ones are resolved."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.package.split(".")
                parents = parts[: len(parts) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            for alias in node.names:
                yield node, f"{base}.{alias.name}"


def called_name(call: ast.Call) -> tuple[str, str]:
    """The callee as (what stands before the last dot, last name)."""
    if isinstance(call.func, ast.Attribute):
        return ast.unparse(call.func.value), call.func.attr
    return "", call.func.id if isinstance(call.func, ast.Name) else ""


def calls(module: Module) -> Iterator[tuple[ast.Call, str, str]]:
    """Each call with its callee; a name imported by ``from x import y`` counts as x.y."""
    origin = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    renamed = {
        alias.asname: alias.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.asname
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            before, name = called_name(node)
            if not before and name in origin:
                before, name = origin[name]
            yield node, renamed.get(before, before), name


def role(path: str) -> str:
    """What a file is for the purity rules: pure, ports, orchestrator or free."""
    parts = PurePosixPath(path).parts
    if matches(path, PORT_MODULES):
        return "ports"
    if matches(path, PURE_PACKAGES):
        return "pure"
    if path.startswith("libs/chassis/src/"):
        return "pure" if PurePosixPath(path).stem in PURE_CHASSIS else "free"
    if parts[0] != "services" or "src" not in parts:
        return "free"
    package, inside = parts[3], parts[4:]
    if set(inside[:-1]) & IMPURE_FOLDERS:
        return "free"
    stem = PurePosixPath(path).stem
    if len(inside) == 1 and stem in PROCESS_MODULES | HTTP_LAYER.get(package, set()):
        return "free"
    return "orchestrator" if len(inside) == 1 and stem in ORCHESTRATORS.get(package, ()) else "pure"


# --- the checks -------------------------------------------------------------------------------------------------------
def short_functions(module: Module) -> Iterator[Finding]:
    """Functions stay short; the docstring is not counted."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield module.at(node, f"{node.name}() has {lines} lines, at most {MAX_FUNCTION_LINES}")


def short_files(module: Module) -> Iterator[Finding]:
    """Files stay short."""
    lines = len(module.text.splitlines())
    if lines > MAX_FILE_LINES:
        yield Finding(module.path, MAX_FILE_LINES + 1, f"{lines} lines, at most {MAX_FILE_LINES}")


def _impure_import(kind: str, name: str, package: str) -> str | None:
    """Why a pure module (or ports, or an orchestrator) may not import name; None if it may."""
    top, _, rest = name.partition(".")
    first = rest.partition(".")[0]
    if top == package:
        inner = first in IMPURE_FOLDERS | PROCESS_MODULES | HTTP_LAYER.get(package, set())
        return f"imports {name}: the core sees ports, not what is built on it" if inner else None
    if kind == "orchestrator" and top in {"asyncio", "inkwire_chassis"}:
        return None
    if top == "inkwire_chassis":
        return (
            None if first in PURE_CHASSIS or name in PURE_NAMES else f"imports {name}, which does I/O or reads a clock"
        )
    if top == "inkwire_stores":
        return None if first.endswith("ports") else f"imports {name}: take a port of inkwire_stores.ports instead"
    if top.startswith("inkwire"):
        return None
    if top in sys.stdlib_module_names:
        impure = top in IMPURE_STDLIB or name.startswith("urllib.request")
        return f"imports {name}: I/O, clock or chance; take the value as an argument" if impure else None
    return None if top in PURE_THIRD_PARTY else f"imports {name}, not known as pure (PURE_THIRD_PARTY)"


def pure_imports(module: Module) -> Iterator[Finding]:
    """Pure modules import no I/O library, no clock, no chance."""
    kind = role(module.path)
    if kind != "free":
        for node, name in imports(module):
            why = _impure_import(kind, name, module.dotted.partition(".")[0])
            if why:
                yield module.at(node, f"{kind} module {why}")


def pure_code(module: Module) -> Iterator[Finding]:
    """Pure modules await nothing, read no clock, open no file. Ports may declare coroutines."""
    kind = role(module.path)
    if kind in {"free", "orchestrator"}:
        return
    waits = (ast.Await, ast.AsyncFor, ast.AsyncWith)
    for node in ast.walk(module.tree):
        if isinstance(node, waits) or (kind == "pure" and isinstance(node, ast.AsyncFunctionDef)):
            yield module.at(node, f"{kind} module awaits: move this to adapters/ or the orchestrator")
    for node, before, name in calls(module):
        if name in CLOCK_READS and before.rpartition(".")[2] in {"datetime", "date"}:
            yield module.at(node, f"reads the clock ({name}): take `now` as an argument")
        if name in IMPURE_CALLS and before in {"", "uuid", "builtins"}:
            yield module.at(node, f"calls {name}(): not in a pure module")


def only_importers(module: Module) -> Iterator[Finding]:
    """Some libraries have one place."""
    for node, name in imports(module):
        allowed = ONLY_IMPORTERS.get(name.partition(".")[0])
        if allowed is not None and not matches(module.path, allowed):
            yield module.at(node, f"imports {name}; only {', '.join(allowed)} may")


def contracts_imports(module: Module) -> Iterator[Finding]:
    """Contracts import pydantic, the standard library and themselves."""
    for node, name in imports(module):
        top = name.partition(".")[0]
        if top not in CONTRACTS_THIRD_PARTY | sys.stdlib_module_names | {"inkwire_contracts"}:
            yield module.at(node, f"contracts import pydantic only, not {name}")


@cache
def _distributions() -> dict[str, list[str]]:
    return {top: [d.lower().replace("_", "-") for d in dists] for top, dists in packages_distributions().items()}


@cache
def _declared(member: str) -> frozenset[str]:
    """The distributions that a member's pyproject.toml names, without versions and extras."""
    project = tomllib.loads((ROOT / member / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cut = str.maketrans(dict.fromkeys("[<>=!~;( ", " "))
    names = {d.translate(cut).split()[0].lower().replace("_", "-") for d in project["dependencies"]}
    return frozenset(names | {project["name"]})


def declared_imports(module: Module) -> Iterator[Finding]:
    """A member declares each distribution that it imports; nothing works by another member's luck."""
    member = module.path.partition("/src/")[0]
    for node, name in imports(module):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top == "__future__":
            continue
        providers = {PART_OF.get(top, top).replace("_", "-"), *_distributions().get(top, [])}
        if not _declared(member) & providers:
            yield module.at(node, f"imports {name}, which {member}/pyproject.toml does not declare")


def bounded_queues(module: Module) -> Iterator[Finding]:
    """A queue without a bound is a leak with a delay."""
    for node, before, name in calls(module):
        if before.rpartition(".")[2] not in {"asyncio", "queue"} or not name.endswith("Queue"):
            continue
        size = next((k.value for k in node.keywords if k.arg == "maxsize"), node.args[0] if node.args else None)
        if size is None or (isinstance(size, ast.Constant) and size.value == 0):
            yield module.at(node, f"{name}() without maxsize: name the bound")


LOOPS = frozenset({"asyncio", "loop", "get_running_loop", "get_event_loop"})


def supervised_tasks(module: Module) -> Iterator[Finding]:
    """Tasks start through the chassis (or a TaskGroup), so that none dies unseen."""
    for node, before, name in calls(module):
        loose = before.rpartition(".")[2].removesuffix("()") in LOOPS
        if name == "ensure_future" or (name == "create_task" and loose):
            yield module.at(node, f"{name}(): start tasks through inkwire_chassis.lifecycle")


def _needs_unit(name: str, kind: str) -> bool:
    if name.endswith(UNIT_ENDINGS):
        return False
    if kind == "float" or set(name.split("_")) & QUANTITY_WORDS:
        return True
    return not (name in COUNT_NAMES or name.endswith(COUNT_ENDINGS))


def settings_units(module: Module) -> Iterator[Finding]:
    """A number in the settings says its unit in its name; a plain count is a plural."""
    for cls in (n for n in ast.walk(module.tree) if isinstance(n, ast.ClassDef)):
        for field in (n for n in cls.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)):
            words = {n.id for n in ast.walk(field.annotation) if isinstance(n, ast.Name)}
            kind = "float" if words & {"float", "PositiveFloat", "NonNegativeFloat"} else "int"
            numeric = kind == "float" or words & {"int", "PositiveInt", "NonNegativeInt"}
            name = field.target.id  # type: ignore[union-attr]
            if numeric and "ClassVar" not in words and _needs_unit(name, kind):
                yield module.at(field, f"{cls.name}.{name} names no unit (_s, _ms, _bytes, ... or a plural)")


def no_sleep(module: Module) -> Iterator[Finding]:
    """Tests wait for what they mean (tests/support/wait.py), never for time to pass.

    A sleep that is not awaited but handed on (a task to be cancelled) waits for nothing; sleep(0) is a loop turn.
    """
    awaited = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Await)}
    for node, before, name in calls(module):
        turn = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        asleep = before == "time" or (before == "asyncio" and id(node) in awaited)
        if (name == "sleep" and asleep and not turn) or name == "wait_for_timeout":
            yield module.at(node, f"{name}(): poll for the state with tests.support.wait instead")


def test_docstrings(module: Module) -> Iterator[Finding]:
    """A test says in one sentence what must hold."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
            continue
        if not (ast.get_docstring(node) or "").strip():
            yield module.at(node, f"{node.name}() has no docstring: one sentence of behaviour")


RULES = (
    Rule("short_functions", EVERYTHING, short_functions),
    Rule("short_files", (*EVERYTHING, "*.js"), short_files),
    Rule("pure_imports", SOURCES, pure_imports),
    Rule("pure_code", SOURCES, pure_code),
    Rule("only_importers", SOURCES, only_importers),
    Rule("contracts_imports", ("libs/contracts/src/*.py",), contracts_imports),
    Rule("declared_imports", SOURCES, declared_imports),
    Rule("bounded_queues", SOURCES, bounded_queues),
    Rule("supervised_tasks", SOURCES, supervised_tasks, leave_out=("libs/chassis/*", "tests/*")),
    Rule("settings_units", ("libs/*/settings.py", "services/*/settings.py"), settings_units),
    Rule("no_sleep", TESTS, no_sleep, leave_out=NOT_TESTS),
    Rule("test_docstrings", ("tests/*/test_*.py", "tests/test_*.py"), test_docstrings),
)


def findings(rule: Rule) -> list[Finding]:
    """All breaches of a rule in the tree, exempt files included."""
    return [f for module in modules() if rule.applies(module.path) for f in rule.check(module)]
