"""Table, dashboard, alarms and scrape configuration name the metrics that the gateway tells, and no others."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from inkwire_chassis.metrics import Family
from tests.unit.gateway.idle_gateway import IdleGateway

ROOT: Final = Path(__file__).resolve().parents[2]
PREFIX: Final = "inkwire_gateway_"
DASHBOARD: Final[dict[str, Any]] = json.loads((ROOT / "deploy/grafana/gateway.json").read_text(encoding="utf-8"))
RULES: Final[dict[str, Any]] = yaml.safe_load((ROOT / "deploy/prometheus-rules.yml").read_text(encoding="utf-8"))
SCRAPE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text(encoding="utf-8"))
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
EXPRESSIONS: Final = [
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
    *(rule["expr"] for group in RULES["groups"] for rule in group["rules"]),
]
UNITS: Final = {"seconds": "seconds", "bytes": "bytes"}


def _families() -> list[Family]:
    return list(IdleGateway().metrics.registry.collect())


def _told_name(family: Family) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _rows() -> dict[str, list[str]]:
    """Name -> the other cells of the documented table."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8").partition("## Metrics of the gateway")[2]
    rows = re.findall(r"^\| `([a-z_]+)` \|(.*)\|$", text.partition("\n## ")[0], re.MULTILINE)
    return {PREFIX + name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def test_the_table_has_every_metric() -> None:
    """Name and type of each row are the gateway's, and the unit is the one at the name's end."""
    told = {_told_name(f): f.type for f in _families() if f.name.startswith(PREFIX)}
    rows = _rows()
    assert {name: cells[0] for name, cells in rows.items()} == told
    for name, cells in rows.items():
        last = name.removesuffix("_total").rpartition("_")[2]
        assert cells[1] and cells[1] == UNITS.get(last, cells[1]), name


def test_the_process_is_in_the_text() -> None:
    """What has no prefix stands below the table."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    for family in _families():
        assert family.name.startswith(PREFIX) or f"`{_told_name(family)}`" in text, family.name


def _labels_by_sample() -> dict[str, set[str]]:
    known: dict[str, set[str]] = {}
    for family in _families():
        for sample in family.samples:
            known.setdefault(sample.name, {"instance", "job"}).update(sample.labels)
    for name in ("process_open_fds", "up"):  # counted only when somebody asks over HTTP; told by Prometheus itself
        known.setdefault(name, {"instance", "job"})
    return known


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_name_what_there_is(expression: str) -> None:
    """Every name in the dashboard and the alarms is a sample of the gateway, with the labels that are asked of it."""
    known = _labels_by_sample()
    used = re.findall(r"\b((?:inkwire|process)_\w+|up\b)(?:\{([^}]*)\})?", expression)
    assert used
    assert {name for name, _ in used} <= set(known)
    grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")}
    for name, matchers in used:
        assert set(re.findall(r"(\w+)=", matchers)) | grouped <= known[name], name
    assert expression.count("(") == expression.count(")")
    counters = [name for name, _ in used if name.endswith(("_total", "_bucket"))]
    assert len(counters) == len(re.findall(r"(?:rate|increase)\(", expression)), "a counter is only used as a rate"


def test_every_metric_is_watched() -> None:
    """What is told is drawn in some panel: each row of the table but those that only explain another one."""
    text = " ".join(EXPRESSIONS)
    unseen = {name for name in _rows() if not re.search(rf"\b{name}(_bucket)?\b", text)}
    assert unseen == {f"{PREFIX}nats_received_bytes_total"}


def test_every_alarm_with_a_number_is_a_rule() -> None:
    """What the table gives a number for needs no knowledge of what is usual, so Prometheus looks at it."""
    rules = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    numbered = {name for name, cells in _rows().items() if re.search(r"\d", cells[-1])}
    assert len(numbered) > 8
    assert {name for name in numbered if not re.search(rf"\b{name}(_bucket)?\b", " ".join(rules))} == set()


def test_a_gateway_that_is_gone_raises_an_alarm() -> None:
    """It has no metrics to tell that; its target does not answer."""
    (job,) = SCRAPE["scrape_configs"]
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    assert [rule["for"] for rule in rules if rule["expr"] == f'up{{job="{job["job_name"]}"}} == 0'] == ["1m"]


def test_gateways_of_compose_are_scraped_and_not_published() -> None:
    """The scrape's target is the gateway's admin port, which is open inside the network alone."""
    (job,) = SCRAPE["scrape_configs"]
    gateway = COMPOSE["services"]["gateway"]
    (target,) = job["static_configs"][0]["targets"]
    assert target == f"gateway:{gateway['environment']['INKWIRE_GATEWAY_ADMIN_PORT']}"
    assert "ports" not in gateway
    assert SCRAPE["rule_files"] == ["prometheus-rules.yml"]
    assert {job["job_name"]} == set(re.findall(r'job="([^"]+)"', " ".join(EXPRESSIONS)))


def test_admin_port_is_not_behind_the_proxy() -> None:
    """The proxy knows nothing of the admin port, nor of /metrics."""
    caddyfile = (ROOT / "deploy/Caddyfile").read_text(encoding="utf-8")
    assert "8086" not in caddyfile and "/metrics" not in caddyfile and "ADMIN" not in caddyfile


def test_panels_fit_on_the_board() -> None:
    """Panels have names and numbers of their own and do not lie over each other."""
    panels = DASHBOARD["panels"]
    assert len({p["id"] for p in panels}) == len({p["title"] for p in panels}) == len(panels)
    cells = [(p["gridPos"]["x"] // 8, p["gridPos"]["y"] // 7) for p in panels]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) == 2
