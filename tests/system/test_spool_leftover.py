"""What a killed life left in its spool is acked by the engine, and does not hold up the next one.

The engine acks a sample once no window to come needs it, and a window is cut when the streams
of its scene have passed it. A leftover often is of some streams only, and ends in the middle of
a window that none of them completes, while what would complete it waits behind the leftover.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nodes.ack_points import AckPoints
from pipeline.alignment.aligner import AlignerSettings
from pipeline.core.clock import NodeClock
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.engine import Engine, Scene
from pipeline.transport.receiver import Receiver
from pipeline.transport.sender import Sender
from pipeline.transport.spooling import SpoolPlan
from tests.spool_samples import INFO, Writer, open_spool
from tests.waiting import wait_until

pytestmark = pytest.mark.system

CLOCK = NodeClock()
OTHER = StreamInfo("heat", Modality.SENSOR, 100.0, (3,), "float64", stamp="exact")
STREAMS = (INFO.name, OTHER.name)
LEFT, LIVE = 30, 400
PERIOD_NS = 10_000_000


class Fusion:
    """The fusion node's loop, less scores and store: it acks what the engine has released."""

    def __init__(self, endpoint: str) -> None:
        aligner = AlignerSettings(scene="cell", streams=STREAMS).build()
        self._engine = Engine([Scene("cell", aligner)], {"cell": STREAMS}, scorer=None)
        self._points = AckPoints()
        self._receiver = Receiver(endpoint, clock=CLOCK)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._receiver.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            for arrival in self._receiver.poll(0.02):
                self._points.follow(arrival)
                self._engine.take(arrival)
            self._engine.advance(CLOCK.now_ns())
            self._engine.collect()
            for node, session, stream, last in self._points.points(self._engine.newly_released()):
                self._receiver.ack(node, {stream: last}, session)


@pytest.fixture
def fusion(tmp_path: Path) -> Iterator[str]:
    endpoint = f"ipc://{tmp_path}/link"
    running = Fusion(endpoint)
    yield endpoint
    running.close()


def test_a_leftover_of_one_stream_does_not_hold_up_what_is_new(tmp_path: Path, fusion: str) -> None:
    began_ns = CLOCK.now_ns()
    earlier = open_spool(tmp_path / "spool")
    Writer(earlier).write(LEFT, began_ns)
    earlier.close()
    ledger = Ledger()
    plan = SpoolPlan(open_spool(tmp_path / "spool"), after_ns=3600 * 10**9)
    sender = Sender("n", fusion, clock=CLOCK, ledger=ledger, clock_sync=False, spool=plan)
    for info in (INFO, OTHER):
        sender.add_stream(info)
    for number in range(LIVE):
        for stream in STREAMS:
            at_ns = began_ns + number * PERIOD_NS
            sender.send(Sample(stream, 0, at_ns, np.full(3, float(number)), Encoding.FLOAT))
    for stream in STREAMS:
        sender.end(stream)
    assert sender.drain(30)
    sender.close()
    accounts = ledger.snapshot()
    assert accounts[INFO.name].delivered == LEFT + LIVE
    assert accounts[OTHER.name].delivered == LIVE
    assert all(account.spooled == account.missing == 0 for account in accounts.values())
    wait_until(lambda: not list((tmp_path / "spool").glob("*.spool")))
