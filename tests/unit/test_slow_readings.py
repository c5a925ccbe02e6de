"""A scene whose readings come once in five minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nodes.commission import commission_scene
from nodes.replay import replay
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.errors import ModelError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.models.settings import DetectorSettings
from pipeline.recording.writer import RecordingWriter

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_100 * SECOND_NS
PERIOD_S, COUNT = 300, 400

DEPLOYMENT = """
name: d
nodes: {n: {sources: [{type: csv_file, path: none.csv, stream: heat}]}}
streams: {heat: {max_gap_s: %d, interpolation: %s}}
scenes: {s: {streams: [heat], window_s: 1800, hop_s: 300}}
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    info = StreamInfo("heat", Modality.SENSOR, 1 / PERIOD_S, (1,), "float64", "", ("heat",))
    path, random = tmp_path / "r.mcap", np.random.default_rng(0)
    with RecordingWriter(path) as writer:
        writer.write(StreamOpened(START_NS, "n", info))
        for number in range(COUNT):
            at_ns = START_NS + number * PERIOD_S * SECOND_NS
            reading = Sample("heat", number, at_ns, random.normal(20, 1, 1), Encoding.FLOAT)
            writer.write(SampleArrived(at_ns, "n", reading))
    return path


def deployment(folder: Path, max_gap_s: int, interpolation: str = "linear") -> Deployment:
    file = folder / "d.yaml"
    file.write_text(DEPLOYMENT % (max_gap_s, interpolation))
    return load_deployment(file)


SETTINGS = DetectorSettings(block_s=7200.0)
HINT = "has a reading every 300 s, and one holds for 200 s"


@pytest.mark.parametrize(("max_gap_s", "hints"), [(200, 1), (700, 0)])
def test_who_learns_them_is_told_when_they_do_not_hold_until_the_next(
    recording: Path, tmp_path: Path, max_gap_s: int, hints: int
) -> None:
    site = deployment(tmp_path, max_gap_s, "previous")
    report = commission_scene(site, "s", [recording], tmp_path / "s.model", settings=SETTINGS)
    assert sum(HINT in one and "to 600 or more" in one for one in report.warnings) == hints


def test_so_is_who_cannot_learn_them_for_that_reason(recording: Path, tmp_path: Path) -> None:
    site = deployment(tmp_path, 200)
    with pytest.raises(ModelError, match=HINT):
        commission_scene(site, "s", [recording], tmp_path / "s.model", settings=SETTINGS)


def test_what_is_replayed_after_a_part_that_is_left_out_is_believed(
    recording: Path, tmp_path: Path
) -> None:
    """The fusion node was away for a day; the sensor's next stamps are as far ahead of its time."""
    site = deployment(tmp_path, 700)
    whole = replay([recording], site)
    later = replay([recording], site, from_s=PERIOD_S * COUNT / 2)
    assert whole.windows > 0.95 * COUNT
    assert later.windows > 0.45 * COUNT
    assert not whole.events
    assert not later.events
