from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.transport.clock_sync import DOUBT_NS, ClockEstimate, ClockEstimator
from tests.benchmarks.clock_lines import DSL, LAN, LINES, ONE_SIDED, WIFI, Event, Line, S
from tests.benchmarks.clock_runs import Run, run_ours

SECONDS = 120


def sooner(line: Line) -> Line:
    """The line with everything that happens on it five times as early."""
    events = tuple(replace(e, at_s=e.at_s / 5, asleep_s=e.asleep_s / 5) for e in line.events)
    return replace(line, events=events)


def outside(run: Run) -> np.ndarray:
    """When the truth was not within the bound, seconds."""
    return run.at_s[np.abs(run.error_ns) > run.bound_ns]


def soon_s(line: Line, event: Event) -> float:
    """How long after something happened the bound may be wrong, seconds.

    The next answer proves a step by more than the round trip. A smaller one, and a clock that
    runs off fast, show when a packet gets through quickly, which may take as long as a burst.
    """
    if event.slew_ppm:
        return 0.7 if abs(event.slew_ppm) > 100 else 0.0
    moved_ns = abs(event.node_ns) + abs(event.site_ns) + event.asleep_s * S
    return 0.2 if moved_ns > 4 * line.best_ns else 3.0


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_the_truth_lies_within_the_bound_at_every_moment_but_right_after_a_step(line: Line) -> None:
    line = sooner(line)
    run = run_ours(line, 3, SECONDS)
    moved = [(e.at_s + e.asleep_s, soon_s(line, e)) for e in line.events if not e.told]
    for at in outside(run):
        assert any(0 <= at - when < soon for when, soon in moved), f"outside at {at:.2f} s"
    assert run.first_s < 0.1
    assert np.nanmedian(run.bound_ns) < 1.3 * line.best_ns


@pytest.mark.parametrize(
    ("line", "limit_ns"), [(LAN, 30e3), (WIFI, 0.5e6)], ids=["lan", "busy wifi"]
)
def test_the_offset_is_as_exact_as_the_line_allows(line: Line, limit_ns: float) -> None:
    run = run_ours(line, 1, SECONDS)
    assert np.nanpercentile(np.abs(run.error_ns), 99) <= limit_ns


@pytest.mark.parametrize("line", [DSL, ONE_SIDED], ids=lambda line: line.name)
def test_a_bound_that_left_out_the_round_trip_would_not_hold(line: Line) -> None:
    run = run_ours(line, 2, 60)
    assert not len(outside(run))
    share = 0.5 if line is DSL else 0.98
    assert (np.abs(run.error_ns) > share * run.bound_ns)[~np.isnan(run.error_ns)].mean() > 0.9


def test_the_bound_is_honest_from_the_first_answer_on() -> None:
    for seed in range(6):
        for line in (LAN, WIFI, ONE_SIDED):
            assert not len(outside(run_ours(line, seed, 6)))


@pytest.mark.parametrize("name", ["site +1 h", "node -1 h", "node +1 h", "-3 ms, +3 ms"])
def test_a_step_is_counted_as_one(name: str) -> None:
    line = sooner(next(line for line in LINES if name in line.name))
    assert run_ours(line, 3, SECONDS).forgotten["step"] == len(line.events)


def test_a_quiet_line_gives_no_reason_to_forget() -> None:
    assert not run_ours(LAN, 4, SECONDS).forgotten


def exchange(estimator: ClockEstimator, at: int, offset: int, there: int, back: int) -> bool:
    return estimator.add(at, at + there + offset, at + there + offset, at + there + back)


def test_one_exchange_is_enough_for_an_estimate() -> None:
    estimator = ClockEstimator("udp")
    assert estimator.estimate() is None
    estimator.add(1_000, 5_500, 5_600, 2_100)
    estimate = estimator.estimate()
    assert estimate.offset_ns == 4_000
    assert estimate.uncertainty_ns >= 500


def test_one_good_packet_each_way_is_enough_though_no_exchange_was_good_both_ways() -> None:
    estimator = ClockEstimator("udp")
    exchange(estimator, 0, 7_000_000, 100_000, 9_000_000)
    exchange(estimator, 10_000_000, 7_000_000, 9_000_000, 100_000)
    estimate = estimator.estimate()
    assert abs(estimate.offset_ns - 7_000_000) < 3_000
    assert estimate.uncertainty_ns < 110_000


@pytest.mark.parametrize("times", [(10, 5, 4, 20), (10, 0, 0, 5), (0, 0, 100, 50)])
def test_exchanges_that_cannot_be_true_are_refused(times: tuple[int, int, int, int]) -> None:
    estimator = ClockEstimator("udp")
    assert not estimator.add(*times)
    assert estimator.estimate() is None


def test_an_exchange_during_which_node_time_jumped_on_is_refused() -> None:
    assert not ClockEstimator("udp").add(0, 50_000, 50_000, 3600 * S)


def test_old_exchanges_are_forgotten() -> None:
    estimator = ClockEstimator("udp", window_ns=1_000)
    estimator.add(0, 100, 100, 10)
    estimator.add(10_000, 10_900, 10_900, 10_010)
    assert estimator.estimate().offset_ns == 895
    assert not estimator.forgotten


@pytest.mark.parametrize("step_ns", [3_000_000, -3_000_000, 3600 * S, -3600 * S])
def test_what_was_heard_before_a_step_counts_no_more_from_the_first_exchange_on(
    step_ns: int,
) -> None:
    estimator = ClockEstimator("udp")
    for number in range(40):
        exchange(estimator, number * S // 8, 0, 100_000, 100_000)
    exchange(estimator, 5 * S, step_ns, 100_000, 100_000)
    estimate = estimator.estimate()
    assert abs(estimate.offset_ns - step_ns) <= estimate.uncertainty_ns < 110_000
    assert estimator.forgotten == {"step": 1}


def test_many_exchanges_fit_into_the_table_and_the_newest_count() -> None:
    estimator = ClockEstimator("udp")
    for number in range(5_000):
        exchange(estimator, number * 1_000_000, 4_000, 100_000, 100_000)
    assert estimator.newest_ns == 4_999_000_000 + 200_000
    assert abs(estimator.estimate().offset_ns - 4_000) < 1_000


def test_an_estimate_is_carried_on_by_its_drift_and_gets_less_sure() -> None:
    estimate = ClockEstimate(1_000, 50, 20.0, 15.0, 0, "udp")
    later = estimate.at(1_000_000_000)
    assert later.offset_ns == 1_000 + 20_000
    assert later.uncertainty_ns == 50 + 15_000
    assert estimate.at(-1_000_000_000).uncertainty_ns == 50 + 15_000


def test_an_estimate_in_doubt_says_so() -> None:
    estimate = ClockEstimate(1_000, 50, 20.0, 15.0, 0, "udp")
    assert estimate.doubted(DOUBT_NS).uncertainty_ns == 50 + DOUBT_NS
    assert estimate.doubted(DOUBT_NS).offset_ns == 1_000
