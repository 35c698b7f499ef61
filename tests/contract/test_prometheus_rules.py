"""The alarms are what Prometheus understands, and each is raised for what it is for and for nothing else."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from inkwire_gateway.adapters.workers import _environment
from inkwire_gateway.settings import Settings
from tests.support.wait import scaled_s

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
TIMEOUT_S: Final = 60.0


def _promtool(*arguments: str) -> str:
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("no promtool on PATH; the alarms were not run here")
    done = subprocess.run(
        [path, *arguments], cwd=DEPLOY, capture_output=True, encoding="utf-8", timeout=scaled_s(TIMEOUT_S), check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    return found


def test_each_alarm_has_a_case_that_raises_it_and_one_that_does_not() -> None:
    """Beside the instance that is alarmed there is another with the same series that is not."""
    rules = [rule["alert"] for group in _read("prometheus-rules.yml")["groups"] for rule in group["rules"]]
    raised: dict[str, set[str]] = {}
    for case in _read("prometheus-rules.test.yml")["tests"]:
        there = set(re.findall(r'instance="(\w+)"', " ".join(row["series"] for row in case["input_series"])))
        for check in case["alert_rule_test"]:
            alarmed = {alert["exp_labels"]["instance"] for alert in check["exp_alerts"]}
            raised.setdefault(check["alertname"], set()).update(alarmed)
            assert alarmed < there, check["alertname"]
    assert set(raised) == set(rules) and all(raised.values())


def _scraped(configuration: dict[str, Any]) -> list[str]:
    (job,) = configuration["scrape_configs"]
    (targets,) = (entry["targets"] for entry in job["static_configs"])
    found: list[str] = targets
    return found


def _worker_targets(count: int) -> list[str]:
    """Where so many workers of docker-compose.yml answer, as the gateway's parent would tell them."""
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["gateway"]
    first = Settings(jwt_keys=f"k1:{'k' * 40}", admin_port=service["environment"]["INKWIRE_GATEWAY_ADMIN_PORT"])
    told = (_environment(worker, first, first.port, "shared") for worker in range(1, count + 1))
    return [f"gateway:{environment['INKWIRE_GATEWAY_ADMIN_PORT']}" for environment in told]


def test_every_worker_is_scraped() -> None:
    """The configuration names the worker that docker-compose.yml starts, and the manual's those of three."""
    assert _scraped(_read("prometheus.yml")) == _worker_targets(1)
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert "INKWIRE_GATEWAY_WORKERS: ${INKWIRE_GATEWAY_WORKERS:-1}" in compose, "one unless it is set"
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"`INKWIRE_GATEWAY_WORKERS=3` write.*?```yaml\n(scrape_configs:.*?)```", manual, re.DOTALL)
    assert _scraped(yaml.safe_load(example)) == _worker_targets(3)


def test_prometheus_understands_them() -> None:
    """Rules and scrape configuration are valid, without a warning."""
    assert "SUCCESS" in _promtool("check", "rules", "--lint=all", "--lint-fatal", "prometheus-rules.yml")
    assert "SUCCESS" in _promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")


def test_alarms_are_raised_for_what_they_are_for() -> None:
    """Each case of prometheus-rules.test.yml."""
    assert "SUCCESS" in _promtool("test", "rules", "prometheus-rules.test.yml")
