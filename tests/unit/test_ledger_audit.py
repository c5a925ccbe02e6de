"""The ledger of a capture node held against what its sender really has."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from nodes.ledger_audit import CONFIRM, LedgerAudit
from pipeline.core.clock import NodeClock
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.sender import Sender

INFO = StreamInfo("vib", Modality.SENSOR, 1000.0, (1,), "float64", channels=("x",))
CLOCK = NodeClock()


def sample(stream: str = "vib") -> Sample:
    return Sample(stream, 0, CLOCK.now_ns(), np.zeros(1), Encoding.FLOAT)


class Desk:
    """A sender that reaches nobody, its ledger, and the audit of both."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.sender = Sender(
            "pi", "inproc://nobody", clock=CLOCK, ledger=self.ledger, clock_sync=False,
            buffer_bytes=1 << 20,
        )  # fmt: skip
        self.sender.add_stream(INFO)
        self.audit = LedgerAudit(sources=2)

    def look(self, times: int = 1) -> list[str]:
        said = []
        for _ in range(times):
            before = self.ledger.snapshot()
            waiting = self.sender.status.pending
            said.append(self.audit.look(before, waiting, self.ledger.snapshot()))
        return said


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.sender.close(0.0)


def test_what_waits_and_what_was_dropped_is_right(desk: Desk) -> None:
    for _ in range(20_000):
        desk.sender.send(sample())
    assert desk.ledger.snapshot()["vib"].dropped[DropReason.BUFFER_FULL.value] > 0
    assert desk.look(10) == [""] * 10


def test_it_is_right_while_several_sources_hand_samples_over(desk: Desk) -> None:
    desk.sender.add_stream(StreamInfo("two", Modality.SENSOR, None, (1,), "float64"))
    ended = threading.Event()

    def hand_over(stream: str) -> None:
        while not ended.is_set():
            desk.sender.send(sample(stream))

    threads = [threading.Thread(target=hand_over, args=(name,)) for name in ("vib", "two")]
    for thread in threads:
        thread.start()
    said = desk.look(500)
    ended.set()
    for thread in threads:
        thread.join()
    assert desk.ledger.snapshot()["two"].captured > 0
    assert set(said) == {""}


def test_samples_that_vanished_are_told_once_they_are_away_for_good(desk: Desk) -> None:
    desk.sender.send(sample())
    desk.ledger.captured("vib", 7)  # counted, and never handed over
    assert desk.look(CONFIRM) == [""] * (CONFIRM - 1) + ["5 samples of the ledger are not there"]
    assert desk.audit.worth_telling
    desk.look()
    assert not desk.audit.worth_telling
    desk.ledger.dropped("vib", DropReason.CORRUPT, 7)
    assert desk.look() == [""]


def test_samples_that_nobody_counted_are_told(desk: Desk) -> None:
    for _ in range(9):
        desk.sender.send(sample())
    desk.ledger.delivered("vib", 4)  # the sender still has them
    assert desk.look(CONFIRM)[-1] == "4 samples wait that the ledger does not know of"
