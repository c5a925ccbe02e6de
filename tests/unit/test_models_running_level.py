from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.errors import StoreError
from pipeline.detection.scorer import Scorer
from pipeline.models.checkpoint import load_model, save_model
from pipeline.models.features import NO_ITEMS, StreamFeatures
from pipeline.models.running_level import (
    LearntLevel,
    RunningLevels,
    learn_level,
    unbounded,
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


def levels_at(*usual: float, fastest: float = 1e100) -> RunningLevels:
    level, most = np.array(usual), np.full(len(usual), fastest)
    reach = unbounded(len(usual))
    return RunningLevels({"plc": LearntLevel(level, level, most, np.zeros(()), reach)})


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


def test_what_jumps_is_followed_no_faster_than_levels_moved_in_normal():
    running = levels_at(0.0, fastest=1e-4 / STEP_S)
    for at in range(1, 101):
        running.follow({"plc": shown(at, 50.0)})
    np.testing.assert_allclose(shift(running, shown(101, 50.0)), 1e-2)


def test_it_is_followed_beyond_what_was_learnt_for_as_far_as_that_lies_apart():
    learnt, _ = learn_level([shown(at, 2.0 + np.sin(at / 40)) for at in range(2000)])
    least, most = learnt.reach[:, 0]
    assert most == pytest.approx(3 * 0.93, abs=0.2)  # the mean of four hours, which goes less far
    assert least == pytest.approx(-most, abs=0.2)
    running = RunningLevels({"plc": learnt})
    for at in range(2000, 4000):
        running.follow({"plc": shown(at, 90.0)})
    assert shift(running, shown(4000, 90.0)) == [most]


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


def load(first: int, count: int, seed: int, creep: float = 0.0, jump: float = 0.0) -> np.ndarray:
    """Three metrics of a server that is busy by day; how full its disk is goes up and down."""
    random = np.random.default_rng(seed)
    at = np.arange(first, first + count)
    day, full = np.sin(2 * np.pi * at / DAY), np.sin(2 * np.pi * at / (1.7 * DAY))
    full += creep * np.arange(count) / DAY + jump
    values = np.stack([day, 0.5 * day, full], axis=1)
    return values + random.normal(0, 0.1, values.shape)


def test_a_level_that_creeps_away_is_ordinary_and_one_that_jumps_away_stays_strange(tmp_path):
    settings = DetectorSettings(evidence=(), place_memory=100)
    model, _ = commission(SCENE, TABLE.windows(load(0, 6 * DAY, 0)), settings)
    save_model(model, tmp_path / "plc.model")
    loaded = load_model(tmp_path / "plc.model")

    def last_day(**wrong: float) -> float:
        scorer = Scorer({SCENE: loaded}, "cpu")
        windows = list(TABLE.windows(load(6 * DAY, 4 * DAY, 1, **wrong), 6 * DAY))
        scores = [scorer.score([window])[0] for window in windows[-3 * DAY :]]
        return float(np.median([s.detectors[f"sensor:{STREAM}"] for s in scores[-DAY:]]))

    assert last_day() > 0.1
    assert last_day(creep=1.0) > 0.1  # four times as far as it ever went
    assert last_day(jump=25.0) < 0.02
    assert last_day(creep=4.0) < 0.02  # and far beyond all that was learnt


def test_a_scorer_that_was_killed_goes_on_as_if_it_had_not_been():
    settings = DetectorSettings(evidence=(), place_memory=100)
    model, _ = commission(SCENE, TABLE.windows(load(0, 4 * DAY, 0)), settings)
    model = replace(model, digest="same")
    windows = list(TABLE.windows(load(4 * DAY, 40, 1, creep=3.0), 4 * DAY))
    whole, first, second = (Scorer({SCENE: model}, "cpu") for _ in range(3))
    expected = whole.score(windows)[-1]
    first.score(windows[:-1])
    second.restore(SCENE, first.state(SCENE))
    assert second.score(windows[-1:])[0] == expected
