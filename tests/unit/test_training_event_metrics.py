from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.score import WindowScore
from pipeline.training.event_metrics import (
    TOLERANCE_S,
    RaisedAlarm,
    alarms_of,
    figures,
    match_alarms,
    recall_of,
    sweep,
)
from pipeline.training.labels import Label, read_labels
from pipeline.training.watched import watch

HOP_NS = 500_000_000
RULES = AlarmSettings(min_duration_s=1.0, clear_after_s=2.0)


def windows(levels: Sequence[float], places: Sequence[int] | None = None) -> list[WindowScore]:
    """One window a level, two seconds long; window n ends at second 2 + n / 2."""
    return [
        WindowScore("hall", place, place * HOP_NS, place * HOP_NS + 4 * HOP_NS, 10.0**-level)
        for place, level in zip(places or range(len(levels)), levels, strict=True)
    ]


def alarm(start_s: float, end_s: float, raised_s: float | None = None) -> RaisedAlarm:
    peak = WindowScore("hall", 0, 0, 1, 1e-5)
    return RaisedAlarm(start_s, start_s + 1 if raised_s is None else raised_s, end_s, 5.0, peak)


def label(start_s: float, end_s: float, kind: str = "V") -> Label:
    return Label(start_s, end_s, kind)


def test_alarms_have_the_times_the_alarm_gives_them() -> None:
    levels = [0.0] * 20
    levels[8:12] = [4.0, 4.0, 6.0, 4.0]
    (found,) = alarms_of(windows(levels), RULES, 3.0, HOP_NS)
    assert found.start_s == 5.5  # the newest hop of the window that ends at 6
    assert found.raised_s == 6.5  # a second of it
    assert found.end_s == 7.5
    assert (found.score, found.peak.index) == (pytest.approx(6.0), 10)


def test_an_alarm_that_stands_at_the_end_counts() -> None:
    (found,) = alarms_of(windows([0, 0, 5, 5, 5]), RULES, 3.0, HOP_NS)
    assert found.end_s == 4.0


def test_seconds_count_from_the_recordings_start() -> None:
    moved = [
        WindowScore("hall", 1000 + n, (1000 + n) * HOP_NS, (1004 + n) * HOP_NS, 1e-5)
        for n in range(4)
    ]
    (found,) = alarms_of(moved, RULES, 3.0, HOP_NS, start_ns=1000 * HOP_NS)
    assert (found.start_s, found.raised_s) == (1.5, 2.5)


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.5, 3.0, 3.5, 6.0]), min_size=1, max_size=120),
    st.sets(st.integers(0, 119), max_size=15),
)
@settings(max_examples=150)
def test_passing_windows_over_changes_no_alarm(levels: list[float], lost: set[int]) -> None:
    kept = [n for n in range(len(levels)) if n not in lost]
    scores = windows([levels[n] for n in kept], kept)
    whole = Alarm(RULES, "hall", 3.0, HOP_NS)
    made = [t for score in scores for t in whole.update(score)] + whole.finish()
    ids = list(dict.fromkeys(t.id for t in made))
    last = {t.id: t for t in made}
    found = alarms_of(scores, RULES, 3.0, HOP_NS)
    assert [round(a.start_s * 1e9) for a in found] == [last[i].start_ns for i in ids]
    assert [round(a.end_s * 1e9) for a in found] == [last[i].end_ns for i in ids]


def test_an_alarm_within_the_tolerance_finds_and_a_later_one_is_false() -> None:
    labels = [label(10, 12)]
    near, late = alarm(12 + TOLERANCE_S, 20), alarm(12.1 + TOLERANCE_S, 20)
    assert match_alarms(labels, [near], 2.0).found[0][1] is near
    match = match_alarms(labels, [late], 2.0)
    assert (match.found[0][1], match.false) == (None, (late,))


def test_an_alarm_that_stood_already_finds_nothing() -> None:
    standing = alarm(0, 100)
    match = match_alarms([label(30, 35), label(60, 65)], [standing], 2.0)
    assert [found for _, found in match.found] == [None, None]
    assert match.false == (standing,)


def test_labels_that_the_alarm_would_merge_are_found_by_one_alarm() -> None:
    one = alarm(10.5, 20)
    match = match_alarms([label(10, 13), label(15, 18)], [one], 2.0)
    assert [found for _, found in match.found] == [one, one]
    apart = match_alarms([label(10, 13), label(17.1, 19)], [one], 2.0)
    assert [found for _, found in apart.found] == [one, None]


def test_several_alarms_for_one_label_are_one_in_the_precision() -> None:
    match = match_alarms([label(10, 30)], [alarm(11, 12), alarm(18, 19), alarm(25, 26)], 2.0)
    found = figures(3.0, match, 3, 3600.0)
    assert (found.precision, found.f1, found.false_alarms) == (1.0, 1.0, 0)


def test_figures_by_hand() -> None:
    labels = [label(10, 12), label(50, 55), label(90, 95)]
    alarms = [alarm(10.5, 13, 11.5), alarm(30, 32), alarm(53, 56, 54.0)]
    found = figures(3.0, match_alarms(labels, alarms, 2.0), 3, 1800.0)
    assert (found.recall.found, found.recall.labels, found.false_alarms) == (2, 3, 1)
    assert found.per_hour == 2.0
    assert (found.low_per_hour, found.high_per_hour) == pytest.approx((0.1026, 9.4877), abs=1e-3)
    assert found.precision == found.f1 == pytest.approx(2 / 3)
    assert found.recall.delay_median_s == pytest.approx((1.5 + 4.0) / 2)
    assert found.false_time == pytest.approx(2 / 1800)


def test_an_alarm_raised_before_its_label_has_no_delay() -> None:
    found = recall_of([(label(10, 12), alarm(8.5, 11, 9.5))])
    assert found.delay_median_s == 0.0


def test_nothing_to_find_is_not_a_share() -> None:
    found = figures(3.0, match_alarms([], [], 2.0), 0, 0.0)
    numbers = found.recall.share, found.precision, found.f1, found.per_hour
    assert all(math.isnan(value) for value in numbers)


def test_a_sweep_begins_with_the_highest_level_and_leaves_out_nothing_at_all() -> None:
    found = sweep(np.array([0.0, 3.0, 1.0, 2.0, 0.0]), 10)
    assert found.tolist() == [3.0, 2.0, 1.0]
    assert not len(sweep(np.zeros(5), 10))


def test_windows_that_hold_too_little_of_a_label_count_neither_way() -> None:
    seen = watch(windows([0.0] * 12), [label(4.25, 6.0)], HOP_NS)
    # Window n covers n/2 to 2 + n/2; the one to 4.5 holds a quarter second of the label.
    assert np.flatnonzero(seen.truth()).tolist() == [6, 7, 8, 9, 10, 11]
    assert np.flatnonzero(seen.unclear).tolist() == [5]


def test_a_moment_is_held_by_the_windows_around_it() -> None:
    seen = watch(windows([0.0] * 12), [label(4.1, 4.2)], HOP_NS)
    assert np.flatnonzero(seen.truth()).tolist() == [5, 6, 7, 8]
    point = watch(windows([0.0] * 12), [label(4.1, 4.1)], HOP_NS)
    assert np.flatnonzero(point.truth()).tolist() == [5, 6, 7, 8]


def test_a_label_that_no_window_shows_lies_outside() -> None:
    seen = watch(windows([0.0] * 12), [label(100, 110), label(3, 4)], HOP_NS)
    assert (seen.labels, seen.outside) == ((label(3, 4),), (label(100, 110),))


def test_normal_time_leaves_out_labels_their_tolerance_and_gaps() -> None:
    places = [*range(40), *range(100, 140)]  # to 21.5 s, then from 52 to 71.5 s
    seen = watch(windows([0.0] * 80, places), [label(10, 12)], HOP_NS)
    assert seen.watched_s == 40.0
    assert seen.normal_s() == 40.0 - (2 + 2 * TOLERANCE_S)


def write(folder: Path, text: str) -> Path:
    path = folder / "labels.json"
    path.write_text(text)
    return path


def test_labels_are_read_by_their_start_and_may_say_more(tmp_path: Path) -> None:
    text = (
        '[{"start_s": 9, "end_s": 10.5, "kind": "X1", "modalities": ["audio", "video"],'
        ' "box": null}, {"start_s": 1, "end_s": 2}]'
    )
    first, second = read_labels(write(tmp_path, text))
    assert first == Label(1.0, 2.0)
    assert second == Label(9.0, 10.5, "X1", ("audio", "video"))


def test_times_of_day_are_placed_on_the_recording(tmp_path: Path) -> None:
    text = '[{"start": "2026-01-01T10:00:05Z", "end": "2026-01-01T10:00:07.5Z"}]'
    path = write(tmp_path, text)
    origin_ns = 1_767_261_600_000_000_000  # 2026-01-01T10:00:00Z
    assert read_labels(path, origin_ns) == [Label(5.0, 7.5)]
    with pytest.raises(ConfigError) as caught:
        read_labels(path)
    assert "only a recording can place" in caught.value.problems[0]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("7", "a number instead of an object"),
        ('{"end_s": 1}', "has no start_s"),
        ('{"start_s": "1", "end_s": 2}', "start_s is '1', not a number"),
        ('{"start_s": NaN, "end_s": 2}', "start_s is nan"),
        ('{"start_s": true, "end_s": 2}', "start_s is True"),
        ('{"start_s": 3, "end_s": 2}', "ends at 2 s, before it starts at 3 s"),
        ('{"start_s": 1, "end_s": 2, "kind": 4}', "kind is 4, not text"),
        ('{"start_s": 1, "end_s": 2, "modalities": "audio"}', "modalities is 'audio'"),
        ('{"start_s": 1, "end_s": 2, "modalities": [3]}', "modalities holds 3"),
    ],
)
def test_a_wrong_label_is_named_by_its_number(tmp_path: Path, item: str, said: str) -> None:
    path = write(tmp_path, f'[{{"start_s": 0, "end_s": 1}}, {item}]')
    with pytest.raises(ConfigError) as caught:
        read_labels(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: label 1: ")
    assert said in problem
    assert "1 of 2 labels are wrong" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{}", "holds an object instead of a list"), ("[{", "not JSON"), ("", "not JSON")],
)
def test_a_file_that_is_no_list_of_labels_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_labels(write(tmp_path, text))


def test_a_labels_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_labels(tmp_path / "none.json")


def test_windows_in_which_nothing_was_seen_count_neither_way() -> None:
    seen = [replace(one, detectors={"audio:mic": one.p}) for one in windows([0.0] * 20)]
    blind = [replace(one, detectors={}) if 8 <= n < 12 else one for n, one in enumerate(seen)]
    clean, gap = (watch(some, [], HOP_NS) for some in (seen, blind))
    assert np.flatnonzero(gap.unclear).tolist() == [8, 9, 10, 11]
    assert not clean.unclear.any()
    assert (clean.normal_s(), gap.normal_s()) == (10.0, 8.0)
    assert gap.watched_s == 8.0
    unnamed = watch(windows([0.0] * 20), [], HOP_NS)  # of a table without detectors
    assert not unnamed.unclear.any()
