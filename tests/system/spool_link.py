"""A link between a sender with a spool and a receiver, as of a capture and a fusion node."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from pipeline.core.arrival import SampleArrived, StreamEnded, StreamOpened
from pipeline.core.clock import NodeClock
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.receiver import Receiver
from pipeline.transport.sender import Sender
from pipeline.transport.spool import Spool
from pipeline.transport.spool_settings import SpoolOrder
from pipeline.transport.spooling import SpoolPlan
from tests.waiting import wait_until

VIB = StreamInfo("vib", Modality.SENSOR, 100.0, (3,), "float64", stamp="exact")
CLOCK = NodeClock()
MEMORY = 256 << 10


class Fusion:
    """A receiver that is polled from a thread and acks what came up to `ack_to`."""

    def __init__(self, endpoint: str, ack_to: int = 2**60) -> None:
        self._receiver = Receiver(endpoint, clock=CLOCK)
        self.ack_to = ack_to
        self.samples: list[Sample] = []
        self.ended = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        seen: dict[str, int] = {}
        while not self._closing:
            for item in self._receiver.poll(0.02):
                self.ended += isinstance(item, StreamEnded)
                if isinstance(item, StreamOpened):
                    seen.pop(item.info.name, None)
                elif isinstance(item, SampleArrived):
                    self.samples.append(item.sample)
                    seen[item.sample.stream] = item.sample.sequence
            if seen:
                self._receiver.ack("cell", {s: min(n, self.ack_to) for s, n in seen.items()})

    def values(self, stream: str) -> list[int]:
        return [int(np.asarray(s.data).flat[0]) for s in list(self.samples) if s.stream == stream]

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        self._receiver.close()


def spooling_sender(
    folder: Path,
    endpoint: str,
    ledger: Ledger,
    after_ns: int = 0,
    order: SpoolOrder = "oldest_first",
) -> Sender:
    limits = {"max_bytes": 64 << 20, "max_age_ns": 10**15, "fsync_ns": 10**9}
    spool = Spool(folder, **limits, segment_bytes=64 << 10)
    return Sender(
        "cell",
        endpoint,
        clock=CLOCK,
        ledger=ledger,
        buffer_bytes=MEMORY,
        clock_sync=False,
        spool=SpoolPlan(spool, after_ns, order),
    )


def reading(number: int) -> Sample:
    return Sample("vib", 0, number, np.full(3, float(number)), Encoding.FLOAT)


def give(sender: Sender, numbers: range) -> None:
    for number in numbers:
        if number % 50 == 0:
            wait_until(lambda: sender.status.buffer_used < MEMORY // 2)
        sender.send(reading(number))


def exact(ledger: Ledger, stream: str = "vib") -> tuple[int, int, int, dict[str, int]]:
    """What the ledger has of a stream: captured, delivered, spooled, dropped; nothing missing."""
    account = ledger.snapshot()[stream]
    assert account.missing == 0
    return account.captured, account.delivered, account.spooled, account.dropped
