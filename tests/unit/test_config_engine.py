"""The engine of a deployment: which groups its scenes make, and what is told of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import load, load_deployment
from pipeline.config.groups import group_of, groups_of, scenes_of_node
from pipeline.core.errors import ConfigError

SITE = """
name: site
nodes:
  a: {sources: [{type: csv_file, stream: a1, path: a}, {type: csv_file, stream: a2, path: a}]}
  b: {sources: [{type: csv_file, stream: b1, path: b}]}
  c: {sources: [{type: csv_file, stream: c1, path: c}]}
  d: {sources: [{type: csv_file, stream: d1, path: d}]}
scenes:
  hall: {streams: [a1]}
  yard: {streams: [a2, b1]}
  shed: {streams: [c1]}
  gate: {streams: [d1]}
incidents: {groups: []}
fusion: {store: postgresql+psycopg://u@h/d}
"""
DIRECTORY = "directory: [tcp://127.0.0.1:7712]"


def written(folder: Path, engine: str, text: str = SITE) -> Path:
    (folder / "d.yaml").write_text(f"{text}engine: {{{engine}}}\n")
    return folder / "d.yaml"


def problems(folder: Path, engine: str, text: str = SITE) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_deployment(written(folder, engine, text))
    return list(caught.value.problems)


def test_the_engine_is_local_unless_said_otherwise(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(SITE)
    assert not load_deployment(tmp_path / "d.yaml").engine.is_ray


def test_scenes_that_share_a_capture_node_are_one_group(tmp_path: Path) -> None:
    deployment = load_deployment(written(tmp_path, f"kind: ray, {DIRECTORY}"))
    found = {"hall": ("hall", "yard"), "shed": ("shed",), "gate": ("gate",)}
    assert groups_of(deployment) == found
    assert scenes_of_node(deployment, "a") == ("hall", "yard")
    assert scenes_of_node(deployment, "nobody") == ()
    with pytest.raises(ConfigError, match="no group 'attic'"):
        group_of(deployment, "attic")


def test_scenes_are_dealt_to_so_many_groups(tmp_path: Path) -> None:
    deployment = load_deployment(written(tmp_path, f"kind: ray, {DIRECTORY}, group_count: 2"))
    assert groups_of(deployment) == {"group-1": ("hall", "yard"), "group-2": ("shed", "gate")}


def test_groups_are_as_they_are_named(tmp_path: Path) -> None:
    engine = f"kind: ray, {DIRECTORY}, groups: {{one: [hall, yard, gate], two: [shed]}}"
    deployment = load_deployment(written(tmp_path, engine))
    assert groups_of(deployment) == {"one": ("hall", "yard", "gate"), "two": ("shed",)}


def test_a_capture_node_cannot_send_to_two_workers(tmp_path: Path) -> None:
    engine = f"kind: ray, {DIRECTORY}, groups: {{one: [hall, gate], two: [shed, yard]}}"
    (told,) = problems(tmp_path, engine)
    assert told.startswith("d.yaml:15: engine.groups.two: node 'a' would have to send to several")
    assert "'hall' is in 'one', 'yard' is in 'two'" in told


def test_unknown_missing_and_doubled_scenes_are_told(tmp_path: Path) -> None:
    engine = f"kind: ray, {DIRECTORY}, groups: {{one: [hall, yard, hal], two: [hall], no: []}}"
    told = "\n".join(problems(tmp_path, engine))
    assert "engine.groups.one[2]: there is no scene 'hal'; did you mean 'hall'?" in told
    assert "engine.groups.two[0]: scene 'hall' is in 'one' already" in told
    assert "engine.groups: scene 'gate' is in no group" in told
    assert "engine.groups.no: has no scene" in told


def test_a_cluster_needs_a_shared_store_and_a_directory(tmp_path: Path) -> None:
    without = SITE.replace("fusion: {store: postgresql+psycopg://u@h/d}\n", "")
    told = problems(tmp_path, "kind: ray", without)
    assert any("d.yaml:14: engine.kind: workers of a cluster need a database" in t for t in told)
    assert any("engine.directory: missing: capture nodes must know" in t for t in told)


@pytest.mark.parametrize("address", ["tcp://*:7712", "ipc://directory", "7712"])
def test_a_directory_must_be_reachable(tmp_path: Path, address: str) -> None:
    (told,) = problems(tmp_path, f"kind: ray, directory: ['{address}']")
    assert "engine.directory[0]" in told


def test_workers_must_be_reachable_from_where_the_directory_is(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, "kind: ray, directory: ['tcp://hub.example.org:7712']")
    assert "fusion.listen: workers that listen as tcp://127.0.0.1:7710 are reached from" in told


def test_what_works_in_part_only_is_a_warning(tmp_path: Path) -> None:
    text = SITE.replace("incidents: {groups: []}\n", "dashboard: {}\n")
    text = text.replace("postgresql+psycopg://u@h/d", "sqlite:///s.db")
    told = [str(w) for w in load(written(tmp_path, f"kind: ray, {DIRECTORY}", text)).warnings]
    assert any("told apart, not as one incident" in warning for warning in told)
    assert any("the page of a cluster shows no evidence" in warning for warning in told)
    assert any("by the processes of one machine only" in warning for warning in told)


def test_an_unknown_key_of_the_engine_is_told_with_its_line(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, "kind: ray, direktory: []")
    assert told == "d.yaml:15: engine.direktory: unknown key; did you mean 'directory'?"
