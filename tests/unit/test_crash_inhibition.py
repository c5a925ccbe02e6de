"""A fusion node killed anywhere holds back the same events, for the same cause, and no other."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import structlog

from nodes.replay import replay
from pipeline.config import load_deployment
from pipeline.core.event import from_json
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from tests.crash.kills import Kills
from tests.crash.link import CaptureNode
from tests.crash.world import Turn, World

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND
HZ, SECONDS, GONE_S = 2, 14, (3.0, 8.0)
NODES = {"gate": ("a", "c"), "post": ("b",)}
KILLS = range(100, 800, 173)
SIGHT = "sight: {after_s: 2, clear_after_s: 1, startup_s: 4}"
DEPLOYMENT = f"""
name: rooms
nodes:
  gate:
    sources:
      - {{type: csv_file, stream: a, path: a.csv}}
      - {{type: csv_file, stream: c, path: c.csv}}
  post: {{sources: [{{type: csv_file, stream: b, path: b.csv}}]}}
scenes:
  lane: {{streams: [a, b], idle_s: 1, {SIGHT}}}
  room: {{streams: [a, c, b], idle_s: 1, {SIGHT}}}
fusion: {{record: {{folder: kept}}}}
alert: {{sinks: [{{type: jsonl, path: out.jsonl}}]}}
"""


def rooms(folder: Path) -> World:
    """Two scenes, one of which has one stream of the node that will be gone."""
    folder.mkdir()
    (folder / "d.yaml").write_text(DEPLOYMENT)
    nodes = {
        node: CaptureNode(
            node, [StreamInfo(s, Modality.SENSOR, float(HZ), (1,), stamp="exact") for s in streams]
        )
        for node, streams in NODES.items()
    }
    return World(load_deployment(folder / "d.yaml"), nodes)


def script() -> list[Turn]:
    turns = []
    for place in range(SECONDS * HZ):
        gone = GONE_S[0] <= place / HZ < GONE_S[1]
        at_ns = START_NS + place * SECOND // HZ
        samples = {
            node: [Sample(s, 0, at_ns, np.array([0.5]), Encoding.FLOAT) for s in streams]
            for node, streams in NODES.items()
            if node == "post" or not gone
        }
        turns.append(Turn(at_ns + 20_000_000, samples))
    return turns


def told(folder: Path, kills: Kills) -> dict[tuple[str, str, str], tuple[str, str]]:
    """Of each phase the alarms that it follows from, and that is the first of its incident."""
    world = rooms(folder)
    world.run(script(), kills)
    events = [json.loads(body) for body in world.alert.bodies.values()]
    alarms = {event["id"]: event["alarm"] for event in events} | {"": ""}
    return {
        (e["scene"], e["alarm"], e["phase"]): (alarms[e["cause"]], alarms[e["incident"]])
        for e in events
    }


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def test_killed_anywhere_it_withholds_what_it_withholds_undisturbed(tmp_path: Path) -> None:
    kills = Kills()
    expected = told(tmp_path / "whole", kills)
    assert expected == {
        ("room", "node:gate", "raised"): ("", "sight:a"),
        ("room", "node:gate", "cleared"): ("", "sight:a"),
        ("lane", "sight:a", "raised"): ("node:gate", ""),
        ("lane", "sight:a", "cleared"): ("node:gate", "sight:a"),
    }
    assert "sql INSERT fusion_held" in kills.passed
    held = {n for n, name in enumerate(kills.passed) if "INSERT fusion_held" in name}
    for at in sorted(held | {n + 1 for n in held} | set(KILLS)):
        assert told(tmp_path / str(at), Kills([at])) == expected, kills.passed[at]


def test_a_replay_finds_the_same_incident(tmp_path: Path) -> None:
    world = rooms(tmp_path / "rooms")
    live = [from_json(body) for body in world.run(script(), Kills()).events]
    files = sorted((tmp_path / "rooms" / "kept").glob("*.mcap"))
    again = replay(files, world.deployment).events
    found = [(event.key, event.incident, event.scenes) for event in again]
    assert found == [(event.key, event.incident, event.scenes) for event in live]
    assert found[-1][2] == ("lane", "room")
