"""A fusion node killed anywhere tells what an undisturbed one tells, and scores what it scores."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random
from unittest.mock import patch

import av
import pytest
import structlog
import torch

from nodes.places import evidence_folder, fusion_store
from nodes.replay import replay
from pipeline.core.event import from_json
from pipeline.models.settings import DetectorSettings
from pipeline.recording import Recording
from pipeline.store.evidence_manifest import MANIFEST, Standing
from tests.crash import hall
from tests.crash.child import evidence_names
from tests.crash.kills import WATCHED, Kills
from tests.crash.room import room, script
from tests.crash.world import Told, World, plain

STRIDE = 48
"""Kills in one run are so many steps apart; in one run after the other each step has its turn."""

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Told, list[str]]:
    kills = Kills()
    world = room(tmp_path_factory.mktemp("room") / "data")
    return world.run(script(), kills), kills.passed


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hall.model_file(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def hall_world(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Told, int]:
    kills = Kills()
    world = hall.hall(tmp_path_factory.mktemp("hall"), model)
    return world, world.run(hall.script(), kills), len(kills.passed)


@pytest.fixture(scope="module")
def whole_hall(hall_world: tuple[World, Told, int]) -> tuple[Told, int]:
    return hall_world[1:]


def test_the_run_that_is_killed_raises_updates_and_clears_and_passes_every_step(
    undisturbed: tuple[Told, list[str]],
) -> None:
    told, passed = undisturbed
    phases = [json.loads(event)["phase"] for event in told.events]
    assert {phase: phases.count(phase) for phase in ("raised", "cleared")} == {
        "raised": 2,
        "cleared": 2,
    }
    assert phases.count("updated") >= 2
    steps = {f"{kind}.{method}" for kind, methods in WATCHED.items() for method in methods}
    assert steps <= set(passed)
    tables = ("scenes", "scoring", "sight", "evidence", "hops", "resume", "events", "seals")
    assert {f"sql INSERT fusion_{table}" for table in tables} <= set(passed)
    files = [one for found in told.evidence.values() for one in found]
    assert {one.name for one in files} == {"manifest.json", "event.mcap"}
    assert {one.standing for one in files} == {Standing.GOOD}


def test_where_a_scene_stands_is_committed_with_the_hop_it_counts_by(
    hall_world: tuple[World, Told, int],
) -> None:
    deployment = hall_world[0].deployment
    with closing(fusion_store(deployment, create=False)) as store:
        places = [store.checkpoint(scene) for scene in deployment.scenes]
    hops_s = [place.hop_ns / 1e9 for place in places if place is not None]
    assert hops_s == [scene.hop_s for scene in deployment.scenes.values()]


@pytest.mark.parametrize("quarter", range(4))
def test_killed_at_every_step_it_tells_and_scores_the_same(
    quarter: int, undisturbed: tuple[Told, list[str]], tmp_path: Path
) -> None:
    told, passed = undisturbed
    for first in range(quarter, STRIDE, 4):
        at = range(first, len(passed), STRIDE)
        world = room(tmp_path / "data")
        assert world.run(script(), Kills(at)) == told, f"killed at {list(at)}"
        assert world.lives == len(at) + 1
        assert not world.differing
        shutil.rmtree(tmp_path / "data")


def test_while_it_is_away_the_capture_nodes_go_on_and_nothing_changes(
    undisturbed: tuple[Told, list[str]], tmp_path: Path
) -> None:
    told, passed = undisturbed
    for at in range(5, len(passed), 43):
        world = room(tmp_path / "data")
        assert world.run(script(), Kills({at}), down_turns=4) == told, f"killed at {at}"
        shutil.rmtree(tmp_path / "data")


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_after_minutes_away_no_node_is_late_because_another_delivers_all_of_them_first(
    order: tuple[str, str], tmp_path: Path
) -> None:
    turns = script(seconds=150.0)
    told = room(tmp_path / "whole").run(turns, Kills())
    world = room(tmp_path / "away")
    world.nodes = {name: world.nodes[name] for name in order}
    assert world.run(turns, Kills({40}), down_turns=260) == told
    assert world.lives == 2
    assert not world.differing


@pytest.mark.parametrize("seed", range(2))
def test_with_the_real_model_killed_often_it_tells_and_scores_the_same(
    seed: int, model: Path, whole_hall: tuple[Told, int], tmp_path: Path
) -> None:
    told, steps = whole_hall
    rng = Random(seed)
    at = {rng.randrange(steps) for _ in range(6)}
    world = hall.hall(tmp_path, model)
    if seed:
        world.nodes = dict(reversed(world.nodes.items()))
    assert world.run(hall.script(), Kills(at), down_turns=seed) == told, f"killed at {sorted(at)}"
    assert world.lives > 4
    assert not world.differing


def test_killed_often_while_full_pictures_are_fetched_it_tells_the_same_and_shows_all_it_names(
    model: Path, whole_hall: tuple[Told, int], tmp_path: Path
) -> None:
    told, steps = whole_hall
    rng = Random(5)
    at = {rng.randrange(steps) for _ in range(5)}
    world = hall.hall(tmp_path, model, full=hall.full_ring())
    again = world.run(hall.script(), Kills(at))
    assert (again.events, again.handed_on, again.scores) == (
        told.events,
        told.handed_on,
        told.scores,
    ), f"killed at {sorted(at)}"
    assert world.lives > 4
    folder = tmp_path / "data" / "evidence"
    named = {name for event in told.events for name in evidence_names(event)}
    for name in named:
        assert (folder / name).exists(), name
    assert not list(folder.rglob(".*")), "nothing half done is left"
    for files in again.evidence.values():
        assert "pictures.json" in {file.name for file in files}
        assert {file.standing for file in files} == {Standing.GOOD}
    clips = [folder / name for name in named if name.endswith("clip.mp4")]
    assert clips
    for clip in clips:
        with av.open(str(clip)) as frames:
            assert {(f.height, f.width) for f in frames.decode(video=0)} == {(120, 200)}


@pytest.mark.parametrize(("parts", "down_turns"), [((5, 2), 0), ((12,), 64)])
def test_the_recordings_of_a_killed_run_replay_to_its_events(
    parts: tuple[int, ...],
    down_turns: int,
    model: Path,
    whole_hall: tuple[Told, int],
    tmp_path: Path,
) -> None:
    told, steps = whole_hall
    world = hall.hall(tmp_path, model, record=True)
    kills = Kills({steps // part for part in parts})
    assert world.run(hall.script(), kills, down_turns) == told
    recordings = sorted((tmp_path / "recordings").glob("*.mcap"))
    assert len(recordings) == len(parts) + 1
    again = replay(recordings, world.deployment)
    assert [plain(event) for event in again.events] == told.events


def test_killed_while_it_cannot_keep_up_its_recordings_replay_to_what_it_told(
    model: Path, whole_hall: tuple[Told, int], tmp_path: Path
) -> None:
    """How wide the hop is follows from the load: here from the time, so it differs by the kills."""

    def look(_self: object, now_ns: int, _lags: object, times: dict[str, int]) -> dict[str, int]:
        at_s = (now_ns - hall.START_NS) / hall.SECOND
        wanted = 2 if 5 <= at_s < 9 else 4 if 9 <= at_s < 18 else 1
        return {"hall": wanted} if times["hall"] != wanted else {}

    steps = whole_hall[1]
    world = hall.hall(tmp_path, model, record=True)
    with patch("nodes.keeping_up.Overload.look", look):
        kills = Kills({steps // 8, steps // 5, steps // 3, steps // 2})
        told = world.run(hall.script(), kills)
    events = [from_json(event) for event in told.events]
    assert {event.widened for event in events if event.alarm == "anomaly"} & {2, 4}
    assert [e.widened for e in events if e.alarm == "overload"] == [2, 4, 1]
    assert {score.hops for score in told.scores.values()} >= {1, 2, 4}
    assert not world.differing
    again = replay(sorted((tmp_path / "recordings").glob("*.mcap")), world.deployment)
    assert [plain(event) for event in again.events] == told.events


def test_the_recording_of_an_event_alone_replays_to_its_phases_and_its_scores(
    hall_world: tuple[World, Told, int],
) -> None:
    world, told, _ = hall_world
    (file,) = evidence_folder(world.deployment).glob("*/event.mcap")
    again = replay([file], world.deployment)
    phases = [event for event in told.events if not from_json(event).health]
    assert len(phases) > 2
    assert [plain(event) for event in again.events] == phases
    with Recording(file) as recording:
        kept = {score.index: score.p for score in recording.scores()}
        assert [plain(event) for _, event in recording.events()] == phases
    replayed = {score.index: score.p for score in again.scores}
    row = min(replayed) + DetectorSettings().lasting_windows - 1  # the first that has one before it
    both = {index for index in kept.keys() & replayed.keys() if index >= row}
    assert len(both) >= 12
    assert {i: kept[i] for i in both} == {i: replayed[i] for i in both}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_real_sigkill_leaves_no_half_written_evidence_and_the_same_events(
    model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.crash.child", str(tmp_path), str(model)]
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=160, check=False
    )
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    *killed, last = lines
    assert [name for name in last["whole"] if Path(name).name != MANIFEST] == last["named"]
    assert len(killed) == 3
    for result in killed:
        assert result["signal"] == 9, result
        assert result["same"], result
        assert result["evidence"] == last["whole"], result
