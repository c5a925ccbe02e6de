"""Which processes `fusewatch run` starts on one machine of several."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.run import children
from pipeline.config import load_deployment
from tests.command_line import fusewatch

TWO = """\
name: home
dashboard: {}
nodes:
  pi:
    fusion: tcp://127.0.0.1:7710
    sources: [{type: csv_file, stream: far, path: x.csv}]
  server:
    sources: [{type: csv_file, stream: near, path: y.csv}]
scenes:
  hall: {streams: [far, near], model: hall.model}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "home.yaml"
    file.write_text(TWO)
    return file


@pytest.mark.parametrize(
    ("nodes", "captures"),
    [(None, ["capture-pi", "capture-server"]), (["server"], ["capture-server"]), ((), [])],
)
def test_capture_nodes_of_other_machines_are_left_to_them(
    config: Path, nodes: list[str] | None, captures: list[str]
) -> None:
    started = children(config, load_deployment(config), nodes=nodes)
    assert [child.name for child in started] == [*captures, "fusion", "alert", "dashboard"]


def test_the_fusion_node_is_told_that_there_is_no_model_yet(config: Path) -> None:
    for without in (False, True):
        started = children(config, load_deployment(config), nodes=(), without_model=without)
        fusion = next(child for child in started if child.name == "fusion")
        assert ("--without-model" in fusion.command) is without


def test_a_node_that_is_not_in_the_file_is_said(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fusewatch("run", config, "--node", "pie", "--without-model") == 78
    assert "write one of: pi, server" in capsys.readouterr().err
    assert fusewatch("run", config, "--node", "pi", "--no-capture") == 64
    assert fusewatch("run", config, "--node", "pi") == 78
    assert "hall.model" in capsys.readouterr().err
