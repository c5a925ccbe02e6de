from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.errors import StoreError
from pipeline.detection.scorer import Scorer
from pipeline.models.checkpoint import load_model, save_model
from pipeline.models.features import NO_ITEMS, StreamFeatures
from pipeline.models.running_level import (
    MEMORY_S,
    LearntLevel,
    RunningLevels,
    learn_level,
)
from pipeline.models.settings import DetectorSettings
from pipeline.training.commissioning import commission
from tests.benchmarks.real.series import SCENE, STREAM, Table

STEP_S = 900.0
DAY = 96
TABLE = Table(3, STEP_S, 4)


def shown(at: int, *levels: float, present: bool = True) -> StreamFeatures:
    places = np.array([[level, 0.0] for level in levels], np.float32)
    seen = np.full(len(levels), present)
    return StreamFeatures(places, seen, NO_ITEMS, start_ns=round(at * STEP_S * 1e9))


def levels_at(*usual: float) -> RunningLevels:
    return RunningLevels({"plc": LearntLevel(np.array(usual), np.array(usual), np.zeros(()))})


def shift(running: RunningLevels, features: StreamFeatures) -> np.ndarray:
    found = running.follow({"plc": features})["plc"].shift
    assert found is not None
    return found


def test_a_level_that_moved_is_what_others_are_judged_against_some_hours_later():
    running = levels_at(1.0, 5.0)
    assert shift(running, shown(1, 3.0, 5.0)).tolist() == [0.0, 0.0]  # not yet taken in
    for at in range(2, 60):
        running.follow({"plc": shown(at, 3.0, 5.0)})
    np.testing.assert_allclose(shift(running, shown(60, 3.0, 5.0)), [2.0, 0.0], atol=0.1)


def test_a_window_counts_once_and_a_gap_counts_little():
    running = levels_at(0.0)
    running.follow({"plc": shown(100_000, 1.0)})
    first = shift(running, shown(100_000, 1.0))
    assert 0.0 < first[0] < 0.1
    assert shift(running, shown(99_999, 1.0)) == first


def test_what_is_not_seen_moves_nothing():
    running = levels_at(2.0)
    running.follow({"plc": shown(9, 0.0, present=False)})
    assert shift(running, shown(10, 2.0)) == [0.0]


def test_streams_without_a_learnt_level_stay_as_they_are():
    mic = shown(1, 1.0)
    assert levels_at(0.0).follow({"mic": mic})["mic"] is mic


def test_it_goes_on_from_its_state_and_takes_no_others():
    running = levels_at(1.0, 5.0)
    running.follow({"plc": shown(3, 2.0, 9.0)})
    again = levels_at(1.0, 5.0).restore(running.state())
    later = shown(4, 2.0, 9.0)
    assert (shift(again, later) == shift(running, later)).all()
    with pytest.raises(StoreError, match="another model"):
        levels_at(1.0).restore(running.state())
    with pytest.raises(StoreError, match="cannot be read"):
        running.restore(b"no")


def test_learning_ends_where_watching_begins():
    features = [shown(at, np.sin(at / 9), 4.0) for at in range(200)]
    learnt, followed = learn_level(features)
    watching = RunningLevels({"plc": learnt})
    assert np.mean([one.shift for one in followed]) == pytest.approx(0.0, abs=1e-9)
    expected = learn_level([*features, shown(200, 1.0, 4.0)])[1][-1].shift
    usual = learn_level([*features, shown(200, 1.0, 4.0)])[0].usual
    np.testing.assert_allclose(
        shift(watching, shown(200, 1.0, 4.0)) + learnt.usual, expected + usual, atol=1e-9
    )


def load(first: int, count: int, seed: int, more: float = 0.0) -> np.ndarray:
    """Three metrics of a server that is busy by day, one of them with `more` to do."""
    random = np.random.default_rng(seed)
    day = np.sin(2 * np.pi * np.arange(first, first + count) / DAY)
    values = np.stack([day, 0.5 * day, np.zeros(count)], axis=1)
    values[:, 2] += more
    return values + random.normal(0, 0.1, values.shape)


def test_more_to_do_is_told_when_it_begins_and_is_ordinary_the_day_after(tmp_path):
    settings = DetectorSettings(evidence=(), place_memory=100)
    model, _ = commission(SCENE, TABLE.windows(load(0, 6 * DAY, 0)), settings)
    save_model(model, tmp_path / "plc.model")
    scorer = Scorer({SCENE: load_model(tmp_path / "plc.model")}, "cpu")
    begin = 6 * DAY
    windows = list(TABLE.windows(load(begin, 2 * DAY, 1, more=0.8), begin))
    p = np.array([scorer.score([w])[0].detectors[f"sensor:{STREAM}"] for w in windows])
    assert (p[:4] < 0.01).all()
    assert np.median(p[DAY:]) > 0.05
    assert MEMORY_S < DAY * STEP_S


def test_a_scorer_that_was_killed_goes_on_as_if_it_had_not_been():
    settings = DetectorSettings(evidence=(), place_memory=100)
    model, _ = commission(SCENE, TABLE.windows(load(0, 4 * DAY, 0)), settings)
    model = replace(model, digest="same")
    windows = list(TABLE.windows(load(4 * DAY, 40, 1, more=0.5), 4 * DAY))
    whole, first, second = (Scorer({SCENE: model}, "cpu") for _ in range(3))
    expected = whole.score(windows)[-1]
    first.score(windows[:-1])
    second.restore(SCENE, first.state(SCENE))
    assert second.score(windows[-1:])[0] == expected
