from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.training.class_metrics import classified
from pipeline.training.intervals import garwood, wilson
from pipeline.training.metrics import at_threshold, auroc, average_precision, curve, vus_pr

LEVELS = st.integers(-5, 5).map(float)


def runs(n: int, *spans: tuple[int, int]) -> np.ndarray:
    truth = np.zeros(n, bool)
    for first, after in spans:
        truth[first:after] = True
    return truth


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    # Anomalous 3 and 1, normal 2 and 0: three of the four pairs are in order.
    assert auroc([1, 0, 1, 0], [3.0, 2.0, 1.0, 0.0]) == pytest.approx(3 / 4)


def test_a_tie_counts_half_in_auroc() -> None:
    assert auroc([1, 0], [1.0, 1.0]) == 0.5
    # 2 against 2 and 1: a half and one; 1 against 2 and 1: none and a half.
    assert auroc([1, 1, 0, 0], [2.0, 1.0, 2.0, 1.0]) == pytest.approx(2 / 4)


def test_average_precision_adds_the_precision_at_each_anomaly_found() -> None:
    # Found at ranks 1, 3 and 4: precisions 1, 2/3 and 3/4, a third of the recall each.
    truth = [1, 0, 1, 1, 0]
    assert average_precision(truth, [5.0, 4.0, 3.0, 2.0, 1.0]) == pytest.approx(
        (1 + 2 / 3 + 3 / 4) / 3
    )


def test_average_precision_of_one_tie_is_the_share_of_anomalies() -> None:
    assert average_precision([1, 0, 0, 1, 0], [1.0] * 5) == pytest.approx(2 / 5)


def test_a_random_score_has_auroc_a_half_and_the_precision_of_chance() -> None:
    rng = np.random.default_rng(1)
    truth, scores = rng.random(20_000) < 0.1, rng.random(20_000)
    assert auroc(truth, scores) == pytest.approx(0.5, abs=0.02)
    assert average_precision(truth, scores) == pytest.approx(0.1, abs=0.01)


def test_figures_without_both_classes_are_not_a_number() -> None:
    assert math.isnan(auroc([1, 1], [0.0, 1.0]))
    assert math.isnan(auroc([0, 0], [0.0, 1.0]))
    assert math.isnan(average_precision([0, 0], [0.0, 1.0]))
    assert math.isnan(vus_pr([0, 0], [0.0, 1.0], 4))


def test_a_nan_score_is_refused_rather_than_ranked() -> None:
    with pytest.raises(ValueError, match="NaN"):
        auroc([1, 0], [math.nan, 1.0])


def test_a_threshold_counts_what_lies_at_or_over_it() -> None:
    found = at_threshold([1, 1, 0, 0, 0], [3.0, 1.0, 2.0, 1.0, 0.0], 2.0)
    counts = found.true_positives, found.false_positives
    assert (*counts, found.false_negatives, found.true_negatives) == (1, 1, 1, 2)
    assert (found.accuracy, found.precision, found.recall, found.f1) == (0.6, 0.5, 0.5, 0.5)


def test_no_hit_at_all_has_no_precision_and_f1_zero() -> None:
    found = at_threshold([1, 0], [0.0, 0.0], 1.0)
    assert math.isnan(found.precision)
    assert (found.recall, found.f1) == (0.0, 0.0)


def test_the_curve_has_a_point_a_distinct_score_and_ends_with_everything() -> None:
    found = curve([1, 0, 1, 0], [2.0, 2.0, 1.0, 0.0])
    assert found.thresholds.tolist() == [2.0, 1.0, 0.0]
    assert found.true.tolist() == [1, 2, 2]
    assert found.false.tolist() == [1, 1, 2]


@given(arrays(bool, 30), arrays(float, 30, elements=LEVELS))
def test_auroc_is_that_of_all_pairs_and_turns_round_with_the_score(truth, scores) -> None:
    if truth.all() or not truth.any():
        return
    above = scores[truth][:, None] - scores[~truth][None, :]
    pairs = ((above > 0) + 0.5 * (above == 0)).mean()
    assert auroc(truth, scores) == pytest.approx(pairs)
    assert auroc(truth, -scores) == pytest.approx(1 - pairs)


@given(arrays(bool, 40), arrays(float, 40, elements=LEVELS), st.integers(0, 9))
@settings(max_examples=60)
def test_only_the_order_of_scores_matters(truth, scores, buffer) -> None:
    for figure in (auroc, average_precision, lambda t, s: vus_pr(t, s, buffer)):
        one, other = figure(truth, scores), figure(truth, np.exp(scores) + 3)
        assert one == pytest.approx(other, nan_ok=True)
        assert math.isnan(one) or 0 <= one <= 1 + 1e-12


def test_vus_pr_of_a_perfect_score_is_one() -> None:
    truth = runs(100, (10, 15), (60, 70))
    assert vus_pr(truth, truth.astype(float), 12) == pytest.approx(1.0)


def test_vus_pr_without_a_buffer_weighs_recall_by_the_runs_that_are_hit() -> None:
    truth = runs(8, (1, 3), (5, 6))
    scores = np.array([0.0, 3.0, 3.0, 0.0, 2.0, 1.0, 0.0, 0.0])
    # At 3: two of three windows, one of two runs: recall 1/3 with precision 1. At 2 a normal
    # window, no more recall. At 1: all and both runs: recall 1 with precision 3/4.
    assert vus_pr(truth, scores, 0) == pytest.approx(1 / 3 * 1 + 2 / 3 * 3 / 4)


def test_vus_pr_with_a_buffer_by_hand() -> None:
    truth = runs(5, (2, 3))
    scores = np.array([0.0, 1.0, 0.0, 0.0, 0.0])  # one window too early
    # Buffer 0: the hit is wrong, everything at once then has precision 1/5: .2.
    # Buffer 1 holds no window (half of it rounds down): .2.
    # Buffer 2: a window either side with sqrt(1/2). First the hit: precision .7071, recall
    # .7071 / (1 + .3536) with the run hit. Then all: recall 1 (1 + 1.4142 over 1.7071, at most
    # 1), precision 2.4142 / 5.
    soft = math.sqrt(0.5)
    first = soft / (1 + soft / 2)
    at_two = first * soft + (1 - first) * (1 + 2 * soft) / 5
    assert vus_pr(truth, scores, 2) == pytest.approx((0.2 + 0.2 + at_two) / 3)


def test_vus_pr_forgives_a_small_shift_and_not_a_large_one() -> None:
    truth = runs(200, (50, 60), (120, 130)).astype(float)
    near, far = np.roll(truth, 3), np.roll(truth, 30)
    assert vus_pr(truth, near, 16) > average_precision(truth, near) + 0.05
    assert vus_pr(truth, far, 16) < 0.2


def test_vus_pr_of_a_random_score_is_near_the_share_of_anomalies() -> None:
    rng = np.random.default_rng(2)
    truth = np.repeat(rng.random(500) < 0.1, 10)
    figure = vus_pr(truth, rng.random(5000), 4)
    assert truth.mean() - 0.03 < figure < truth.mean() + 0.06


def test_windows_left_out_of_vus_pr_do_not_count() -> None:
    truth = runs(60, (10, 15))
    scores = truth.astype(float)
    scores[40:50] = 2.0  # of another kind
    keep = np.ones(60, bool)
    keep[40:50] = False
    assert vus_pr(truth, scores, 8) < 0.7
    assert vus_pr(truth, scores, 8, keep=keep) == pytest.approx(1.0)


# What the authors' package (vus 0.0.6, RangeAUC_volume_opt with a threshold a window) gives for
# the very same rows; computed once, the package is not needed to run this.
AUTHORS = ((0, 12), (1, 7), (2, 0), (3, 20))
AUTHORS_GAVE = (0.763251151378, 0.684388498377, 0.615003648178, 0.618187060885)


def sample_row(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = runs(120, (20, 26), (50, 51), (56, 70))
    return truth, np.round(rng.normal(size=120) + 1.5 * truth, 1)


@pytest.mark.parametrize(("row", "gave"), list(zip(AUTHORS, AUTHORS_GAVE, strict=True)))
def test_vus_pr_agrees_with_the_code_of_its_authors(row: tuple[int, int], gave: float) -> None:
    truth, scores = sample_row(row[0])
    assert vus_pr(truth, scores, row[1]) == pytest.approx(gave, abs=1e-9)


def test_classes_are_counted_by_hand() -> None:
    truth = ["cat", "cat", "cat", "dog", "dog", "owl"]
    told = ["cat", "cat", "dog", "dog", "cat", "dog"]
    found = classified(truth, told)
    assert found.classes == ("cat", "dog", "owl")
    assert found.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert found.accuracy == pytest.approx(3 / 6)
    assert found.recall == pytest.approx([2 / 3, 1 / 2, 0])
    assert found.precision[:2] == pytest.approx([2 / 3, 1 / 3])
    assert math.isnan(found.precision[2])
    assert found.macro_recall == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert found.macro_precision == pytest.approx((2 / 3 + 1 / 3 + 0) / 3)


def test_a_class_that_is_only_told_does_not_enter_the_mean() -> None:
    found = classified([0, 0, 1], [0, 2, 1])
    assert found.macro_recall == pytest.approx((1 / 2 + 1) / 2)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Chi-square tables: half of its .05 quantile with 2k and of its .95 with 2k + 2 degrees.
    [(0, 0.0, 2.9957), (1, 0.0513, 4.7439), (5, 1.9701, 10.5130), (20, 13.2547, 29.0620)],
)
def test_garwoods_interval_is_that_of_the_tables(count: int, low: float, high: float) -> None:
    assert garwood(count) == pytest.approx((low, high), abs=2e-4)


def test_garwoods_interval_of_many_is_near_the_normal_one() -> None:
    low, high = garwood(10_000)
    assert (low, high) == pytest.approx((10_000 - 164.5, 10_000 + 164.5), abs=3)


def test_wilsons_interval_stays_within_what_a_share_can_be() -> None:
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0
    low, high = wilson(5, 10)
    assert low == pytest.approx(1 - high)
    assert math.isnan(wilson(0, 0)[0])
