"""What further normal taught, and how sure that is."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.calibration import budget_of
from pipeline.detection.score import WindowScore
from pipeline.training.learning_curve import EVEN, gain_of, threshold_interval

HOP_NS = 500_000_000
ALARM = AlarmSettings(budget="60/hour")
FIRST = 3_400_000_000


def scores(levels: np.ndarray, **detectors: float) -> list[WindowScore]:
    return [
        WindowScore(
            "hall", FIRST + at, (FIRST + at) * HOP_NS, (FIRST + at + 4) * HOP_NS, 10.0**-level,
            {name: 10.0**-value for name, value in detectors.items()},
        )
        for at, level in enumerate(levels.tolist())
    ]  # fmt: skip


def normal(seed: int, count: int = 1200) -> np.ndarray:
    """Levels of normal windows, four in a row alike, as overlapping windows are."""
    p = np.random.default_rng(seed).uniform(size=count // 4)
    return -np.log10(np.repeat(p, 4))


def gain(before: np.ndarray, after: np.ndarray, threshold: float = 9.0, **detectors: float):
    return gain_of(
        scores(before, **detectors), after, alarm=ALARM, threshold=threshold, hop_ns=HOP_NS,
        learnt_s=600.0,
    )  # fmt: skip


def test_nothing_new_teaches_nothing_in_nine_of_ten_intervals():
    found = [gain(normal(seed), normal(seed + 1000)) for seed in range(200)]
    inside = np.mean([one.low <= 0 <= one.high for one in found])
    assert 0.85 < inside < 0.95
    assert np.mean([one.before for one in found]) == pytest.approx(EVEN, abs=0.01)
    assert found[0].seconds == 600.0


def test_what_is_new_stands_out():
    found = gain(normal(1) * 2, normal(2))
    assert 0 < found.low < found.mean < found.high
    assert found.mean == pytest.approx(EVEN, abs=0.2)


def test_too_little_says_nothing():
    assert gain(normal(1, 200), normal(2, 200)) is None
    assert gain_of([], np.zeros(0), alarm=ALARM, threshold=2.0, hop_ns=HOP_NS, learnt_s=1) is None


def test_alarms_are_counted_as_the_real_one_raises_them_and_the_newest_detector_comes_first():
    levels = np.full(1200, 0.4)
    levels[300:310] = levels[700:710] = 6.0
    found = gain(levels, normal(2), 5.0, audio=0.4, video=2.0)
    assert found.raised == 2
    assert found.stood == pytest.approx(20 * 0.5 / 600, rel=0.2)
    assert found.allowed == pytest.approx(10.0)
    assert list(found.newest) == ["video", "audio"]
    assert found.newest["video"] == pytest.approx(2.0)


def test_the_interval_of_a_threshold_holds_it_and_narrows_with_more_normal():
    widths = []
    for count in (1200, 9600):
        levels = normal(5, count)
        ends = np.arange(count, dtype=np.int64) * HOP_NS
        low, high = threshold_interval(levels, ends, HOP_NS, ALARM)
        spans = (ALARM.min_duration_s, ALARM.clear_after_s)
        middle = budget_of(levels, ends, HOP_NS, ALARM.false_alarms_hz, *spans).threshold
        assert low <= middle <= high
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]
