"""Recalibration on scores alone: hours of windows in a second, with the real calibration."""

from functools import cache

import msgspec
import numpy as np
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.event import Phase
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.calibration import Calibration, Verdict
from pipeline.detection.calm import CalmState, Levels, Quarantine
from pipeline.detection.recalibration import RecalibrationState, Recalibrator, scale_of
from pipeline.detection.recalibration_settings import RecalibrationSettings
from pipeline.detection.score import WindowScore
from pipeline.detection.transition import anomaly_score

HOP_NS = 500_000_000
STEP_NS = 10_000_000_000
HOUR = 7200  # windows
DETECTORS = ("video:a", "audio:b", "between")
ALARM = AlarmSettings(budget="30/hour")
QUICK = RecalibrationSettings(enabled=True, horizon_s=1800, per_hour=2, guard_s=5)


def normal(count: int, seed: int) -> np.ndarray:
    """Raw scores that last for some windows, as overlapping windows have them."""
    steps = np.random.default_rng(seed).exponential(size=(count + 4, len(DETECTORS)))
    return sum(steps[i : count + i] for i in range(5)) / 5


def heights(count: int, seed: int) -> np.ndarray:
    """Scores of each detector, ``-log10 p``, as they are promised; ``(count, detectors)``."""
    ranks = normal(count, seed).argsort(axis=0).argsort(axis=0)
    return -np.log10(1 - (ranks + 0.5) / count)


@cache
def calibration() -> Calibration:
    names = [f"{name}/part" for name in DETECTORS]
    return Calibration(names, normal(HOUR, 0), np.arange(1, HOUR + 1) * HOP_NS, HOP_NS)


@cache
def threshold() -> float:
    budget = calibration().budget(ALARM.false_alarms_hz, min_duration_s=1.0, merge_s=2.0)
    return budget.threshold


def recalibrator(rules: RecalibrationSettings = QUICK) -> Recalibrator:
    return Recalibrator(rules, calibration(), ALARM, threshold(), HOP_NS, "hall")


def verdicts(rows: np.ndarray) -> list[Verdict]:
    """What the commissioned calibration says of windows with these scores."""
    named = [dict(zip(DETECTORS, (10.0**-row).tolist(), strict=True)) for row in rows]
    return [Verdict(calibration().merge(one), one, {}) for one in named]


def judged(steps: list[Verdict], machine: Recalibrator, first: int = 1) -> list[Verdict]:
    return [machine.judge(v, first + i, (first + i) * HOP_NS) for i, v in enumerate(steps)]


def raised(steps: list[Verdict]) -> list[int]:
    """Windows at which the real alarm is raised."""
    alarm = Alarm(ALARM, "hall", threshold(), HOP_NS)
    found = []
    for i, verdict in enumerate(steps):
        end_ns = (i + 4) * HOP_NS
        score = WindowScore("hall", i, end_ns - 4 * HOP_NS, end_ns, verdict.p)
        found += [i for t in alarm.update(score) if t.phase is Phase.RAISED]
    return found


def test_before_anything_was_learnt_verdicts_are_those_of_the_commissioning() -> None:
    steps = verdicts(heights(20, 1))
    assert judged(steps, recalibrator()) == steps


def test_on_the_normal_that_was_promised_factors_stay_near_one() -> None:
    machine = recalibrator()
    judged(verdicts(heights(HOUR, 2)), machine)
    assert set(machine.factors) == set(DETECTORS)
    assert all(0.9 < factor < 1.1 for factor in machine.factors.values())


def test_a_benign_widening_is_followed_back_towards_what_it_was() -> None:
    rows = heights(3 * HOUR, 3)
    steps = verdicts(rows * 1.25)
    corrected = judged(steps, recalibrator())
    # Alarms an hour once there was an hour to learn from.
    usual, wide, followed = (len(raised(s[HOUR:])) / 2 for s in (verdicts(rows), steps, corrected))
    assert wide > 2 * usual
    assert followed - usual < 0.5 * (wide - usual)


def test_only_the_detector_that_changed_is_corrected() -> None:
    machine = recalibrator()
    judged(verdicts(heights(HOUR, 5) * [1.4, 1.0, 1.0]), machine)
    assert machine.factors["video:a"] < 0.88
    assert machine.factors["audio:b"] > 0.93


def test_a_quiet_time_makes_nothing_more_sensitive() -> None:
    steps = verdicts(heights(HOUR, 3) * 0.7)
    assert judged(steps, recalibrator()) == steps


def test_once_alarms_are_within_the_budget_the_commissioned_calibration_comes_back() -> None:
    machine = recalibrator()
    judged(verdicts(heights(HOUR, 9) * 1.5), machine)
    assert min(machine.factors.values()) < 0.9
    judged(verdicts(heights(HOUR, 11) * 0.7), machine, first=HOUR + 1)
    assert set(machine.factors.values()) == {1.0}


GREEDY = RecalibrationSettings(
    enabled=True, horizon_s=300, per_hour=100, calm_below=1, guard_s=0, most=1.5
)


@pytest.mark.parametrize("rules", [QUICK, GREEDY, RecalibrationSettings(enabled=True)])
@pytest.mark.parametrize("every", [True, False])
def test_an_anomaly_that_grows_slowly_is_raised_whatever_was_learnt_on_the_way(
    rules: RecalibrationSettings, every: bool
) -> None:
    """Three hours in which a level rises, in one detector or all, no step of it to be seen."""
    rows = heights(3 * HOUR, 4)
    level = np.linspace(0.0, 2 * rules.most * threshold(), len(rows))
    for column in range(3) if every else (1,):
        rows[:, column] = np.maximum(rows[:, column], level)
    steps = verdicts(rows)
    corrected = judged(steps, recalibrator(rules))
    # From here on the commissioned score of every window is beyond the bound.
    rare = np.array([anomaly_score(v.p) for v in steps]) >= rules.most * threshold()
    sure = len(rare) - int(np.argmin(rare[::-1]))
    assert HOUR < sure < 2.5 * HOUR
    assert all(anomaly_score(v.p) >= threshold() for v in corrected[sure:])
    alarm = Alarm(ALARM, "hall", threshold(), HOP_NS)
    for i, verdict in enumerate(corrected[: sure + 2]):
        alarm.update(WindowScore("hall", i, i * HOP_NS, (i + 4) * HOP_NS, verdict.p))
    assert alarm.standing


def test_a_level_beyond_the_threshold_teaches_nothing_however_long_it_lasts() -> None:
    machine = recalibrator(GREEDY)
    judged(verdicts(heights(600, 6)), machine)
    before = machine.factors
    judged(verdicts(np.full((HOUR, 3), 1.2 * threshold())), machine, first=601)
    assert machine.factors == before


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 4), st.floats(1, 2), st.floats(0.01, 100))
def test_no_correction_leaves_its_bounds(seed: int, wider: float, most: float, fast: float) -> None:
    rules = RecalibrationSettings(
        enabled=True, most=most, per_hour=fast, horizon_s=60, guard_s=0, calm_below=1
    )
    machine = recalibrator(rules)
    steps = verdicts(np.minimum(heights(300, seed) * wider, 15.0))
    for before, after in zip(steps, judged(steps, machine), strict=True):
        ratio = anomaly_score(after.p) / anomaly_score(before.p) if before.p < 1 else 1.0
        assert 1 / most - 1e-9 <= ratio <= 1 + 1e-9
    assert all(1 / most - 1e-9 <= f <= 1 for f in machine.factors.values())


def test_a_factor_moves_no_faster_than_it_may() -> None:
    rules = RecalibrationSettings(enabled=True, per_hour=0.1, horizon_s=60, guard_s=5)
    machine = recalibrator(rules)
    judged(verdicts(heights(HOUR // 2, 7) * 1.5), machine)
    assert all(1 / 1.1**0.5 - 1e-9 <= f < 1 for f in machine.factors.values())


@pytest.mark.parametrize("killed_at", [1, 333, 1234])
def test_killed_anywhere_and_restored_it_judges_as_if_nothing_had_been(killed_at: int) -> None:
    steps = verdicts(heights(2000, 8) * 1.2)
    whole = judged(steps, recalibrator())
    first = recalibrator()
    told = judged(steps[:killed_at], first)
    saved = msgspec.msgpack.encode(first.state())
    second = recalibrator()
    second.restore(msgspec.msgpack.decode(saved, type=RecalibrationState))
    again = max(0, killed_at - 5)  # some windows come again: they are not learnt from twice
    judged(steps[again:killed_at], second, first=again + 1)
    assert msgspec.msgpack.encode(second.state()) == saved
    assert told + judged(steps[killed_at:], second, first=killed_at + 1) == whole


def test_what_was_learnt_under_wider_bounds_is_brought_within_those_of_now() -> None:
    wide = recalibrator()
    judged(verdicts(heights(HOUR, 9) * 1.5), wide)
    assert min(wide.factors.values()) < 0.9
    narrow = recalibrator(RecalibrationSettings(enabled=True, most=1.05))
    narrow.restore(wide.state())
    assert min(narrow.factors.values()) == pytest.approx(1 / 1.05)


def test_each_change_beyond_a_step_is_logged_with_what_it_was_and_is() -> None:
    with structlog.testing.capture_logs() as lines:
        judged(verdicts(heights(HOUR, 9) * [1.3, 1, 1]), recalibrator())
    changes = [x for x in lines if x["event"] == "recalibrated" and x["detector"] == "video:a"]
    assert [x["before"] for x in changes] == [1.0, *(x["after"] for x in changes[:-1])]
    assert changes[-1]["after"] < 0.9
    assert {x["scene"] for x in changes} == {"hall"}


def test_a_detector_that_cannot_see_well_teaches_nothing() -> None:
    machine = recalibrator()
    for i, verdict in enumerate(verdicts(heights(HOUR // 2, 10) * 1.5)):
        machine.judge(verdict, i, (i + 1) * HOP_NS, doubtful=("video:a",))
    assert machine.factors["video:a"] == 1.0
    assert machine.factors["audio:b"] < 0.95


@pytest.mark.parametrize("scale", [0.2, 0.43, 1.0, 3.0])
def test_the_scale_of_an_exponential_is_found_through_its_cut(scale: float) -> None:
    values = np.random.default_rng(0).exponential(scale, 200_000)
    mean = float(values[values < 1.5].mean())
    assert scale_of(mean, 1.5) == pytest.approx(scale, rel=0.1)


def quarantine(state: CalmState | None = None) -> Quarantine:
    return Quarantine(Levels(loud=3.0, standing=2.4, calm=2.0, guard_ns=STEP_NS), state)


def passed(steps: list[tuple[float, float]]) -> list[int]:
    """Numbers of the steps of ten seconds that were calm, of (second, height)."""
    machine = quarantine()
    found = []
    for second, height in steps:
        found += machine.take(round(second * 1e9), height, {"x": height})
    return [step.number for step in found]


def test_a_step_counts_once_the_guard_time_after_it_was_calm_too() -> None:
    assert passed([(s, 1.0) for s in range(1, 41)]) == [0, 1, 2]


def test_nothing_within_the_guard_time_of_something_loud_counts() -> None:
    steps = [(s, 3.5 if s == 45 else 1.0) for s in range(1, 101)]
    assert passed(steps) == [0, 1, 2, 5, 6, 7, 8]
    late = [step for step in steps if step[0] <= 55]
    assert passed(late) == [0, 1, 2]


def test_an_alarm_that_may_still_stand_keeps_what_follows_from_counting() -> None:
    steps = [(s, 3.5 if s == 25 else 2.5 if s in (33, 42) else 1.0) for s in range(1, 91)]
    assert passed(steps) == [0, 5, 6, 7]


def test_scores_near_the_threshold_are_left_out_without_a_guard_time() -> None:
    machine = quarantine()
    found = []
    for s in range(1, 40):
        found += machine.take(s * 10**9, 2.9 if s % 2 else 1.0, {"x": 1.0})
    assert [(step.number, step.sums["x"].count) for step in found] == [(0, 4), (1, 5)]
