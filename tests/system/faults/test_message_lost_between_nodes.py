"""A message is taken away between two nodes: both carry on, and the loss becomes an event."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.alignment.aligner import AlignerSettings
from pipeline.core.arrival import Arrival, SampleArrived, fusion_began
from pipeline.core.clock import NodeClock
from pipeline.core.event import Event, Phase, to_json
from pipeline.core.ledger import Ledger, StreamAccount
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.engine import Engine, Scene
from pipeline.detection.equipment import Equipment
from pipeline.detection.ledger_health import LedgerHealth
from pipeline.recording.merge import read_many
from pipeline.recording.writer import RecordingWriter
from pipeline.transport.receiver import Receiver
from pipeline.transport.sender import Sender
from tests.system.lossy_proxy import LossyProxy
from tests.waiting import wait_until

pytestmark = pytest.mark.system

STREAM = "vib"
INFO = StreamInfo(STREAM, Modality.SENSOR, 100.0, (1,), "float64", channels=("x",))
CLOCK = NodeClock()


def engine() -> Engine:
    aligner = AlignerSettings(scene="hall", streams=(STREAM,)).build()
    health = Equipment(ledger=LedgerHealth({"hall": [STREAM]}))
    return Engine([Scene("hall", aligner)], {"hall": [STREAM]}, None, health=health)


class Fusion:
    """Receives, acks what no window needs, records and tells events, in a thread of its own."""

    def __init__(self, recording: Path) -> None:
        self.receiver = Receiver("tcp://127.0.0.1:0", clock=CLOCK)
        self.engine = engine()
        self.events: list[Event] = []
        self.arrived = 0
        self._recording = RecordingWriter(recording)
        self._closing = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._take(fusion_began(CLOCK.now_ns()))
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        self._recording.close()
        self.receiver.close()

    def _work(self) -> None:
        while not self._closing:
            for arrival in self.receiver.poll(0.02):
                self._take(arrival)
            self.events += self.engine.collect().events
            self.receiver.ack("pi", self.engine.newly_released())

    def _take(self, arrival: Arrival) -> None:
        self._recording.write(arrival)
        self.engine.take(arrival)
        self.arrived += isinstance(arrival, SampleArrived)


class Node:
    """A capture node that sends a hundred readings a second, by the pace of the clock."""

    def __init__(self, address: str) -> None:
        self.ledger = Ledger()
        self.sender = Sender("pi", address, clock=CLOCK, ledger=self.ledger, clock_sync=False)
        self.sender.add_stream(INFO)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def account(self) -> StreamAccount:
        return self.ledger.snapshot().get(STREAM, StreamAccount())

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self.sender.close()

    def _work(self) -> None:
        while not self._closing.wait(0.01):
            data = np.array([0.5])
            self.sender.send(Sample(STREAM, 0, CLOCK.now_ns(), data, Encoding.FLOAT))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return tmp_path / "run.mcap"


@pytest.fixture
def fusion(recording: Path) -> Iterator[Fusion]:
    made = Fusion(recording)
    yield made
    made.close()


def test_the_loss_is_an_event_that_names_it_and_a_replay_tells_the_same(
    fusion: Fusion, recording: Path
) -> None:
    with LossyProxy(fusion.receiver.address) as proxy:
        node = Node(proxy.address)
        wait_until(lambda: node.account.delivered > 100)
        proxy.lose(1)
        wait_until(lambda: bool(fusion.events))
        node.close()
    books = fusion.engine.health.ledger.books[STREAM]
    fusion.close()
    raised, cleared = fusion.events
    assert (raised.phase, raised.alarm, raised.health) == (Phase.RAISED, "ledger:vib", True)
    assert (cleared.phase, cleared.summary) == (Phase.CLEARED, "vib has ended.")
    assert len(proxy.lost) == 1
    assert raised.summary.startswith(f"{books.skipped} sample")
    assert 0 < books.unexplained == books.skipped < 20
    account = raised.ledger[STREAM]
    assert account.captured == account.delivered + account.spooled
    again = engine()
    for arrival in read_many([recording]):
        again.take(arrival)
    assert [to_json(one) for one in again.collect().events] == [
        to_json(one) for one in fusion.events
    ]


def test_a_link_that_loses_nothing_has_nothing_to_tell(fusion: Fusion) -> None:
    with LossyProxy(fusion.receiver.address) as proxy:
        node = Node(proxy.address)
        wait_until(lambda: node.account.delivered > 300)
        node.close()
    account = node.account
    books = fusion.engine.health.ledger.books[STREAM]
    assert fusion.events == []
    assert (books.skipped, books.unexplained) == (0, 0)
    assert account.delivered <= books.arrived <= account.captured
