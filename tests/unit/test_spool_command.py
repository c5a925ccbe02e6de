from __future__ import annotations

import json
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from nodes.capture_metrics import CaptureMetrics
from nodes.lock import hold
from nodes.spool_choice import after_s, spool_settings
from nodes.spool_choice import open_spool as open_plan
from pipeline.config import load_deployment
from pipeline.core.clock import NodeClock
from pipeline.core.errors import ConfigError
from pipeline.core.ledger import Ledger
from pipeline.transport.sender_session import LinkState
from pipeline.transport.sender_status import SenderStatus
from pipeline.transport.spool_settings import SpoolSettings
from tests.command_line import fusewatch
from tests.spool_samples import SECOND_NS, Writer, open_spool

DEPLOYMENT = """
name: site
nodes:
  cell:
    sources:
      - {type: csv_file, stream: vib, path: vib.csv}
    spool: {max_mb: 4}
  hall:
    sources:
      - {type: csv_file, stream: hum, path: hum.csv}
scenes:
  press: {streams: [vib, hum]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(DEPLOYMENT)
    return path


def fill(config: Path) -> Path:
    """Five readings in the spool of the node; the file they are in."""
    folder = config.parent / "data" / "spool" / "cell"
    spool = open_spool(folder)
    Writer(spool).write(5, now_ns=1_700_000_000 * SECOND_NS)
    spool.close()
    (path,) = folder.glob("*.spool")
    return path


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data[:-3])


def test_show_tells_what_waits_of_each_stream(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fill(config)
    assert fusewatch("spool", "show", config, "--json") == 0
    cell, hall = json.loads(capsys.readouterr().out)
    (line,) = cell["streams"]
    assert (line["stream"], line["samples"]) == ("vib", 5)
    assert 5 * 24 < line["size"] < path.stat().st_size
    assert line["oldest"] == "2023-11-14 22:13:20"
    assert (hall["node"], hall["streams"], hall["segments"]) == ("hall", [], 0)
    assert fusewatch("spool", "show", config) == 0
    assert "vib" in capsys.readouterr().out


def test_show_says_when_there_is_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fusewatch("spool", "show", config, "--node", "hall") == 0
    assert "the spool is empty" in capsys.readouterr().out


def test_check_finds_damage_and_leaves_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fill(config)
    assert fusewatch("spool", "check", config) == 0
    spoil(path)
    before = path.read_bytes()
    assert fusewatch("spool", "check", config) == 1
    said = capsys.readouterr().out
    assert "cell: 1 file, 2 damaged parts" in said
    assert "torn tail" in said
    assert path.read_bytes() == before


def test_repair_mends_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fill(config)
    spoil(path)
    assert fusewatch("spool", "repair", config) == 0
    assert "cell: 2 damaged parts repaired" in capsys.readouterr().out
    (rotten,) = (path.parent / "quarantine").iterdir()
    for kept in (path, rotten, rotten.parent):
        assert kept.stat().st_mode & 0o077 == 0
    assert fusewatch("spool", "check", config) == 0


def test_repair_refuses_while_the_node_runs(config: Path) -> None:
    path = fill(config)
    spoil(path)
    before = path.read_bytes()
    with hold(config.parent / "data", "capture-cell"):
        assert fusewatch("spool", "repair", config) == 69
    assert path.read_bytes() == before


def test_an_unknown_node_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fusewatch("spool", "show", config, "--node", "attic") == 78
    assert "write one of: cell, hall" in capsys.readouterr().err


LOCAL, REMOTE = "tcp://127.0.0.1:7710", "tcp://10.0.0.7:7710"


def test_a_node_has_a_spool_if_its_deployment_says_so(config: Path) -> None:
    deployment = load_deployment(config)
    assert open_plan(deployment, "hall", LOCAL, NodeClock()) is None
    plan = open_plan(deployment, "cell", LOCAL, NodeClock())
    assert plan is not None
    assert (plan.after_ns, plan.order) == (9.5 * SECOND_NS, "oldest_first")
    assert plan.base is not None
    assert (config.parent / "data" / "spool" / "cell").is_dir()
    plan.spool.close()


def test_with_a_line_to_another_machine_a_node_has_a_spool_unless_it_is_forbidden(
    config: Path,
) -> None:
    assert spool_settings(load_deployment(config), "hall", REMOTE) == SpoolSettings()
    config.write_text(DEPLOYMENT.replace("{max_mb: 4}", "{enabled: false}"))
    deployment = load_deployment(config)
    assert spool_settings(deployment, "cell", REMOTE) is None
    assert open_plan(deployment, "cell", REMOTE, NodeClock()) is None


def test_samples_are_not_written_before_the_slowest_scene_could_commit_them(config: Path) -> None:
    config.write_text(DEPLOYMENT.replace("[vib, hum]", "[vib, hum], window_s: 20, latency_s: 5"))
    deployment = load_deployment(config)
    assert after_s(deployment, SpoolSettings()) == 20 + 0.5 + 5 + 4 + 2
    assert after_s(deployment, SpoolSettings(after_s=1)) == 1


def test_a_folder_that_cannot_be_made_leaves_the_node_without_a_spool(config: Path) -> None:
    (config.parent / "data").write_text("a file where the folder should be")
    assert open_plan(load_deployment(config), "cell", LOCAL, NodeClock()) is None


def test_what_the_spool_does_is_in_the_metrics_of_its_node() -> None:
    registry = CollectorRegistry()
    metrics = CaptureMetrics(registry, Ledger())
    counters = {"spool_written": 7, "spool_damaged": 1, "connections": 3}
    metrics.link(SenderStatus(LinkState.READY, "", 0, 0, False, counters), None)
    assert registry.get_sample_value("fusewatch_spool", {"what": "written"}) == 7
    assert registry.get_sample_value("fusewatch_spool", {"what": "damaged"}) == 1
    assert registry.get_sample_value("fusewatch_spool", {"what": "connections"}) is None


def test_two_nodes_cannot_share_a_folder(config: Path) -> None:
    shared = DEPLOYMENT.replace("max_mb: 4", "folder: here").replace(
        "path: hum.csv}", "path: hum.csv}\n    spool: {folder: here}"
    )
    config.write_text(shared)
    with pytest.raises(ConfigError) as error:
        load_deployment(config)
    assert "two nodes have one spool folder" in "".join(error.value.problems)


def test_what_is_new_needs_time_to_be_sent_before_it_is_late() -> None:
    with pytest.raises(ValidationError, match="after_s of at least 1"):
        SpoolSettings(order="live_first", after_s=0.5)
    assert SpoolSettings(order="oldest_first", after_s=0).after_s == 0
