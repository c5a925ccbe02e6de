"""Every YAML that is shipped loads, and agrees with the schema that is shipped beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline.config import check_file, deployment_schema
from pipeline.core.extras import EXTRAS
from pipeline.sinks.base import SINKS
from pipeline.sources.base import SOURCES
from tests.requirements import require_module

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHIPPED = sorted(CONFIGS.glob("*.yaml"))
SCHEMA = CONFIGS / "deployment.schema.json"
ENVIRON = {"HOME_RTSP_URL": "rtsp://camera.example.org/live"}


def every_extra() -> None:
    for module in ("sounddevice", "paho", "serial", "httpx"):
        assert module in EXTRAS
        require_module(module)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    every_extra()
    return deployment_schema()


def test_there_are_examples() -> None:
    assert {file.stem for file in SHIPPED} >= {"demo", "home", "machine-room", "many-sites"}


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_each_file_loads(file: Path) -> None:
    every_extra()
    report = check_file(file, environ=ENVIRON)
    assert [str(problem) for problem in report.problems] == []
    known = ("there is no file", "there is no folder")
    assert [str(w) for w in report.warnings if not any(k in w.message for k in known)] == []


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_each_file_loads_with_everything_optional_switched_on(file: Path) -> None:
    every_extra()
    names = ("HOME_WEBHOOK", "ROOM_WEBHOOK", "SITES_WEBHOOK", "ROOM_PAGER")
    environ = ENVIRON | {f"{n}_URL": "https://example.org/x" for n in names}
    environ |= {f"{n}_SECRET": "0123456789" for n in names} | {"HOME_MQTT_ALERTS": "true"}
    report = check_file(file, environ=environ)
    assert [str(problem) for problem in report.problems] == []


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_each_file_agrees_with_the_schema_as_an_editor_sees_it(
    file: Path, schema: dict[str, Any]
) -> None:
    text = file.read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=./deployment.schema.json\n")
    validator = jsonschema.Draft202012Validator(schema)
    faults = [f"{e.json_path}: {e.message}" for e in validator.iter_errors(_as_editors_do(text))]
    assert faults == []


def test_the_shipped_schema_is_up_to_date(schema: dict[str, Any]) -> None:
    shipped = json.loads(SCHEMA.read_text("utf-8"))
    assert shipped == schema, "run: fusewatch config schema > configs/deployment.schema.json"


def test_every_kind_is_in_the_schema(schema: dict[str, Any]) -> None:
    text = json.dumps(schema)
    for family in (SOURCES, SINKS):
        for kind in family.kinds():
            assert f'"const": "{kind}"' in text


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"typo": 1}, "$"),
        ({"security": {"curve": "maybe"}}, "$.security.curve"),
        ({"fusion": {"threads": "many"}}, "$.fusion.threads"),
        ({"alert": {"sinks": [{"type": "nobody"}]}}, "$.alert.sinks[0]"),
        ({"alert": {"sinks": [{"path": "x"}]}}, "$.alert.sinks[0]"),
        ({"alert": {"sinks": [{"type": "jsonl", "port_file": "x"}]}}, "$.alert.sinks[0]"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(
    schema: dict[str, Any], change: dict[str, Any], path: str
) -> None:
    data = {**MINIMAL, **change}
    faults = list(jsonschema.Draft202012Validator(schema).iter_errors(data))
    assert [fault.json_path for fault in faults] == [path]


@pytest.mark.parametrize(
    "change",
    [
        {"fusion": {"threads": "${THREADS:-2}"}},
        {"security": {"curve": "${CURVE}"}},
        {"alert": {"sinks": [{"type": "webhook", "url_file": "x", "when": "${HOOK:-}"}]}},
        {"alert": {"sinks": [{"type": "webhook", "url": "x", "secret_file": "y"}]}},
    ],
)
def test_the_schema_takes_what_the_loader_takes(
    schema: dict[str, Any], change: dict[str, Any]
) -> None:
    jsonschema.Draft202012Validator(schema).validate({**MINIMAL, **change})


MINIMAL: dict[str, Any] = {
    "name": "a",
    "nodes": {"n": {"sources": [{"type": "csv_file", "path": "x.csv", "stream": "s"}]}},
    "scenes": {"s": {"streams": ["s"]}},
}


def _as_editors_do(text: str) -> Any:
    """Parse with the booleans of YAML 1.2, where ``on`` is text."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, rule) for tag, rule in rules if not tag.endswith((":bool", ":timestamp"))]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOLEAN, list("tf"))
    return yaml.load(text, Loader)


_BOOLEAN = re.compile("true|false")
