"""Peaks, and the ceiling that keeps one score from peaking more often than another."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.event import Phase
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.peaks import ceiling_of, peaks_of
from pipeline.detection.score import WindowScore

HOP_NS = 500_000_000
HEIGHTS = st.lists(st.floats(0, 15, width=32), min_size=1, max_size=30, unique=True)


def falling(heights: list[float]) -> np.ndarray:
    return np.array(sorted(heights, reverse=True))


@given(HEIGHTS, HEIGHTS)
def test_above_any_level_there_are_no_more_peaks_than_the_other_has(own, other):
    own, other = falling(own), falling(other)
    kept = ceiling_of(own, other)
    lowered = np.array([kept.of(float(level)) for level in own])
    for level in other:
        assert (lowered > level + 1e-9).sum() <= (other > level + 1e-9).sum()


@given(HEIGHTS, HEIGHTS, st.lists(st.floats(0, 20), min_size=2))
def test_it_never_raises_a_level_nor_changes_their_order(own, other, levels):
    kept = ceiling_of(falling(own), falling(other))
    lowered = [kept.of(level) for level in sorted(levels)]
    assert all(a <= b + 1e-9 for a, b in pairwise(lowered))
    assert all(new <= old for new, old in zip(lowered, sorted(levels), strict=True))


def test_what_peaks_less_anyway_stays_as_it_is_and_what_is_beyond_keeps_its_distance():
    kept = ceiling_of(np.array([4.0, 2.0, 1.0]), np.array([3.0, 2.5, 1.5]))
    assert [kept.of(x) for x in (0.0, 1.0, 2.0, 4.0, 9.0)] == pytest.approx([0, 1, 2, 3, 8])


def test_a_peak_is_held_for_its_duration_and_stands_apart_from_the_next():
    levels = np.array([0, 5, 5, 0, 0, 0, 0, 0, 9, 0, 0, 0, 3, 4, 0.0])
    ends = np.arange(len(levels)) * HOP_NS
    assert peaks_of(levels, ends, HOP_NS, 1.0, 2.0)[:2].tolist() == [5, 3]
    assert peaks_of(levels, ends, HOP_NS, 0.0, 1.0)[:3].tolist() == [9, 5, 4]


@pytest.mark.parametrize(("between", "peaks"), [(3, [7.0]), (4, [7.0, 5.0]), (6, [7.0, 5.0])])
def test_what_lies_closer_than_the_merge_gap_is_one_peak(between, peaks):
    levels = np.array([5.0, *[0.0] * between, 7.0])
    ends = np.arange(len(levels)) * HOP_NS
    found = peaks_of(levels, ends, HOP_NS, 0.0, 2.0)
    assert [peak for peak in found if peak > 0] == peaks


@pytest.mark.parametrize("held", [1, 2, 3])
@pytest.mark.parametrize("between", range(1, 8))
def test_peaks_are_apart_where_the_alarm_is_raised_twice(held: int, between: int):
    levels = np.array([0.0, *[5.0] * held, *[0.0] * between, *[7.0] * held, 0.0])
    ends = np.arange(len(levels)) * HOP_NS
    duration_s = held * HOP_NS / 1e9
    settings = AlarmSettings(min_duration_s=duration_s, clear_after_s=2.0, cooldown_s=0.0)
    alarm = Alarm(settings, "hall", 3.0, HOP_NS)
    told = [
        one.phase
        for index, (level, end_ns) in enumerate(zip(levels, ends.tolist(), strict=True))
        for one in alarm.update(
            WindowScore("hall", index, end_ns - 4 * HOP_NS, end_ns, 10.0**-level, {})
        )
    ]
    peaks = peaks_of(levels, ends, HOP_NS, duration_s, 2.0)
    assert told.count(Phase.RAISED) == (peaks > 3.0).sum() == (1 if between < 4 else 2)


def test_as_many_windows_as_a_level_must_hold_are_enough_for_a_peak():
    ends = np.arange(2) * HOP_NS
    assert peaks_of(np.array([3.0, 4.0]), ends, HOP_NS, 1.0, 2.0).tolist() == [3.0]
    assert peaks_of(np.array([3.0]), ends[:1], HOP_NS, 1.0, 2.0).tolist() == []


def test_below_the_lowest_peak_a_level_is_lowered_in_proportion():
    kept = ceiling_of(np.array([4.0, 2.0]), np.array([2.0, 1.0]))
    assert [kept.of(x) for x in (0.5, 1.0, 2.0)] == pytest.approx([0.25, 0.5, 1.0])
