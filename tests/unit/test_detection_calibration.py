import numpy as np
import pytest

from pipeline.detection.calibration import Calibration, budget_of, poisson_interval
from pipeline.detection.peaks import peaks_of
from pipeline.models.tails import Tail

HOP_NS = 500_000_000
NAMES = ("video:a/local", "video:a/knn", "audio:b/local", "joint/knn")


def scores(count: int, seed: int, smooth: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    raw = rng.exponential(size=(count + smooth, len(NAMES)))
    return sum(raw[i : count + i] for i in range(smooth)) / smooth


def calibration(count: int = 3000, smooth: int = 1) -> Calibration:
    return Calibration(NAMES, scores(count, 0, smooth), np.arange(1, count + 1) * HOP_NS, HOP_NS)


def judged(cal: Calibration, table: np.ndarray) -> np.ndarray:
    return np.array([cal.judge(row).p for row in table])


def test_merged_p_values_of_fresh_normal_are_uniform():
    p = np.sort(judged(calibration(), scores(3000, 1)))
    assert np.abs(p - (np.arange(3000) + 0.5) / 3000).max() < 0.04
    assert 0.3 < (p < 0.01).mean() / 0.01 < 2


def test_each_detector_is_calibrated_by_itself():
    verdicts = [calibration().judge(row) for row in scores(200, 2)]
    assert set(verdicts[0].detectors) == {"video:a", "audio:b", "joint"}
    for name in verdicts[0].detectors:
        median = np.median([v.detectors[name] for v in verdicts])
        assert 0.4 < median < 0.6


@pytest.mark.parametrize("missing", [(0, 1), (2,), (0, 1, 2), (3,)])
def test_p_values_stay_uniform_when_detectors_are_missing(missing):
    table = scores(2000, 3)
    table[:, missing] = np.nan
    p = judged(calibration(), table)
    assert 0.6 < (p < 0.1).mean() / 0.1 < 1.5
    assert np.isfinite(p).all()


def test_one_strange_detector_is_enough():
    strange = scores(1, 4)
    strange[0, 2] = 60.0
    verdict = calibration().judge(strange[0])
    assert verdict.p < 1e-6
    assert min(verdict.detectors, key=verdict.detectors.__getitem__) == "audio:b"
    assert verdict.parts["audio:b"] == "audio:b/local"


def test_nothing_seen_is_not_anomalous():
    verdict = calibration().judge(np.full(len(NAMES), np.nan))
    assert verdict.p == 1.0
    assert not verdict.detectors


def test_calibration_windows_with_missing_streams_are_used_for_what_they_saw():
    table = scores(2000, 0)
    table[1000:, :2] = np.nan
    cal = Calibration(NAMES, table, np.arange(1, 2001) * HOP_NS, HOP_NS)
    p = judged(cal, scores(1000, 5))
    assert 0.5 < (p < 0.1).mean() / 0.1 < 1.6
    assert np.isfinite(cal.held_scores).all()


@pytest.mark.parametrize("per_hour", [60.0, 12.0])
@pytest.mark.parametrize("min_duration_s", [0.0, 1.0])
def test_fresh_normal_spends_about_the_budget(per_hour, min_duration_s):
    cal = calibration(7200, smooth=5)
    budget = cal.budget(per_hour / 3600, min_duration_s=min_duration_s, merge_s=2.0)
    assert budget.supported
    fresh = Calibration(NAMES, scores(12000, 6, 5), np.arange(1, 12001) * HOP_NS, HOP_NS)
    fresh.held_scores = -np.log10(judged(cal, scores(12000, 6, 5)))
    alarms = (fresh.peaks(min_duration_s, 2.0) >= budget.threshold).sum()
    hours = 12000 * 0.5 / 3600
    assert 0.4 < alarms / hours / per_hour < 2.2
    assert budget.low_hz < per_hour / 3600 < budget.high_hz


def test_rarer_budgets_have_higher_thresholds_and_say_when_they_are_extrapolated():
    cal = calibration(1200)
    budgets = [cal.budget(rate / 3600) for rate in (60, 12, 2, 0.1, 0.001)]
    thresholds = [b.threshold for b in budgets]
    assert thresholds == sorted(thresholds)
    assert [b.supported for b in budgets] == [True, True, False, False, False]


@pytest.mark.parametrize("min_duration_s", [0.0, 1.0])
def test_a_budget_too_rare_to_count_is_kept_even_if_no_two_alarms_overlap(min_duration_s):
    cal = calibration(80)
    budget = cal.budget(6 / 3600, min_duration_s=min_duration_s)
    windows = 2 if min_duration_s else 1
    share = 10**-budget.threshold
    assert share / (windows * HOP_NS / 1e9) <= 6 / 3600 * 1.0001


def test_a_budget_too_rare_to_count_is_neither_broken_nor_left_unused():
    """Windows that overlap: half an hour, and a budget of one alarm in four hours."""
    rate_hz, rules = 6 / 86_400, (1.0, 2.0)
    spent = []
    for seed in range(12):
        x, fresh = (overlapping(count, seed + first) for count, first in ((3600, 0), (72_000, 99)))
        held = Tail(x)
        end_ns = np.arange(1, len(fresh) + 1) * HOP_NS
        levels = -np.log10(held.p(x))
        budget = budget_of(levels, end_ns[: len(x)], HOP_NS, rate_hz, *rules)
        assert not budget.supported
        peaks = peaks_of(-np.log10(held.p(fresh)), end_ns, HOP_NS, *rules)
        spent.append((peaks >= budget.threshold).sum() / (len(fresh) * HOP_NS / 1e9) / rate_hz)
    assert 0.3 <= np.mean(spent) <= 1.5


def overlapping(count: int, seed: int) -> np.ndarray:
    """Scores of windows that each hold the worst of four moments."""
    moments = np.random.default_rng(seed).exponential(size=count + 3)
    return np.lib.stride_tricks.sliding_window_view(moments, 4).max(axis=1)


def test_a_gap_in_the_normal_time_does_not_join_windows_into_one_peak():
    table = scores(400, 7)
    table[199:201] = 50.0
    together = Calibration(NAMES, table, np.arange(1, 401) * HOP_NS, HOP_NS)
    ends = np.arange(1, 401) * HOP_NS
    ends[200:] += 3600 * 10**9
    apart = Calibration(NAMES, table, ends, HOP_NS)
    assert (together.peaks(0.0, 2.0) > 2).sum() < (apart.peaks(0.0, 2.0) > 2).sum()
    assert apart.peaks(1.0, 2.0)[0] < together.peaks(1.0, 2.0)[0]


def test_a_handful_of_windows_still_calibrates():
    cal = calibration(5)
    assert 0 < cal.judge(scores(1, 8)[0]).p <= 1
    assert np.isfinite(cal.budget(1 / 3600).threshold)


@pytest.mark.parametrize(
    ("count", "low", "high"), [(1, 0.0513, 4.744), (5, 1.970, 10.513), (20, 13.255, 29.062)]
)
def test_the_interval_of_a_count_is_that_of_garwood(count, low, high):
    assert poisson_interval(count) == pytest.approx((low, high), rel=0.03, abs=0.02)


def test_a_budget_says_how_long_the_normal_behind_it_is_and_what_rate_to_expect():
    levels = np.random.default_rng(9).exponential(size=7200)
    found = budget_of(levels, np.arange(1, 7201) * HOP_NS, HOP_NS, 12 / 3600, 1.0, 2.0)
    assert found.calibration_s == 3600.0
    low, high = poisson_interval(12.0)
    assert (found.low_hz, found.high_hz) == pytest.approx((low / 3600, high / 3600))


def peaks_every(period: int, heights: tuple[float, ...], count: int = 3600) -> np.ndarray:
    """Levels with a peak of five windows every so many, of these heights in turn."""
    levels = np.zeros(count)
    for number, first in enumerate(range(0, count - 5, period)):
        levels[first : first + 5] = heights[number % len(heights)]
    return levels


@pytest.mark.parametrize(
    ("heights", "least", "most"), [((1.5, 1.5, 0.5), 1.5, 1.9), ((1.5, 1.5, 2.5), 2.5, 2.9)]
)
def test_peaks_of_one_height_do_not_raise_together_beyond_the_budget(heights, least, most):
    end_ns = np.arange(1, 3601) * HOP_NS
    found = budget_of(peaks_every(60, heights), end_ns, HOP_NS, 6 / 3600, 1.0, 2.0)
    assert found.supported
    assert least < found.threshold < most
    rare = peaks_every(60, heights)
    rare[1000:1005] = 3.0
    assert max(heights) < budget_of(rare, end_ns, HOP_NS, 6 / 3600, 1.0, 2.0).threshold < 3.0


def test_a_larger_budget_never_has_a_higher_threshold_nor_raises_more_peaks_than_it_allows():
    rng = np.random.default_rng(0)
    end_ns = np.arange(1, 3601) * HOP_NS
    for _ in range(40):
        levels = peaks_every(60, tuple(np.round(rng.gamma(2.0, 1.0, 30), 1)))
        allowed = np.linspace(1.0, 50.0, 60)
        found = [budget_of(levels, end_ns, HOP_NS, n / 1800, 1.0, 2.0).threshold for n in allowed]
        assert (np.diff(found) <= 1e-12).all()
        peaks = peaks_of(levels, end_ns, HOP_NS, 1.0, 2.0)
        raised = [(peaks >= threshold).sum() for threshold in found]
        assert (np.array(raised) <= allowed + 0.5).all()


@pytest.mark.parametrize("budget_hz", [6 / 3600, 1.0])
def test_where_normal_never_differs_a_window_that_shows_nothing_does_not_alarm(budget_hz):
    end_ns = np.arange(1, 3601) * HOP_NS
    assert budget_of(np.zeros(3600), end_ns, HOP_NS, budget_hz, 1.0, 2.0).threshold > 0.0


def test_without_any_normal_nothing_is_promised():
    found = budget_of(np.zeros(0), np.zeros(0, np.int64), HOP_NS, 1 / 3600, 1.0, 2.0)
    assert (found.low_hz, found.high_hz, found.calibration_s) == (0.0, np.inf, 0.0)
    assert not found.supported
    assert found.threshold >= 3  # one window of an hour's, held twice


def test_what_could_see_only_badly_says_less_and_at_weight_zero_nothing():
    cal, row = calibration(), np.full(len(NAMES), 6.0)
    full = cal.judge(row, np.ones(len(NAMES)))
    assert full == cal.judge(row)
    half = cal.judge(row, np.array([1.0, 1.0, 0.5, 1.0]))
    blind = cal.judge(row, np.array([1.0, 1.0, 0.0, 1.0]))
    assert full.p < half.p < blind.p
    assert full.detectors["audio:b"] < half.detectors["audio:b"] < blind.detectors["audio:b"]
    assert blind.detectors["audio:b"] > 0.9
    assert half.detectors["video:a"] == full.detectors["video:a"]


def test_detectors_are_merged_as_they_were_judged_whether_or_not_what_saw_is_told():
    cal = calibration()
    whole = cal.judge(scores(1, 10)[0])
    assert cal.merge(whole.detectors) == cal.merge(whole.detectors, whole.seen) == whole.p
    blind = scores(1, 10)[0]
    blind[:2] = np.nan
    part = cal.judge(blind)
    assert part.seen == NAMES[2:]
    assert cal.merge(part.detectors) == part.p
    assert cal.merge({}) == 1.0
