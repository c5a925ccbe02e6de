"""From a source's stamp to site time, and what becomes of it when the stamp's meaning changes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from nodes.stamping import Stamper
from nodes.time_metrics import StampMetrics
from pipeline.alignment.account import Discard
from pipeline.config import load_deployment
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from tests.unit.alignment_streams import feed, opened, patient, sound, unaccounted

MS = 1_000_000
START_NS = 1_700_000_000_000 * MS
CAM = StreamInfo("cam", Modality.VIDEO, 10.0, (4, 4, 3), "uint8", stamp="pts")
DEPLOYMENT = """
name: d
nodes: {n: {sources: [{type: media, url: "rtsp://camera", video: cam}]}}
streams: {cam: {latency_ms: 30}}
scenes: {s: {streams: [cam]}}
"""


def frame(number: int, back_ms: int, epoch: int) -> Sample:
    stamp_ns = START_NS + (number * 100 - back_ms) * MS
    return Sample("cam", number, stamp_ns, np.zeros((4, 4, 3)), Encoding.RAW, epoch=epoch)


def test_times_go_on_growing_when_stamps_come_to_mean_something_earlier(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(DEPLOYMENT)
    stamper = Stamper(load_deployment(tmp_path / "d.yaml"))
    stamper.open(CAM)
    given = [stamper.stamp(frame(n, 0, 0), 0, 0) for n in range(40)]
    stamper.open(replace(CAM, stamp="sender"))
    given += [stamper.stamp(frame(n, 250, 1), 0, 0) for n in range(40, 80)]
    times = [sample.timestamp_ns for sample in given]
    assert all(after > before for before, after in pairwise(times))
    held = given[40]
    assert held.timestamp_ns - held.uncertainty_ns <= START_NS + (4000 - 250 - 30) * MS
    late_ms = [(time - START_NS) / MS - n * 100 for n, time in enumerate(times)]
    assert np.allclose(late_ms[:40], -30, atol=0.01)
    assert np.allclose(late_ms[43:], -280, atol=0.01)


def test_metrics_tell_what_stamps_mean_now_and_how_often_that_changed() -> None:
    registry = CollectorRegistry()
    metrics = StampMetrics(registry)
    for stamp in ("pts", "sender"):
        metrics.announce(replace(CAM, stamp=stamp))
    read = registry.get_sample_value
    assert read("fusewatch_stream_stamp", {"stream": "cam", "stamp": "sender"}) == 1
    assert read("fusewatch_stream_stamp", {"stream": "cam", "stamp": "pts"}) is None
    assert read("fusewatch_stamp_changes_total", {"stream": "cam"}) == 1


def test_sound_goes_on_in_its_windows_when_its_stamps_come_to_mean_something_earlier(
    tmp_path: Path,
) -> None:
    late = StreamInfo("microphone", Modality.AUDIO, 8000.0, (1,), "int16", stamp="pts")
    early = replace(late, stamp="sender")
    (tmp_path / "d.yaml").write_text(DEPLOYMENT)
    stamper = Stamper(load_deployment(tmp_path / "d.yaml"))
    aligner = opened(patient(streams=("microphone",)), [late])
    stamper.open(late)
    given = [stamper.stamp(sound(n), 0, 0) for n in range(500)]
    stamper.open(early)
    for n in range(500, 1000):
        chunk = sound(n)
        moved = replace(chunk, timestamp_ns=chunk.timestamp_ns - 200 * MS, epoch=1)
        moved.position -= 500 * 160
        given.append(stamper.stamp(moved, 0, 0))
    run = feed(aligner, given[:500], end=False)
    aligner.open(early)
    rest = feed(aligner, given[500:])
    coverage = [window.slices["microphone"].coverage for window in (*run.windows, *rest.windows)]
    assert len(coverage) > 30
    assert coverage == [1.0] * len(coverage)
    assert not unaccounted(aligner)
    assert aligner.counts["microphone"].discarded == {Discard.UNUSED: 9}  # what was heard twice
    assert rest.windows[-1].slices["microphone"].info == early
