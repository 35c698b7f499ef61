"""The alarms are what Prometheus understands, and each is raised for what it is for and for nothing else."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.support.wait import scaled_s

DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy"
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


def test_prometheus_understands_them() -> None:
    """Rules and scrape configuration are valid, without a warning."""
    assert "SUCCESS" in _promtool("check", "rules", "--lint=all", "--lint-fatal", "prometheus-rules.yml")
    assert "SUCCESS" in _promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")


def test_alarms_are_raised_for_what_they_are_for() -> None:
    """Each case of prometheus-rules.test.yml."""
    assert "SUCCESS" in _promtool("test", "rules", "prometheus-rules.test.yml")
