"""What `configs/deploy` ships is what the tools that read it accept, and names what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from nodes.alert_metrics import AlertMetrics
from nodes.alert_routing import AlertRouting
from nodes.capture_metrics import CaptureMetrics
from nodes.fusion_metrics import FusionMetrics
from nodes.health import new_registry
from nodes.holding import Holding
from nodes.refused_metrics import RefusedMetrics
from pipeline.core.clock import ManualClock
from pipeline.core.ledger import Ledger
from pipeline.sinks.outbox import OutboxDelivery
from pipeline.store import OutboxStore
from tests.requirements import require_command

HERE = Path(__file__).resolve()
DEPLOY = HERE.parents[2] / "configs" / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
NAME = re.compile(r"\b(?:fusewatch|process)_[a-z0-9_]+")
OF_HISTOGRAM = ("_bucket", "_count", "_sum")


def registries(folder: Path) -> Iterator[CollectorRegistry]:
    registry = new_registry()
    FusionMetrics(registry)
    yield registry
    registry = CollectorRegistry()
    CaptureMetrics(registry, Ledger())
    yield registry
    registry, store, clock = CollectorRegistry(), OutboxStore(folder / "alert.db"), ManualClock(0)
    delivery: OutboxDelivery[Any] = OutboxDelivery(store, {}, clock, rng=Random(1))
    routing = AlertRouting([], lambda _event: ())
    holding = Holding([], store)
    registry.register(AlertMetrics(store, delivery, dict, routing, holding, clock))
    registry.register(RefusedMetrics(dict))
    yield registry
    store.close()


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    found = set()
    for registry in registries(tmp_path_factory.mktemp("metrics")):
        for family in registry.collect():
            name = family.name
            found |= {
                "counter": {f"{name}_total"},
                "histogram": {name + end for end in OF_HISTOGRAM},
            }.get(family.type, {name})
    return found


def expressions() -> list[str]:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    return [rule["expr"] for rule in rules] + [one for _, one in shown()]


def shown() -> list[tuple[str, str]]:
    board = json.loads((DEPLOY / "grafana" / "fusewatch.json").read_text())
    return [(p["title"], t["expr"]) for p in board["panels"] for t in p["targets"]]


def promtool(*arguments: str, at: Path) -> None:
    require_command("promtool")
    said = ran(["promtool", *arguments], at)
    assert said.returncode == 0, said.stdout + said.stderr


def ran(command: list[str], at: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=at, capture_output=True, text=True, check=False)


def test_rules_and_panels_ask_for_metrics_that_there_are(known: set[str]) -> None:
    for expression in expressions():
        asked = set(NAME.findall(expression))
        assert asked <= known, expression
        assert asked or "up{" in expression


def test_prometheus_takes_its_files() -> None:
    promtool("check", "config", "prometheus.yml", at=RULES.parent)
    promtool("check", "rules", "rules.yml", at=RULES.parent)


def test_each_rule_is_silent_when_all_is_well_and_speaks_when_not(tmp_path: Path) -> None:
    for file in (RULES, HERE.with_name("prometheus_rules_test.yml")):
        shutil.copy(file, tmp_path)
    promtool("test", "rules", "prometheus_rules_test.yml", at=tmp_path)


def test_each_rule_is_tested_and_says_what_to_do() -> None:
    tested = HERE.with_name("prometheus_rules_test.yml").read_text()
    for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]:
        assert rule["alert"] in tested
        assert rule["annotations"].keys() == {"summary", "action"}
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_each_panel_asks_what_prometheus_understands(tmp_path: Path) -> None:
    asked = [
        {"record": f"panel:{n}", "expr": e.replace("$scene", ".*")}
        for n, (_, e) in enumerate(shown())
    ]
    rules = {"groups": [{"name": "panels", "rules": asked}]}
    (tmp_path / "panels.yml").write_text(yaml.safe_dump(rules))
    promtool("check", "rules", "panels.yml", at=tmp_path)


@pytest.mark.parametrize(
    ("unit", "drop_ins"),
    [
        ("fusewatch@.service", []),
        ("fusewatch@.service", ["capture-only.conf"]),
        ("fusewatch@.service", ["cluster-hub.conf"]),
        ("fusewatch-ray.service", []),
    ],
)
def test_systemd_takes_the_services(unit: str, drop_ins: list[str], tmp_path: Path) -> None:
    require_command("systemd-analyze")
    command = Path(sys.executable).with_name("fusewatch")
    beside = tmp_path / f"{unit}.d"
    beside.mkdir()
    for name, to in [(unit, tmp_path), *((drop_in, beside) for drop_in in drop_ins)]:
        text = (DEPLOY / "systemd" / name).read_text()
        (to / name).write_text(text.replace("/opt/fusewatch/bin", str(command.parent)))
    said = ran(["systemd-analyze", "verify", str(tmp_path / unit)], tmp_path)
    own = [line for line in said.stderr.splitlines() if "fusewatch" in line or "ray" in line]
    assert own == []


def test_who_joins_ray_shares_its_folder_of_sockets() -> None:
    ray = (DEPLOY / "systemd" / "fusewatch-ray.service").read_text()
    hub = (DEPLOY / "systemd" / "cluster-hub.conf").read_text()
    assert "PrivateTmp=yes" in ray
    assert "PrivateTmp=yes" in (DEPLOY / "systemd" / "fusewatch@.service").read_text()
    assert "JoinsNamespaceOf=fusewatch-ray.service" in hub


def test_the_service_starts_commands_that_there_are() -> None:
    for file in (
        "fusewatch@.service",
        "capture-only.conf",
        "without-capture.conf",
        "cluster-hub.conf",
    ):
        text = (DEPLOY / "systemd" / file).read_text()
        command = re.findall(r"^ExecStart=\S+/fusewatch (.*)$", text, re.MULTILINE)
        assert len(command) == 1
        verb, *rest = command[0].split()
        helped = ran([sys.executable, "-m", "nodes.cli", verb, "--help"], DEPLOY)
        assert helped.returncode == 0
        assert all(option in helped.stdout for option in rest if option.startswith("--"))
