"""docker-compose.yml and what it mounts: complete, healthy by check, pinned, and without a secret. Nothing is run."""

import os
import re
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from inkwire_chassis.settings import ServiceSettings, variable_name

ROOT: Final = Path(__file__).resolve().parents[2]
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = ("api", "gateway", "generator", "persister")
DOCKERFILE: Final = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
ENTRYPOINT: Final = ROOT / "deploy" / "entrypoint.sh"


def _known_variables() -> set[str]:
    """What .env.example names, and each as a file."""
    names = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    return {*names, *(f"{name}_FILE" for name in names)}


def test_everything_is_there() -> None:
    """Broker, store, proxy, simulator, provisioning and the four services."""
    assert set(SERVICES) == {"nats", "mongo", "caddy", "simulator", "provision", *OURS}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"provision"}))
def test_every_program_has_a_health_check(name: str) -> None:
    """What runs on says whether it is ready; ours by /readyz, which names each dependency."""
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(check)
    if name in OURS:
        assert "/readyz" in check["test"][-1]


@pytest.mark.parametrize("name", ["api", "gateway", "generator", "persister"])
def test_health_is_asked_where_the_service_listens(name: str) -> None:
    """The port of the check is the port of the settings."""
    port = next(v for k, v in SERVICES[name]["environment"].items() if k.endswith("_PORT"))
    assert f"http://127.0.0.1:{port}/readyz" in SERVICES[name]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_variables_of_our_services_are_known(name: str) -> None:
    """A service gets settings that exist, the proxy what its Caddyfile reads, an image what its entrypoint reads."""
    readers = {"caddy": ROOT / "deploy" / "Caddyfile"}
    text = readers.get(name, ENTRYPOINT).read_text(encoding="utf-8")
    for variable in SERVICES[name].get("environment", {}):
        assert (name in OURS and variable in _known_variables()) or variable in text, variable


def test_variables_of_the_environment_are_known() -> None:
    """Whatever the file takes from .env stands in .env.example."""
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    assert used
    assert used <= _known_variables()


@pytest.mark.parametrize("name", OURS)
def test_every_setting_reaches_its_container(name: str) -> None:
    """What an operator writes into .env is not silently ignored: containers get only what their environment names."""
    own = {"INKWIRE_JWT_KEYS", "INKWIRE_SIMULATED", "INKWIRE_GENERATOR_NAME", "INKWIRE_GATEWAY_WORKER"}  # see the file
    module = import_module(f"inkwire_{name}.settings")
    settings = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, ServiceSettings)]
    variables = {
        variable_name(cls, field, info)
        for cls in settings
        if cls.__module__ == module.__name__
        for field, info in cls.model_fields.items()
    }
    assert len(variables) > 10
    assert variables - own - set(SERVICES[name]["environment"]) == set()


def test_no_secret_is_in_the_file() -> None:
    """Keys and passwords come from the environment or from files, and go only to who needs them."""
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if value is None and not re.search(r"_KEYS?$|SECRET|PASSWORD|_TOKEN$", variable):
                continue  # passed on as it is in the environment: a number, not a secret
            if re.search(r"KEY|SECRET|PASSWORD|TOKEN", variable) and not variable.endswith(("_FILE", "_TOKENS")):
                # The api has the provider's key only where it embeds documents.
                guard = {"generator": r"\$\{[A-Z_]+:-\}", "api": r"\$\{INKWIRE_EMBEDDING_MODEL:\+\$\{[A-Z_]+:-\}\}"}
                assert re.fullmatch(guard[name], value), f"{name}: {variable}"
    assert not re.search(r"://[^/\s$]+:[^/\s$]+@", (ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["nats", "mongo", "caddy"])
def test_images_are_pinned(name: str) -> None:
    """No `latest`, no bare name."""
    assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", SERVICES[name]["image"])


def test_only_the_proxy_is_published_and_only_on_loopback() -> None:
    """Who can reach the page is signed in, so nobody else may reach it unasked."""
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"caddy"}
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["caddy"]["ports"])


def test_mounted_files_exist_and_volumes_are_named() -> None:
    """Data lies in named volumes, configuration in files of the checkout, read-only."""
    named: set[str] = set()
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).is_file()
                assert mount.endswith(":ro")
            else:
                named.add(source)
    assert named == set(COMPOSE["volumes"])


def test_packages_of_the_images_exist() -> None:
    """Each build argument is a member of the workspace, each command a module or program of it."""
    members = {
        line.split('"')[1]
        for pattern in ("libs/*", "services/*", "tests/openai_sim")
        for path in ROOT.glob(f"{pattern}/pyproject.toml")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("name = ")
    }
    for name, service in SERVICES.items():
        if "build" in service:
            package = service["build"]["args"]["PACKAGE"]
            assert package in members
            command = service["command"]
            assert package.replace("-", "_") in " ".join(command), name


def test_containers_have_few_rights() -> None:
    """Our programs run as nobody in particular, on a read-only file system."""
    assert re.search(r"^USER 10001", DOCKERFILE, re.MULTILINE)
    for name in (*OURS, "simulator", "provision"):
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_dockerfile_builds_on_old_builders_too() -> None:
    """No syntax line, no linked copies, no heredocs: they need an image from the network or a newer builder."""
    assert not re.search(r"^#\s*syntax\s*=", DOCKERFILE, re.MULTILINE)
    assert "--link" not in DOCKERFILE
    assert "--exclude" not in DOCKERFILE
    assert not re.search(r"^(RUN|COPY).*<<", DOCKERFILE, re.MULTILINE)
    required = re.search(r'required-version = "(==[0-9.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert required is not None
    assert f"uv{required[1]}" in DOCKERFILE


def test_image_holds_neither_data_nor_environment() -> None:
    """The build sees only what is named."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert all(not rule.startswith("!") or (ROOT / rule[1:]).exists() for rule in rules)
    assert not any("data" in rule or ".env" in rule for rule in rules)


def _entrypoint(**environment: str) -> dict[str, str]:
    shell = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(
        ["/bin/sh", str(ENTRYPOINT), "env"], env=shell, capture_output=True, text=True, timeout=10, check=True
    )  # fmt: skip
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def test_without_a_model_the_simulator_writes() -> None:
    """Nothing chosen: services are pointed at the simulator, and say so."""
    seen = _entrypoint(INKWIRE_SIMULATOR_URL="http://simulator/v1", INKWIRE_MODEL_CHOSEN="", OPENAI_API_KEY="")
    assert seen["OPENAI_BASE_URL"] == "http://simulator/v1"
    assert seen["INKWIRE_SIMULATED"] == "true"
    assert "INKWIRE_MODEL_CHOSEN" not in seen


def test_the_simulators_vectors_have_a_name_of_their_own() -> None:
    """So that a real model's vectors, later, are not compared with them."""
    chosen = {"INKWIRE_SIMULATOR_URL": "http://simulator/v1", "INKWIRE_EMBEDDING_MODEL": "embed-x"}
    assert _entrypoint(**chosen)["INKWIRE_EMBEDDING_MODEL"] == "simulated-embed-x"
    assert _entrypoint(**chosen, INKWIRE_MODEL_CHOSEN="yes")["INKWIRE_EMBEDDING_MODEL"] == "embed-x"


def test_a_key_is_enough_to_choose_the_real_model() -> None:
    """With a key alone the provider's own address is used, and the key never reaches the simulator."""
    seen = _entrypoint(
        INKWIRE_SIMULATOR_URL="http://simulator/v1", INKWIRE_MODEL_CHOSEN="yes", OPENAI_API_KEY="sk-x",
        OPENAI_BASE_URL="", OPENAI_MAX_TOKENS="",
    )  # fmt: skip
    assert seen["OPENAI_API_KEY"] == "sk-x"
    assert not {"OPENAI_BASE_URL", "OPENAI_MAX_TOKENS", "INKWIRE_SIMULATED", "INKWIRE_SIMULATOR_URL"} & set(seen)


def test_entrypoint_becomes_the_program() -> None:
    """Signals and exit codes are the program's own."""
    done = subprocess.run(
        ["/bin/sh", str(ENTRYPOINT), "sh", "-c", "exit 7"], env={"PATH": os.environ["PATH"]}, timeout=10
    )
    assert done.returncode == 7
