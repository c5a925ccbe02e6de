"""What lasts over several windows, and what it does to the rate of false alarms."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from pipeline.detection.calibration import Verdict
from pipeline.detection.lasting import Lasting
from pipeline.detection.verdict_row import Level, VerdictRow

HOP_NS = 500_000_000
WINDOWS = 4


def normal(count: int, seed: int) -> np.ndarray:
    """Scores ``-log10 p`` of windows that overlap: each holds the worst of four moments."""
    moments = np.random.default_rng(seed).random(count + WINDOWS - 1)
    worst = np.lib.stride_tricks.sliding_window_view(moments, WINDOWS).min(axis=1)
    return -np.log10(1 - (1 - worst) ** WINDOWS)


def ends(count: int) -> np.ndarray:
    return np.arange(1, count + 1, dtype=np.int64) * HOP_NS


@pytest.fixture(scope="module")
def lasting() -> Lasting:
    return Lasting(normal(3600, 1), ends(3600), HOP_NS, WINDOWS)


def scores(lasting: Lasting, levels: np.ndarray) -> np.ndarray:
    """Scores of windows one after the other."""
    row = VerdictRow(lasting)
    verdicts = [row.told(Verdict(10.0**-x, {}, {}), i) for i, x in enumerate(levels.tolist())]
    return np.array([-np.log10(v.p) for v in verdicts])


def test_the_held_out_windows_are_told_as_live_ones_are(lasting: Lasting) -> None:
    assert scores(lasting, normal(3600, 1)) == pytest.approx(lasting.held_scores, abs=1e-9)


def test_fresh_normal_is_as_rare_as_before(lasting: Lasting) -> None:
    fresh = scores(lasting, normal(100_000, 2))
    for level in (1.0, 2.0, 3.0):
        assert (fresh >= level).mean() == pytest.approx(10**-level, rel=0.6)


def test_what_lasts_is_rarer_than_what_comes_and_goes(lasting: Lasting) -> None:
    assert lasting.of([2.0] * 4) > lasting.of([0.3, 0.3, 0.3, 2.0]) + 0.3
    assert lasting.of([2.0] * 4) > 2.2


def test_what_is_seen_in_one_window_is_hardly_less_rare(lasting: Lasting) -> None:
    assert lasting.of([0.3, 0.3, 0.3, 5.0]) > 4.0


def test_it_ends_with_what_raised_it(lasting: Lasting) -> None:
    assert lasting.of([6.0, 6.0, 6.0, 0.5]) < 1.0


def test_higher_scores_never_make_it_less_rare(lasting: Lasting) -> None:
    steps = [lasting.of([1.0, x, 1.0, x]) for x in np.linspace(0, 6, 61)]
    assert steps == sorted(steps)


def test_where_a_window_is_missing_the_newest_speaks_alone(lasting: Lasting) -> None:
    row = VerdictRow(lasting)
    told = [row.told(Verdict(0.01, {}, {}), index) for index in (1, 2, 3, 5, 6, 7)]
    assert told == [Verdict(0.01, {}, {})] * 6
    last = row.told(Verdict(0.01, {}, {}), 8)
    assert last.p < 0.01
    assert last.lasting == pytest.approx(-np.log10(last.p) / 2)


def test_one_window_alone_changes_nothing() -> None:
    levels = normal(200, 3)
    alone = Lasting(levels, ends(200), HOP_NS, 1)
    assert alone.held_scores is levels
    assert alone.of([1.0, 3.0]) == 3.0


def test_rows_of_the_held_out_normal_end_at_its_gaps() -> None:
    levels, times = normal(400, 4), ends(400)
    times[200:] += 60 * HOP_NS
    held = Lasting(levels, times, HOP_NS, WINDOWS).held_scores
    same = np.flatnonzero(held == levels)
    assert {0, 1, 2, 200, 201, 202} <= set(same.tolist())


def test_less_normal_than_a_row_changes_nothing() -> None:
    levels = normal(3, 5)
    assert (Lasting(levels, ends(3), HOP_NS, WINDOWS).held_scores == levels).all()


def test_a_row_goes_on_from_what_was_kept(lasting: Lasting) -> None:
    levels = normal(20, 6)
    whole = scores(lasting, levels)
    first = VerdictRow(lasting)
    for index, level in enumerate(levels[:10].tolist()):
        first.told(Verdict(10.0**-level, {}, {}), index)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(first.levels), type=list[Level])
    second = VerdictRow(lasting, kept)
    told = [
        second.told(Verdict(10.0**-level, {}, {}), 10 + index)
        for index, level in enumerate(levels[10:].tolist())
    ]
    assert np.array([-np.log10(v.p) for v in told]) == pytest.approx(whole[10:])
