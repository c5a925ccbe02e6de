"""``fusewatch commission --live``, as a user starts it and ends it by Ctrl-C.

The source is the synthetic site at a small size and five times real time, so that the test is
short; all else is what a user has.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nodes.commission import commission_scene
from pipeline.config import load_deployment
from pipeline.models.checkpoint import load_model
from pipeline.recording.reader import Recording

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

DEPLOYMENT = """
name: live-site
data: .
nodes:
  site:
    sources:
      - type: scene
        video: null
        audio_hz: 4000
        start: 2026-11-26T09:00:00Z
        speed: 5.0
scenes:
  site:
    streams: [site-microphone, site-sensors]
    model: site.model
    alarm: {budget: 60/hour}
"""
OPTIONS = ["--into", "normal.mcap", "--lengths", "0.6", "--timezone", "Europe/Berlin", "--json"]


def start(folder: Path) -> subprocess.Popen[str]:
    (folder / "site.yaml").write_text(DEPLOYMENT)
    command = [sys.executable, "-P", "-m", "nodes.cli", "commission", "--live", "site.yaml"]
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [*command, *OPTIONS], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=(folder / "log.txt").open("w"), start_new_session=True,
    )  # fmt: skip


def until(process: subprocess.Popen[str], event: str, log: Path) -> list[dict]:
    """Lines up to the first of a kind."""
    assert process.stdout is not None
    found = []
    for line in process.stdout:
        found.append(json.loads(line))
        if found[-1]["event"] == event:
            return found
    pytest.fail(f"no {event}: {found}\n{log.read_text()}")


def test_a_site_is_recorded_learnt_and_ended_by_hand(tmp_path: Path):
    process = start(tmp_path)
    log = tmp_path / "log.txt"
    begun = until(process, "look", log)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C reaches all of a terminal's processes
    rest = until(process, "model", log)
    assert process.wait(60) == 0, log.read_text()
    assert begun[0] == {
        "event": "begin",
        "scene": "site",
        "recording": "normal.mcap",
        "model": str(tmp_path / "site.model"),
        "budget": "60/hour",
        "at_most_s": 3600.0,
    }
    look, model = begun[-1], rest[-1]
    assert (look["normal_s"], look["standing"]) == (36.0, "unknown")
    assert next(one for one in rest if one["event"] == "ended")["why"] == "stopped"
    assert model["seen"].startswith("Thu 26 Nov 10:00 to 10:0")
    assert any("no weekend" in one for one in model["unseen"])
    assert [line.partition(":")[0] for line in sorted(model["streams"])] == [
        "site-microphone", "site-sensors",
    ]  # fmt: skip
    with Recording(tmp_path / "normal.mcap") as recording:
        assert recording.truncated is None
        assert set(recording.streams) == {"site-microphone", "site-sensors"}
    assert (tmp_path / "site-budget.png").exists()
    same_as_from_the_recording(tmp_path, model["windows"])


def same_as_from_the_recording(folder: Path, windows: int) -> None:
    """What was learnt on the way is what the recording gives."""
    deployment = load_deployment(folder / "site.yaml")
    again = folder / "again.model"
    report = commission_scene(deployment, "site", [folder / "normal.mcap"], again)
    assert report.windows == windows
    live, file = load_model(folder / "site.model"), load_model(again)
    np.testing.assert_array_equal(live.held.scores, file.held.scores)
