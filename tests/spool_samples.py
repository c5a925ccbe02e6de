"""A spool filled by hand, for tests of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.core.codec import describe
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.kept import Kept, Stream, cost_of
from pipeline.transport.spool import Spool
from pipeline.transport.spool_format import Kind
from pipeline.transport.spool_session import SpoolSession

SECOND_NS = 1_000_000_000
INFO = StreamInfo("vib", Modality.SENSOR, 100.0, (3,), "float64")


def open_spool(folder: Path, *, max_bytes: int = 1 << 20, segment_bytes: int = 1 << 18) -> Spool:
    """A spool with limits small enough for tests; kept for an hour."""
    return Spool(
        folder,
        max_bytes=max_bytes,
        max_age_ns=3600 * SECOND_NS,
        fsync_ns=SECOND_NS,
        segment_bytes=segment_bytes,
    )


class Writer:
    """Writes readings of one stream, numbered from 0, into a spool."""

    def __init__(self, spool: Spool, session: str = "one", info: StreamInfo = INFO) -> None:
        self.ledger = Ledger()
        self.disk = SpoolSession(spool, session, self.ledger)
        self.stream = Stream(info.name, "drop_oldest", [(1, info)])
        self._next = 0

    def write(self, count: int = 1, now_ns: int = 0) -> None:
        """Write readings that are in the spool alone."""
        for _ in range(count):
            data = np.full(3, float(self._next))
            sample = Sample(INFO.name, self._next, now_ns, data, Encoding.FLOAT)
            _, header, payload = describe(sample)
            kept = Kept(self._next + 2, self.stream, header, payload, cost_of(header.size))
            place = self.disk.write(Kind.SAMPLE, kept, payload, now_ns)
            place.segment.unread[self.stream.name] += 1
            self.ledger.captured(self.stream.name)
            self._next += 1


def sequences(spool: Spool) -> list[int]:
    """Sequences of what a freshly opened spool gives back, in order, over all sessions."""
    found: list[int] = []
    for recalled in spool.earlier:
        disk = SpoolSession(spool, recalled.session, Ledger(), recalled)
        while disk.reader.prepare() or disk.reader.upcoming is not None:
            for _, _, sample, _ in disk.reader.read(1 << 20, 100, 2**62):
                value = np.frombuffer(sample.payload, "<f8")[0]
                assert value == sample.header.sequence
                found.append(sample.header.sequence)
    return found
