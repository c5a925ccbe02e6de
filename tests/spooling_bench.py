"""A spooling buffer moved by hand: fed, told the time, and emptied as a link would."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from pipeline.core.codec import describe
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.kept import Described, Ended, Kept, cost_of
from pipeline.transport.spool_backlog import BACKLOG
from pipeline.transport.spool_format import ClockBase
from pipeline.transport.spool_settings import SpoolOrder
from pipeline.transport.spooling import Spooling, SpoolPlan
from tests.spool_samples import SECOND_NS, open_spool

CELL = cost_of(24)
AFTER_NS = 5 * SECOND_NS


class Bench:
    """A spooling buffer with its spool, moved by hand."""

    def __init__(
        self,
        folder: Path,
        cells: int = 100,
        session: str = "one",
        disk: int = 40_000,
        order: SpoolOrder = "oldest_first",
        base: ClockBase | None = None,
        **rules: str,
    ) -> None:
        self.ledger = Ledger()
        self.spool = open_spool(folder, max_bytes=disk, segment_bytes=2000)
        plan = SpoolPlan(self.spool, AFTER_NS, order, base)
        self.spooling = Spooling(plan, session, cells * CELL, self.ledger)
        self.buffer = self.spooling.live
        self.lock = threading.Condition()
        self.now_ns = 0
        self.wire: list[tuple[str, int]] = []  # as it was sent
        for name, rule in (rules or {"a": "drop_oldest"}).items():
            self.buffer.describe(StreamInfo(name, Modality.SENSOR, None, (3,), "float64"), rule)

    def give(self, stream: str = "a", count: int = 1, *, placed: bool = True) -> None:
        for _ in range(count):
            self.ledger.captured(stream)
            record = self.buffer.streams[stream]
            data = np.full(3, float(record.next_sequence))
            _, header, payload = describe(Sample(stream, 0, self.now_ns, data, Encoding.FLOAT))
            if self.buffer.reserve(record, CELL):
                self.buffer.push(record, header, payload, placed=placed)
            else:
                self.buffer.refuse(record, DropReason.BUFFER_FULL)

    def turn(self, seconds: float = 0.0) -> None:
        self.now_ns += round(seconds * SECOND_NS)
        self.spooling.turn(self.now_ns, self.lock)

    def wait_long(self) -> None:
        self.turn()
        self.turn(AFTER_NS / SECOND_NS)

    def send(self, most: int = 10_000) -> list[object]:
        """Take all there is to send, or some; samples as (stream, number)."""
        found: list[object] = []
        while len(found) < most:
            item = self.next(min(7, most - len(found)))
            if item is None:
                break
            if isinstance(item, Described):
                found.append(item.info.name)
            elif isinstance(item, Ended):
                found.append(f"{item.stream.name} ended")
            else:
                found += [(kept.stream.name, self._number(kept)) for kept in item]
        return found

    def next(self, most: int) -> list[Kept] | Described | Ended | None:
        """What a link would be given next."""
        while True:
            item = self.buffer.take(10**9, most) or self.buffer.take_behind(10**9, most)
            if item is not None or not self.buffer.prepare():
                return item

    def _number(self, kept: Kept) -> int:
        """What a sample was numbered when it was given;"""
        name, sequence = kept.stream.name, kept.header.sequence
        self.wire.append((name, sequence))
        number = int(np.frombuffer(kept.payload, "<f8")[0])
        assert name.endswith(BACKLOG) or sequence == number
        return number

    def account(self, stream: str = "a") -> tuple[int, int, int, dict[str, int]]:
        a = self.ledger.snapshot()[stream]
        assert a.missing == 0
        assert sum(x.spooled for x in self.ledger.snapshot().values()) == self.spooling.left
        return a.captured, a.delivered, a.spooled, a.dropped

    def end(self) -> None:
        self.spooling.close(self.now_ns, self.lock)
        self.spooling.give_up(DropReason.SHUTDOWN)


def numbered(first: int, end: int, stream: str = "a") -> list[object]:
    return [(stream, number) for number in range(first, end)]
