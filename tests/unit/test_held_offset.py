"""The offset that samples are stamped by goes to the estimate evenly, and says how it is off."""

from __future__ import annotations

import random

from pipeline.transport.clock_sync import ClockEstimate
from pipeline.transport.held_offset import SLEW_PPM, STEP_NS, HeldOffset

MS = 1_000_000
S = 1_000_000_000


def estimate(at_ns: int, offset_ns: int, unsure_ns: int = MS, drift: float = 0.0) -> ClockEstimate:
    return ClockEstimate(offset_ns, unsure_ns, drift, 15.0, at_ns, "udp")


def test_the_first_estimate_is_taken_as_it_is() -> None:
    first = estimate(5 * S, 37 * S)
    assert HeldOffset().follow(first) == first


def test_a_better_estimate_moves_no_stamp_by_more_than_the_slew() -> None:
    held = HeldOffset()
    held.follow(estimate(0, 0, 30 * MS))
    before_ns = 0
    for at_ns in range(33 * MS, 20 * S, 33 * MS):
        found = held.follow(estimate(at_ns, 28 * MS, 2 * MS))
        assert 0 <= found.offset_ns - before_ns <= 33 * MS * SLEW_PPM * 1e-6 + 1
        assert found.uncertainty_ns == 2 * MS + 28 * MS - found.offset_ns
        before_ns = found.offset_ns
    assert (found.offset_ns, found.uncertainty_ns) == (28 * MS, 2 * MS)
    assert held.steps == 0


def test_what_is_true_lies_within_its_bound_whenever_it_does_within_that_of_the_estimate() -> None:
    rng, held = random.Random(1), HeldOffset()
    for number in range(2000):
        unsure_ns = rng.randrange(1, 30 * MS)
        found = held.follow(
            estimate(number * 20 * MS, rng.randint(-unsure_ns, unsure_ns), unsure_ns)
        )
        assert abs(found.offset_ns) <= found.uncertainty_ns


def test_drift_is_followed_without_lagging_behind() -> None:
    held = HeldOffset()
    for at_ns in range(0, 100 * S, S // 10):
        now = estimate(at_ns, round(at_ns * 40e-6), drift=40.0)
        assert abs(held.follow(now).offset_ns - now.offset_ns) <= 1


def test_a_clock_that_was_set_is_followed_at_once_and_counted() -> None:
    held = HeldOffset()
    held.follow(estimate(0, 0))
    assert held.follow(estimate(S, 3600 * S)) == estimate(S, 3600 * S)
    assert held.follow(estimate(2 * S, 3600 * S - STEP_NS - 1)).offset_ns == 3600 * S - STEP_NS - 1
    assert held.steps == 2


def test_a_look_at_an_earlier_time_moves_nothing() -> None:
    held = HeldOffset()
    held.follow(estimate(S, 0))
    assert held.follow(estimate(S // 2, 20 * MS)).offset_ns == 0
