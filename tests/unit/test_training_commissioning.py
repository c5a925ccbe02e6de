from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.core.errors import ModelError
from pipeline.detection.scorer import Scorer, calibration_of
from pipeline.models.settings import DetectorSettings, Evidence
from pipeline.models.together import Together
from pipeline.training.commissioning import commission
from pipeline.training.normal_rows import NormalRows
from tests.benchmarks.real.series import SCENE, Table
from tests.toy_site import (
    ALL,
    CAMERA,
    HOP_NS,
    LOG,
    MICROPHONE,
    SENSORS,
    WINDOWS,
    Site,
    commissioned,
)

QUICK = DetectorSettings(block_s=10.0, folds=3, place_memory=60, memory=100)
SMALL = Site(streams=(SENSORS,))


def test_streams_that_are_to_be_judged_alone_are_not_told_as_never_seen_together():
    settings = DetectorSettings(evidence=())
    _, report = commission("hall", Site(seed=1).windows(0, WINDOWS), settings)
    assert not any("seen together" in warning for warning in report.warnings)


def test_the_report_says_what_was_learnt():
    _, report = commissioned()
    assert report.windows == WINDOWS
    assert report.seconds == pytest.approx(WINDOWS / 2)
    assert set(report.detectors) == {
        "video:cam", "things:cam", "audio:mic", "sensor:plc", "text:log", "between",
    }  # fmt: skip
    assert 0.2 < report.detectors["video:cam"].median < 0.4
    assert any("minutes of normal" in w for w in report.warnings)
    assert any("door" in w for w in report.warnings)
    thresholds = [row.threshold for row in report.preview.rows]
    assert thresholds == sorted(thresholds, reverse=True)


def test_every_window_is_held_out_once():
    model, _ = commissioned()
    assert model.held.scores.shape == (WINDOWS, len(model.names))
    assert np.isfinite(model.held.scores).all()
    assert (np.diff(model.held.end_ns) == HOP_NS).all()
    assert calibration_of(model).held_scores.shape == (WINDOWS,)


@pytest.mark.parametrize("stream", ALL)
def test_a_scene_of_one_stream_can_be_learnt(stream):
    site = Site(streams=(stream,))
    model, report = commission("hall", site.windows(0, 150), QUICK)
    assert model.together == Together(dims=6)
    things = ["things:cam"] if stream is CAMERA else []
    assert list(report.detectors) == [f"{stream.modality.value}:{stream.name}", *things]
    score = Scorer({"hall": model}, "cpu").score([site.window(400)])[0]
    assert 0 < score.p <= 1


def test_learning_twice_gives_the_same_model():
    first, _ = commission("hall", SMALL.windows(0, 150), QUICK)
    second, _ = commission("hall", SMALL.windows(0, 150), QUICK)
    np.testing.assert_array_equal(first.held.scores, second.held.scores)
    windows = list(SMALL.windows(300, 5))
    scores = [Scorer({"hall": m}, "cpu").score(windows) for m in (first, second)]
    assert scores[0] == scores[1]


def test_too_few_windows_are_refused_with_how_many_are_needed():
    with pytest.raises(ModelError, match="at least 60"):
        commission("hall", SMALL.windows(0, 59), QUICK)
    with pytest.raises(ModelError, match="0 windows"):
        commission("hall", [], QUICK)


def test_a_stream_that_was_never_seen_is_left_out_and_named():
    site = Site(streams=(SENSORS, LOG), missing=frozenset({"log"}))
    model, report = commission("hall", site.windows(0, 120), QUICK)
    assert [s.info.name for s in model.streams] == ["plc"]
    assert any("'log' was hardly seen" in w for w in report.warnings)
    silent = Site(streams=(SENSORS,), missing=frozenset({"plc"}))
    with pytest.raises(ModelError, match="no stream"):
        commission("hall", silent.windows(0, 120), QUICK)


def test_a_stream_that_was_away_for_a_while_is_learnt_from_the_rest():
    both = Site(streams=(SENSORS, MICROPHONE))
    away = replace(both, missing=frozenset({"mic"}))
    windows = [(away if 60 <= i < 110 else both).window(i) for i in range(240)]
    model, report = commission("hall", windows, QUICK)
    assert any("'mic' was missing in 21%" in w for w in report.warnings)
    assert np.isnan(model.held.scores).any()
    p = [s.p for s in Scorer({"hall": model}, "cpu").score(windows[:10])]
    assert np.isfinite(p).all()


def test_recordings_with_a_gap_between_them_are_learnt_together():
    windows = [*SMALL.windows(0, 100), *SMALL.windows(9000, 100)]
    model, report = commission("hall", windows, QUICK)
    assert report.windows == 200
    assert len(model.held.end_ns) == 200


def test_recordings_out_of_order_are_refused():
    with pytest.raises(ModelError, match="comes after"):
        commission("hall", [*SMALL.windows(100, 5), *SMALL.windows(0, 5)], QUICK)


def test_windows_of_two_lengths_are_refused():
    window = SMALL.window(1)
    longer = replace(window, end_ns=window.end_ns + HOP_NS)
    with pytest.raises(ModelError, match="learnt together"):
        commission("hall", [SMALL.window(0), longer], QUICK)


def test_windows_are_taken_one_at_a_time():
    alive = []

    def stream():
        for window in SMALL.windows(0, 80):
            alive.append(window.index)
            yield window

    rows = NormalRows("hall", QUICK)
    for window in stream():
        rows.add(window)
        assert rows.taken == len(alive)
    assert rows.kept == 80


def test_a_long_recording_is_thinned_evenly():
    settings = QUICK.model_copy(update={"max_windows": 100, "block_s": 5.0})
    rows = NormalRows("hall", settings)
    for window in SMALL.windows(0, 900):
        rows.add(window)
    rows.finish()
    assert rows.taken == 900
    assert 50 <= rows.kept <= 100
    kept = (rows.end_ns() - rows.end_ns()[0]) / HOP_NS
    assert kept.max() > 800
    assert set(rows.folds()) == {0, 1, 2}


def test_no_window_to_learn_from_overlaps_one_that_is_judged():
    rows = NormalRows("hall", QUICK)
    for window in SMALL.windows(0, 200):
        rows.add(window)
    rows.finish()
    learn, judge = rows.split(rows.folds(), 1)
    assert np.abs(learn[:, None] - judge[None]).min() >= 4
    judged = [rows.split(rows.folds(), fold)[1] for fold in range(3)]
    assert sorted(np.concatenate(judged)) == list(range(200))


def test_windows_longer_than_a_block_are_held_out_in_stretches_of_several():
    table = Table(2, 60.0, 5)
    readings = np.random.default_rng(0).normal(size=(200, 2))
    model, _ = commission(SCENE, table.windows(readings))
    assert np.isfinite(model.held.scores).all()


def test_levels_are_held_out_by_pieces_of_time_that_lie_in_a_row():
    rows = NormalRows("hall", QUICK)
    for window in SMALL.windows(0, 100):
        rows.add(window)
    rows.finish()
    assert (np.diff(rows.in_a_row()) >= 0).all()
    assert np.bincount(rows.in_a_row()).tolist() == [34, 33, 33]


def test_a_slow_shift_between_channels_is_not_rare_where_it_was_seen_to_happen():
    """Judged by what lies around it a shift looks small, and what follows it looks rare."""
    random = np.random.default_rng(1)
    walk = np.cumsum(random.normal(0, 0.02, (1600, 2)), axis=0)
    readings = walk + random.normal(0, 0.1, walk.shape)
    table = Table(2, 1.0, 4)
    model, _ = commission(SCENE, table.windows(readings[:800]), QUICK)
    column = model.names.index("sensor:readings/level")
    held = model.held.scores[:, column]
    scores, *_ = model.score(
        [model.features(w) for w in table.windows(readings[800:1200], 800)],
        range(397),
        model.past(),
        torch.device("cpu"),
    )
    assert (scores[:, column] > np.quantile(held, 0.99)).mean() < 0.2


def test_progress_is_told():
    seen = []
    commission("hall", SMALL.windows(0, 100), QUICK, progress=lambda *step: seen.append(step))
    assert seen[0] == ("features", 20, None)
    assert ("calibration", 3, 3) in seen
    assert seen[-1] == ("final fit", 1, 1)


def test_evidence_between_streams_can_be_chosen():
    both = Site(streams=(SENSORS, MICROPHONE))
    chosen = QUICK.model_copy(update={"evidence": (Evidence.JOINT,)})
    model, _ = commission("hall", both.windows(0, 150), chosen)
    assert model.names[-2:] == ("joint/mahalanobis", "joint/knn")
    none, _ = commission("hall", both.windows(0, 150), QUICK.model_copy(update={"evidence": ()}))
    assert none.names == model.names[:-2]


def test_where_no_stream_is_seen_is_no_normal_time():
    """Between two clips, or in an outage, nothing could have been found: no budget counts it."""
    silent = replace(SMALL, missing=frozenset(stream.name for stream in SMALL.streams))
    gap = [silent.window(index) for index in range(100, 180)]
    windows = [*SMALL.windows(0, 100), *gap, *SMALL.windows(180, 100)]
    model, report = commission("hall", windows, QUICK)
    assert (report.windows, len(model.held.end_ns)) == (200, 200)
    assert not any("was missing" in warning for warning in report.warnings)
    apart, _ = commission("hall", SMALL.windows(0, 150), QUICK, calibration=windows)
    assert len(apart.held.end_ns) == 200
