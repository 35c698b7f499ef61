"""The example of three brokers: the server reads its configuration, and every service is told all of them."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from inkwire_chassis.nats_servers import server_list
from tests.support.nats_server import nats_server_binary
from tests.support.report import RunReport, Unavailable

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "nats-cluster"
NODES = ["nats-1", "nats-2", "nats-3"]


def services(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["services"]
    return found


@pytest.mark.parametrize("name", NODES)
def test_the_server_reads_its_configuration(name: str, run_report: RunReport) -> None:
    """nats-server's own check passes for each of the three names, and fails without one."""
    try:
        binary = nats_server_binary()
    except Unavailable as error:
        run_report.missing("nats", str(error))
    check = [binary, "-t", "-c", str(FOLDER / "nats.conf")]
    environment = {"PATH": os.environ["PATH"]}
    named = subprocess.run(check, env={**environment, "NATS_NAME": name}, capture_output=True, timeout=30, check=False)
    assert named.returncode == 0, named.stderr
    assert subprocess.run(check, env=environment, capture_output=True, timeout=30, check=False).returncode != 0


def test_every_service_is_told_all_servers() -> None:
    """Whatever has the one broker's address in docker-compose.yml has three here, and three copies are asked for."""
    usual, cluster = services(ROOT / "docker-compose.yml"), services(FOLDER / "compose.yml")
    told = {
        name
        for name, service in usual.items()
        if "INKWIRE_NATS_URL" in service.get("environment", {}) or "nats://" in str(service.get("command", ""))
    }
    assert told == {"api", "gateway", "generator", "persister", "provision"}
    for name in told:
        servers = server_list(cluster[name]["environment"]["INKWIRE_NATS_URL"])
        assert servers == [f"nats://{node}:4222" for node in NODES]
    command = cluster["provision"]["command"]
    assert command[command.index("--replicas") + 1] == "3" and "--nats-url" not in command


def test_each_broker_has_its_own_name_and_volume() -> None:
    """Two servers of one name or one folder would destroy each other's state."""
    brokers = [service for service in services(FOLDER / "compose.yml").values() if "image" in service]
    assert [broker["environment"]["NATS_NAME"] for broker in brokers] == NODES
    assert len({broker["volumes"][-1] for broker in brokers}) == len(NODES)
    used = services(ROOT / "docker-compose.yml")["nats"]["image"]
    assert {broker["image"] for broker in brokers} == {used}
