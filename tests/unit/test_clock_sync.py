from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.clock import ManualClock
from pipeline.transport.clock_probe import ClockSync, probe_target
from pipeline.transport.clock_sync import ClockEstimate, ClockEstimator
from pipeline.transport.protocol import ClockAnswer

START = 1_700_000_000_000_000_000
FAST = [0.008 * n for n in range(8)]


def run(
    seed: int,
    *,
    base_ns: float,
    queue_ns: float,
    burst_ns: float,
    drift_ppm: float,
    wander: float = 0.0,
    asymmetry: float = 0.0,
    seconds: float = 120,
    skip_s: float = 20,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors, uncertainties (ns) and drifts (ppm) of an estimator on a simulated line."""
    rng = np.random.default_rng(seed)
    offset, frequency, last, burst_left = 3.7e9, drift_ppm * 1e-6, 0.0, 0
    exchanges = []
    for at in (*FAST, *np.arange(0.2, seconds, 0.125)):
        step, last = at - last, at
        frequency += rng.normal(0, wander * np.sqrt(step))
        offset += frequency * step * 1e9
        burst_left = rng.integers(1, 20) if rng.random() < 0.01 else max(0, burst_left - 1)
        there, back = (
            base_ns * (1 + side * asymmetry)
            + rng.exponential(queue_ns)
            + (rng.exponential(burst_ns) if burst_left else 0)
            for side in (1, -1)
        )
        t1 = START + int(at * 1e9)
        t2 = int(t1 + offset + there)
        if rng.random() > 0.02:
            exchanges.append((int(t1 + there + 30_000 + back), t1, t2, offset, frequency))
    estimator, found = ClockEstimator("udp"), []
    for count, (t4, t1, t2, truth, frequency) in enumerate(sorted(exchanges)):
        assert estimator.add(t1, t2, t2 + 30_000, t4)
        if t1 >= START + skip_s * 1e9 and count % 4 == 0:
            estimate = estimator.estimate()
            truth_at_t4 = truth + (t4 - t1) * frequency
            error = abs(estimate.offset_ns - truth_at_t4)
            found.append((error, estimate.uncertainty_ns, estimate.drift_ppm))
    table = np.array(found)
    return table[:, 0], table[:, 1], table[:, 2]


LAN = {"base_ns": 80e3, "queue_ns": 20e3, "burst_ns": 500e3, "drift_ppm": 20, "wander": 1e-9}
WIFI = {"base_ns": 1.2e6, "queue_ns": 2e6, "burst_ns": 30e6, "drift_ppm": 40, "wander": 2e-8}


@pytest.mark.parametrize(
    ("line", "limit_ns"), [(LAN, 30e3), (WIFI, 0.5e6)], ids=["lan", "busy wifi"]
)
def test_the_offset_is_as_exact_as_the_line_allows(line: dict[str, float], limit_ns: float) -> None:
    errors, bounds, drifts = (
        np.concatenate(part) for part in zip(*(run(seed, **line) for seed in range(3)), strict=True)
    )
    assert np.percentile(errors, 99) <= limit_ns
    assert (errors <= bounds).all()
    assert np.abs(drifts - line["drift_ppm"]).max() < 10


@pytest.mark.parametrize("line", [LAN, WIFI], ids=["lan", "busy wifi"])
def test_the_bound_is_honest_from_the_first_answer_on(line: dict[str, float]) -> None:
    for seed in range(6):
        errors, bounds, _ = run(seed, **line, seconds=12, skip_s=0.0)
        assert (errors <= bounds).all()


def test_the_bound_covers_a_line_that_is_slower_one_way() -> None:
    errors, bounds, _ = run(1, **LAN, asymmetry=0.8, seconds=60)
    assert errors.min() > 30e3
    assert (errors <= bounds).all()


def test_one_exchange_is_enough_for_an_estimate() -> None:
    estimator = ClockEstimator("udp")
    assert estimator.estimate() is None
    estimator.add(1_000, 5_500, 5_600, 2_100)
    estimate = estimator.estimate()
    assert estimate.offset_ns == 4_000
    assert estimate.uncertainty_ns >= 500


@pytest.mark.parametrize("times", [(10, 5, 4, 20), (10, 0, 0, 5), (0, 0, 100, 50)])
def test_exchanges_that_cannot_be_true_are_refused(times: tuple[int, int, int, int]) -> None:
    estimator = ClockEstimator("udp")
    assert not estimator.add(*times)
    assert estimator.estimate() is None


def test_old_exchanges_are_forgotten() -> None:
    estimator = ClockEstimator("udp", window_ns=1_000, recent_ns=1_000)
    estimator.add(0, 100, 100, 10)
    estimator.add(10_000, 10_900, 10_900, 10_010)
    assert estimator.estimate().offset_ns == 895


def test_an_estimate_is_carried_on_by_its_drift_and_gets_less_sure() -> None:
    estimate = ClockEstimate(1_000, 50, 20.0, 0, "udp")
    later = estimate.at(1_000_000_000)
    assert later.offset_ns == 1_000 + 20_000
    assert later.uncertainty_ns > 50


def test_exchanges_over_the_link_count_where_udp_does_not_pass() -> None:
    sync = ClockSync("ipc://somewhere", ManualClock(3_000))
    assert sync.estimate() is None
    sync.add_link_exchange(ClockAnswer(1_000, 5_500, 5_600), 2_100)
    assert sync.estimate().source == "zmq"
    sync.close()


def test_probes_go_to_the_port_of_the_link() -> None:
    assert probe_target("tcp://10.0.0.5:7710") == ("10.0.0.5", 7710)
    assert probe_target("tcp://[::1]:7710") == ("::1", 7710)
    assert probe_target("ipc:///run/x") is None
