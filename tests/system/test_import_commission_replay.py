"""Files that were made elsewhere, imported, learnt from and watched, all by the command line.

What the real recordings can and cannot show: the longest footage at hand lasts 80 s and the
ambience two minutes, so both are played over and over, each time in slightly other light.
Three rounds are commissioned, the fourth is watched with an object, a sound and a sensor fault
put in. The pump's readings never repeat. So this shows that what is put in is found among real
pictures, sounds and readings, and at the right time; it does not show how well a person never
seen before is told from an anomaly: eighty seconds cannot teach that.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes.demo import read_events
from nodes.demo_report import TOLERANCE_S, Match, final_events, match
from nodes.shipped import shipped_config
from pipeline.core.event import Event, Phase
from pipeline.core.timestamps import iso_ns
from tests.command_line import fusewatch
from tests.imported_site import SiteFiles, made_site, real_site
from tests.requirements import shared_data

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

START = "2024-05-01T08:00:00Z"
CONFIG = shipped_config("imported.yaml")


@dataclass(frozen=True, slots=True)
class Way:
    """The whole way that some files went.

    Attributes:
        files: What went in.
        folder: Where everything that came out lies.
    """

    files: SiteFiles
    folder: Path

    def imported(self, *more: str) -> None:
        options = ["--scene", "site", "--start", START, "-o", self.recording]
        assert fusewatch("import", *options, *self.files.options, *more) == 0

    def commissioned(self) -> None:
        span = ["--from", 0, "--to", self.files.normal_s]
        command = ["commission", CONFIG, "--recording", self.recording, *span, "-o", self.model]
        assert fusewatch(*command) == 0

    def replayed(self, name: str) -> Path:
        events = self.folder / f"{name}.jsonl"
        outputs = ["--events", events, "--scores", self.folder / f"{name}.csv"]
        command = ["replay", self.recording, "--config", CONFIG, "--model", self.model]
        assert fusewatch(*command, "--from", self.files.normal_s, *outputs) == 0
        return events

    @property
    def recording(self) -> Path:
        return self.folder / "site.mcap"

    @property
    def model(self) -> Path:
        return self.folder / "site.model"

    def events(self) -> list[Event]:
        return read_events(self.folder / "first.jsonl")

    def match(self) -> Match:
        return match(self.files.truths, final_events(self.events(), iso_ns(START)))

    def scores(self) -> list[dict[str, str]]:
        with (self.folder / "first.csv").open(newline="") as file:
            return list(csv.DictReader(file))


def gone(files: SiteFiles, folder: Path, *import_options: str) -> Way:
    way = Way(files, folder)
    way.imported(*import_options)
    way.commissioned()
    way.replayed("first")
    return way


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Way:
    folder = tmp_path_factory.mktemp("real")
    files = real_site(
        folder,
        footage=shared_data("video_vtest/vtest.avi"),
        ambience=shared_data("ambience_blanket/rain.ogg"),
        event=shared_data("max_samples/car-horn.wav"),
        pump=shared_data("skab/anomaly-free/anomaly-free.csv"),
    )
    return gone(files, folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Way:
    folder = tmp_path_factory.mktemp("made")
    return gone(made_site(folder), folder, "--video-size", "128x96")


@pytest.fixture(params=["made", pytest.param("real", marks=pytest.mark.data)])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.getfixturevalue(request.param)
    return found


def strongest(event: Event) -> str:
    """Modality of the stream that had most to say."""
    alone = {name: score.p for name, score in event.modalities.items() if name != "between"}
    kind = min(alone, key=alone.__getitem__).partition(":")[0]
    return "video" if kind == "things" else kind  # things are seen in the picture


def test_what_was_put_in_is_found_at_the_right_time_by_what_can_tell(way: Way) -> None:
    for truth, events in way.match().found:
        assert events, f"the {truth.kind} was missed"
        assert truth.modalities[0] in {strongest(e.event) for e in events}, truth.kind
        late_s = min((e.start_s - truth.start_s for e in events), key=abs)
        assert abs(late_s) <= TOLERANCE_S, truth.kind


def test_normal_time_raises_next_to_nothing(way: Way) -> None:
    """The normal that was learnt is minutes long, so its budget is no more than a guess."""
    found = way.match()
    assert len(found.false_alarms) <= 2, [e.event.summary for e in found.false_alarms]
    covered_s = sum(e.end_s - e.start_s for _, events in found.found for e in events)
    put_in_s = sum(max(2.0, t.end_s - t.start_s) for t in way.files.truths)
    assert covered_s <= 2 * put_in_s + 8


def test_a_second_replay_gives_the_same_bytes(way: Way) -> None:
    first, second = way.folder / "first.jsonl", way.replayed("second")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".csv").read_bytes() == second.with_suffix(".csv").read_bytes()


def test_events_come_in_phases_and_after_the_part_that_was_learnt(way: Way) -> None:
    events = way.events()
    raised = [e for e in events if e.phase is Phase.RAISED]
    assert len({e.id for e in raised}) == len(raised)
    begin_ns = iso_ns(START) + round(way.files.normal_s * 1e9)
    assert all(e.start_ns >= begin_ns and e.end_ns > e.start_ns for e in events)
    assert all(e.summary for e in raised)


def test_scores_are_one_row_a_window_with_a_column_for_each_detector(made: Way) -> None:
    rows = made.scores()
    starts = [float(row["start_s"]) for row in rows]
    assert starts == sorted(set(starts))
    assert all(float(row["end_s"]) - float(row["start_s"]) == 2.0 for row in rows)
    assert starts[0] >= made.files.normal_s
    assert all(0 < float(row["p"]) <= 1 for row in rows)
    kinds = {name.partition(":")[0] for name in rows[0]}
    modalities = {"video", "audio", "sensor", "text"}
    assert kinds == {"start_s", "end_s", "p", "scene", "between", "things", *modalities}


def test_what_the_files_lacked_is_told(
    made: Way, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--scene", "site", "-o", tmp_path / "again.mcap", "--json"]
    capsys.readouterr()
    assert fusewatch("import", *options, *made.files.options) == 0
    inputs = {i["stream"]: i for i in json.loads(capsys.readouterr().out)["inputs"]}
    assert set(inputs) == {"site-video", "site-audio", "site-sensors", "site-text"}
    lost = "that are not present by the times file, left out"
    assert inputs["site-video"]["faults"] == {f"frames {lost}": 10}
    assert inputs["site-audio"]["faults"] == {f"blocks {lost}": 2}
    assert inputs["site-sensors"]["faults"] == {
        "cells with text in a number column": 1,
        "empty cells": 1,
    }
