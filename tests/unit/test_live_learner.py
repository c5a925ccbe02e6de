"""A scene learnt while it is recorded: the looks, and that the model is the usual one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from nodes.commission import commission_scene
from nodes.commissioning.learner import LiveLearner
from nodes.doctor import Level
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import Arrival, SampleArrived, StreamOpened
from pipeline.core.errors import ModelError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.models.checkpoint import load_model, save_model
from pipeline.models.settings import DetectorSettings
from pipeline.recording.writer import RecordingWriter
from pipeline.training.enough import EnoughSettings, Standing, standing_of

S = 1_000_000_000
START_NS = 1_700_000_000 * S
PLC = StreamInfo("plc", Modality.SENSOR, 10.0, (2,), "float64", "", ("speed", "heat"))
MIC = StreamInfo("mic", Modality.AUDIO, 4000.0, (1,), "float32", stamp="exact")
QUICK = DetectorSettings(block_s=10.0, folds=3, place_memory=60, memory=100)
LENGTHS = EnoughSettings(lengths_min=(1, 2, 4))
CONFIG = """
name: d
nodes: {n: {sources: [{type: scene, video: null, audio: mic, sensor: plc}]}}
scenes: {s: {streams: [plc, mic], alarm: {budget: 60/hour}}}
"""


@lru_cache(maxsize=1)
def readings(seconds: int) -> np.ndarray:
    """Two channels that swing with the noise of their own, 10 a second."""
    rng = np.random.default_rng(3)
    times = np.arange(10 * seconds) / 10
    base = np.stack([np.sin(times / 3), np.cos(times / 5)], axis=1)
    return base + rng.normal(0, 0.1, base.shape)


def arrivals(seconds: int, *, late_ms: float = 0.0, shift_from: int = 10**9) -> Iterator[Arrival]:
    """A machine whose readings and sound jump together now and then; the sound says it later.

    Args:
        seconds: For how long.
        late_ms: By how much the sound is late.
        shift_from: From this second on the readings are higher than they ever were.
    """
    rng = np.random.default_rng(4)
    yield StreamOpened(START_NS, "n", PLC)
    yield StreamOpened(START_NS, "n", MIC)
    knocks = np.cumsum(rng.uniform(3, 9, seconds))
    for at in range(10 * seconds):
        stamp_ns = START_NS + at * S // 10
        struck = np.any(np.abs(knocks - at / 10) < 0.051)
        values = readings(seconds)[at] + (3.0 if struck else 0.0) + (at >= 10 * shift_from)
        sound = rng.normal(0, 0.01, (400, 1))
        if struck:
            sound[:200] += rng.normal(0, 0.3, (200, 1))
        plc = Sample("plc", at, stamp_ns, values, Encoding.FLOAT)
        heard_ns = stamp_ns + round(late_ms * 1e6)
        mic = Sample("mic", at, heard_ns, sound.astype(np.float32), Encoding.FLOAT, 0, 0, 400 * at)
        yield SampleArrived(stamp_ns + S // 10, "n", plc)
        yield SampleArrived(stamp_ns + S // 10, "n", mic)


def deployment(folder: Path) -> Deployment:
    (folder / "d.yaml").write_text(CONFIG)
    return load_deployment(folder / "d.yaml")


def looks_of(learner: LiveLearner, taken: Iterator[Arrival]) -> list:
    found = []
    for arrival in taken:
        learner.take(arrival)
        if learner.due:
            found.append(learner.look())
    return found


def test_looks_come_at_their_lengths_and_compare_with_half_of_it(tmp_path: Path):
    learner = LiveLearner(deployment(tmp_path), "s", QUICK, LENGTHS, now_s=iter(range(99)).__next__)
    one, two, four = looks_of(learner, arrivals(250))
    assert [one.normal_s, two.normal_s, four.normal_s] == [60.0, 120.0, 240.0]
    assert one.gain is None  # nothing to compare with
    assert two.gain is None  # a minute is too little to tell
    assert four.gain is not None
    assert (four.gain.learnt_s, four.gain.seconds) == (120.0, 120.0)
    assert four.low <= four.threshold <= four.high
    assert (four.supported, four.needed_s, four.took_s) == (True, 60.0, 1)
    assert four.gain.mean < 0.5


def test_normal_that_is_new_is_seen_to_teach_something(tmp_path: Path):
    learner = LiveLearner(deployment(tmp_path), "s", QUICK, LENGTHS)
    *_, last = looks_of(learner, arrivals(242, shift_from=150))
    assert last.gain is not None
    assert last.gain.low > 0.2
    assert next(iter(last.gain.newest)).startswith("sensor:plc")
    assert standing_of(last, LENGTHS) is Standing.LEARNING


def test_the_model_is_the_one_that_the_recording_gives(tmp_path: Path):
    path = tmp_path / "r.mcap"
    site = deployment(tmp_path)
    learner = LiveLearner(site, "s", QUICK, LENGTHS)
    last_ns = 0
    with RecordingWriter(path) as writer:
        for arrival in arrivals(130):
            writer.write(arrival)
            learner.take(arrival)
            last_ns = arrival.arrival_ns
            if learner.due:
                learner.look()  # must leave no trace
    learner.finish(last_ns)
    model, report = learner.learn()
    save_model(model, tmp_path / "live.model")
    again = commission_scene(site, "s", [path], tmp_path / "again.model", settings=QUICK)
    assert report.windows == again.windows
    live, file = (load_model(tmp_path / name) for name in ("live.model", "again.model"))
    np.testing.assert_array_equal(live.held.scores, file.held.scores)
    np.testing.assert_array_equal(live.held.end_ns, file.held.end_ns)
    assert live.names == file.names


def test_a_look_with_too_little_is_refused_and_the_next_one_is_due_later(tmp_path: Path):
    learner = LiveLearner(deployment(tmp_path), "s", QUICK, EnoughSettings(lengths_min=(0.2, 1)))
    taken = arrivals(60)
    while not learner.due:
        learner.take(next(taken))
    with pytest.raises(ModelError, match="too few"):
        learner.look()
    assert not learner.due


def test_streams_that_agree_on_the_time_and_one_that_is_late(tmp_path: Path):
    for late_ms, level in ((0.0, Level.OK), (400.0, Level.PROBLEM)):
        learner = LiveLearner(deployment(tmp_path), "s", QUICK, LENGTHS)
        for arrival in arrivals(120, late_ms=late_ms):
            learner.take(arrival)
        (told,) = learner.sync()
        assert (told.about, told.level) == ("plc", level)
    assert "than mic" in told.text
    assert "mic: " in told.fix


def test_a_stream_that_changes_its_form_is_learnt_as_it_was_before(tmp_path: Path):
    """Its channels are turned round: each would be learnt as both."""
    learner = LiveLearner(deployment(tmp_path), "s", QUICK, LENGTHS)
    turned = replace(PLC, channels=PLC.channels[::-1])
    learner.take(StreamOpened(START_NS - S, "n", turned))  # and is turned again before it is seen
    for arrival in arrivals(120):
        if isinstance(arrival, SampleArrived) and arrival.sample.stream == "plc":
            arrival.sample.data = arrival.sample.data + np.array([0.0, 100.0])
            if arrival.sample.sequence == 700:
                learner.take(StreamOpened(arrival.arrival_ns, "n", turned))
            if arrival.sample.sequence >= 700:
                arrival.sample.data = arrival.sample.data[::-1]
        learner.take(arrival)
    plc, mic = learner.rows.streams
    assert plc.info.channels == PLC.channels
    assert 130 < len(plc.features) < 140 < len(mic.features)
    np.testing.assert_allclose(
        [f.places[:, 0] for f in plc.features], [[0, 100]] * len(plc.features), atol=2
    )
    (told,) = (one for one in learner.checks.findings(120.0) if "changed while" in one.text)
    assert told.about == "plc"
