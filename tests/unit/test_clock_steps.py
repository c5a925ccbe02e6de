"""System clocks that step and machines that sleep, while samples flow."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from nodes.capture_metrics import CaptureMetrics
from nodes.stamping import Stamper
from nodes.system_clock import SystemClockWatch
from pipeline.config.deployment import Deployment
from pipeline.core.clock import ManualClock, NodeClock, slept_ns
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.sources.base import SourceSettings
from pipeline.transport.arrival_stamps import ArrivalStamps
from pipeline.transport.clock_probe import ClockSync, probe_target
from pipeline.transport.clock_responder import timeline_of
from pipeline.transport.clock_sync import DOUBT_NS, ClockEstimate
from pipeline.transport.protocol import ClockAnswer
from pipeline.transport.sender_session import LinkState
from pipeline.transport.sender_status import SenderStatus
from tests.machines import Machine

S, MS, US = 1_000_000_000, 1_000_000, 1_000
HOUR = 3600 * S
UTC = 1_700_000_000 * S
PERIOD = 10 * MS
WAY = 100 * US
CLOCK_SOURCE = "fusewatch_clock_source"
EVERY = 12  # samples between two clock exchanges
SITE = Deployment.model_validate(
    {
        "name": "site",
        "nodes": {"edge": {"sources": [SourceSettings(type="any")]}},
        "scenes": {"hall": {"streams": ["reading"]}},
    }
)
READING = StreamInfo("reading", Modality.SENSOR, 100.0, (1,), "float64", stamp="device")


class Flow:
    """Readings at 100 Hz from a capture node to a fusion node, by way of the clock offset."""

    def __init__(self) -> None:
        self.node_machine = Machine(UTC + 70 * MS, 5 * HOUR)
        self.site_machine = Machine(UTC, 30 * HOUR)
        self.node = self.node_machine.node_clock()
        self.site = self.site_machine.node_clock()
        self.sync = ClockSync("ipc://link", self.node, self.node_machine.slept_ns)
        self.stamper = Stamper(SITE)
        self.stamper.open(READING)
        self.stamped: list[Sample] = []
        self.truth: list[int] = []
        self.exchange()

    def run(self, samples: int) -> None:
        for number in range(samples):
            asks = number % EVERY == 0
            self.sample()
            if asks:
                self.exchange()
            self.pass_by(PERIOD - (2 * WAY if asks else 0))

    def exchange(self) -> None:
        asked = self.node.now_ns()
        self.pass_by(WAY)
        answer = ClockAnswer(asked, self.site.now_ns(), self.site.now_ns())
        self.pass_by(WAY)
        self.sync.add_link_exchange(answer, self.node.now_ns())

    def sample(self) -> None:
        taken = Sample("reading", 0, self.node.now_ns(), np.zeros(1), Encoding.FLOAT)
        estimate = self.sync.held()
        assert estimate is not None
        self.truth.append(self.site.now_ns())
        self.stamped.append(self.stamper.stamp(taken, estimate.offset_ns, estimate.uncertainty_ns))

    def sleep(self, sleep_ns: int, error_ns: int = 0) -> None:
        """The node sleeps, the site does not."""
        self.node_machine.sleep(sleep_ns, error_ns)
        self.site_machine.run(sleep_ns)

    def pass_by(self, by_ns: int) -> None:
        self.node_machine.run(by_ns)
        self.site_machine.run(by_ns)

    @property
    def times(self) -> np.ndarray:
        return np.array([sample.timestamp_ns for sample in self.stamped])

    def assert_true(self) -> None:
        """Every site time is the true one within what it says of itself."""
        doubt = np.array([sample.uncertainty_ns for sample in self.stamped])
        assert (np.abs(self.times - np.array(self.truth)) <= doubt).all()


class TwiceAsFast(NodeClock):
    """A clock with an offset as any other, which shows something else."""

    def now_ns(self) -> int:
        return 2 * super().now_ns()


@pytest.mark.parametrize("by_ns", [HOUR, -HOUR, 3 * MS, -3 * MS])
@pytest.mark.parametrize("side", ["node", "site"])
def test_a_step_of_either_system_clock_tears_no_stream(side: str, by_ns: int) -> None:
    flow = Flow()
    machine = flow.node_machine if side == "node" else flow.site_machine
    flow.run(300)
    machine.step(by_ns)
    flow.run(300)
    machine.step(-2 * by_ns)
    flow.run(300)
    assert (np.abs(np.diff(flow.times) - PERIOD) < 2 * US).all()
    flow.assert_true()
    assert not flow.sync.forgotten


def test_samples_after_a_sleep_have_the_time_at_which_they_were_taken() -> None:
    flow = Flow()
    flow.run(300)
    flow.sleep(600 * S)
    flow.sample()
    assert abs(flow.times[-1] - flow.truth[-1]) < 10 * MS
    flow.run(300)
    flow.assert_true()
    assert flow.sync.forgotten == {"suspend": 1}


def test_a_node_that_woke_by_a_coarse_clock_doubts_its_time_until_it_has_asked() -> None:
    flow = Flow()
    flow.run(300)
    flow.sleep(600 * S, error_ns=400 * MS)
    flow.sample()
    assert abs(flow.times[-1] - flow.truth[-1]) == pytest.approx(400 * MS, abs=10 * MS)
    assert flow.stamped[-1].uncertainty_ns > DOUBT_NS
    flow.exchange()
    assert flow.sync.estimate().uncertainty_ns < 2 * WAY
    flow.run(300)
    flow.assert_true()


def test_a_machine_that_did_not_sleep_has_no_doubts() -> None:
    flow = Flow()
    flow.run(10)
    assert flow.sync.estimate().uncertainty_ns < 2 * WAY
    assert slept_ns() == pytest.approx(slept_ns(), abs=10 * MS)


def test_a_fusion_node_started_again_after_its_clock_was_set_is_followed_to_its_new_time() -> None:
    flow = Flow()
    flow.run(300)
    flow.site_machine.step(-HOUR)
    flow.site = flow.site_machine.node_clock()
    flow.sync.restart()
    assert flow.sync.estimate().uncertainty_ns > DOUBT_NS
    flow.exchange()
    flow.pass_by(PERIOD - 2 * WAY)
    flow.sample()
    assert flow.truth[-2] - flow.truth[-1] == HOUR - 2 * PERIOD
    flow.assert_true()
    assert flow.sync.forgotten == {"restart": 1}


@pytest.mark.parametrize("by_ns", [HOUR, -HOUR, 3 * MS, -3 * MS])
def test_a_step_between_an_arrival_and_its_reading_never_makes_it_earlier(by_ns: int) -> None:
    machine = Machine(UTC, 5 * HOUR)
    clock = machine.node_clock()
    stamps = ArrivalStamps(clock, machine.system_ns)
    arrived, stamp = clock.now_ns(), machine.system_ns()
    machine.step(by_ns)
    machine.run(40 * US)
    assert stamps.arrival_ns(stamp) == arrived + 40 * US
    arrived, stamp = clock.now_ns(), machine.system_ns()
    machine.run(40 * US)
    assert stamps.arrival_ns(stamp) == arrived


@pytest.mark.parametrize("stamp_ns", [None, UTC + 1, UTC - 2 * S])
def test_a_stamp_that_is_missing_or_absurd_is_replaced_by_the_moment_of_reading(
    stamp_ns: int | None,
) -> None:
    machine = Machine(UTC, 5 * HOUR)
    clock = machine.node_clock()
    assert ArrivalStamps(clock, machine.system_ns).arrival_ns(stamp_ns) == clock.now_ns()


def test_only_clocks_that_always_show_the_same_share_a_timeline() -> None:
    assert timeline_of(NodeClock(5)) == timeline_of(NodeClock(5))
    assert timeline_of(NodeClock(5)) != timeline_of(NodeClock(6))
    assert timeline_of(TwiceAsFast(5)) != timeline_of(NodeClock(5))
    pretended = Machine(UTC, 5 * HOUR).node_clock()
    assert timeline_of(pretended) != timeline_of(pretended)
    assert timeline_of(ManualClock(5)) != timeline_of(ManualClock(5))


def test_a_step_of_the_system_clock_is_told_and_a_sleep_is_none() -> None:
    machine, registry = Machine(UTC, 5 * HOUR), CollectorRegistry()
    watch = SystemClockWatch(machine.node_clock(), registry, machine.system_ns)
    machine.run(S)
    machine.sleep(600 * S, error_ns=400 * MS)
    watch.look()
    assert registry.get_sample_value("fusewatch_system_clock_steps") == 0
    machine.step(-HOUR)
    watch.look()
    watch.look()
    assert registry.get_sample_value("fusewatch_system_clock_steps") == 1
    assert registry.get_sample_value("fusewatch_system_clock_ahead_seconds") == -3600


def test_the_state_of_the_clock_is_in_the_metrics_of_a_capture_node() -> None:
    registry = CollectorRegistry()
    metrics = CaptureMetrics(registry, Ledger())
    status = SenderStatus(LinkState.READY, "", 0, 0, False, {"clock_step": 2})
    metrics.link(status, None)
    assert registry.get_sample_value(CLOCK_SOURCE, {"fusewatch_clock_source": "none"}) == 1
    metrics.link(status, ClockEstimate(3 * S, 90 * US, 41.5, 16.0, UTC, "udp"))
    assert registry.get_sample_value("fusewatch_clock_offset_seconds") == 3
    assert registry.get_sample_value("fusewatch_clock_uncertainty_seconds") == 90e-6
    assert registry.get_sample_value("fusewatch_clock_drift_ppm") == 41.5
    assert registry.get_sample_value(CLOCK_SOURCE, {"fusewatch_clock_source": "udp"}) == 1
    assert registry.get_sample_value("fusewatch_clock_found_anew", {"reason": "step"}) == 2
    assert registry.get_sample_value("fusewatch_clock_found_anew", {"reason": "suspend"}) == 0


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
