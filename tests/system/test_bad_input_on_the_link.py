"""Bad samples from a real sender to the real fusion node: counted there, and it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from nodes.fusion import FusionNode
from nodes.health import Health
from pipeline.config import load_deployment
from pipeline.core.clock import NodeClock
from pipeline.core.ledger import Ledger, missing
from pipeline.core.sample import Sample
from pipeline.models.checkpoint import save_model
from pipeline.transport.frames import encode_for_link
from pipeline.transport.sender import Sender
from tests.system.ports import free_port
from tests.toy_site import CAMERA, HOP_NS, MICROPHONE, SENSORS, commissioned
from tests.toy_stream import SECOND_NS, live
from tests.waiting import wait_until

pytestmark = pytest.mark.system

HOPS = 20
CORRUPT_FRAMES = {12, 13, 40}
NOT_NUMBERS = {30, 31}
AHEAD, TOO_WIDE, BEHIND = 50, 60, 70
HOUR_NS = 3600 * SECOND_NS

DEPLOYMENT = """
name: bad-input
data: .
nodes:
  yard:
    sources:
      - {{type: scene, video: cam, audio: mic, sensor: plc}}
scenes:
  hall:
    streams: [cam, mic, plc]
    model: hall.model
fusion: {{listen: "tcp://127.0.0.1:{port}"}}
"""


class Fusion:
    """A fusion node that is stepped by the test."""

    def __init__(self, folder) -> None:
        config = folder / "yard.yaml"
        config.write_text(DEPLOYMENT.format(port=free_port()))
        save_model(commissioned()[0], folder / "hall.model")
        self.clock = NodeClock()
        self.health = Health()
        self.registry = CollectorRegistry()
        self.deployment = load_deployment(config)
        self.node = FusionNode(self.deployment, self.clock)
        self.node.register(self.health, self.registry)
        self.node.start()

    def count(self, metric: str, **labels: str) -> float:
        """Sum over a metric's samples with these labels."""
        return sum(
            sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        )

    def step_until(self, condition) -> None:
        def stepped() -> bool:
            assert self.node.step(0.02)
            return condition()

        wait_until(stepped)


@pytest.fixture
def fusion(tmp_path) -> Iterator[Fusion]:
    found = Fusion(tmp_path)
    yield found
    found.node.close()


def spoilt(sample: Sample) -> Sample:
    """Some samples made bad, each in its own way."""
    number = sample.sequence
    if sample.stream == "cam":
        good = encode_for_link(sample, 95)
        broken = b"\xff\xd8\xff\xe0" + bytes(good.data)[200:]
        return replace(good, data=broken) if number in CORRUPT_FRAMES else good
    if sample.stream != "plc":
        return sample
    if number in NOT_NUMBERS:
        return replace(sample, data=np.array([np.nan, np.inf, 1.0]))
    if number == TOO_WIDE:
        return replace(sample, data=np.zeros(9))
    moved = {AHEAD: HOUR_NS, BEHIND: -5 * SECOND_NS}.get(number, 0)
    return replace(sample, timestamp_ns=sample.timestamp_ns + moved)


def counted(fusion: Fusion) -> tuple[float, ...]:
    """Corrupt pictures, messages of the future and of no numbers, readings of the past."""
    return (
        fusion.count("fusewatch_corrupt_samples", stream="cam"),
        fusion.count("fusewatch_refused_messages", reason="rejected_future"),
        fusion.count("fusewatch_refused_messages", reason="rejected_corrupt"),
        fusion.count("fusewatch_discarded_samples", stream="plc", reason="late"),
    )


def test_bad_samples_are_refused_or_counted_and_everything_else_is_scored(fusion: Fusion) -> None:
    ledger = Ledger()
    endpoint = fusion.deployment.fusion.listen
    sender = Sender("yard", endpoint, clock=fusion.clock, ledger=ledger, clock_sync=False)
    try:
        for info in (CAMERA, MICROPHONE, SENSORS):
            sender.add_stream(info)
        start_ns = (fusion.clock.now_ns() // HOP_NS - HOPS) * HOP_NS
        for _, sample in live(HOPS, start_ns):
            sender.send(spoilt(sample))
        for info in (CAMERA, MICROPHONE, SENSORS):
            sender.end(info.name)
        fusion.step_until(lambda: sender.drain(0.0))
        # Counts are read from time to time, so the last ones show a little after the last sample.
        fusion.step_until(lambda: counted(fusion) == (len(CORRUPT_FRAMES), 1, 1, 1))
    finally:
        sender.close(0.1)
    assert fusion.count("fusewatch_windows_total", scene="hall") >= HOPS - 3
    assert fusion.count("fusewatch_window_age_seconds_count") >= HOPS - 3
    assert not {name: c.detail for name, c in fusion.health.readyz().items() if not c.ok}
    accounts = ledger.snapshot()
    assert not missing(accounts)
    assert accounts["plc"].dropped == {"future": 1, "corrupt": 1}
    assert accounts["cam"].delivered == accounts["cam"].captured
