"""Reads what one session has in the spool back, in the order in which it was written.

A segment at a time is in memory. `prepare` reads it from the disk and is called without the
sender's lock, so that capture never waits for a disk; the rest only looks at what is at hand
and is called with it. All is for the one thread that owns the spool.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import structlog

from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import StreamInfo
from pipeline.core.stream_codec import decode_stream
from pipeline.transport.kept import cost_of
from pipeline.transport.spool import Spool
from pipeline.transport.spool_format import Acked, Kind, StoredSample, read_sample
from pipeline.transport.spool_segment import Place, Segment, read_content

log = structlog.get_logger(__name__)


class Unsent(NamedTuple):
    """A sample read back to be sent.

    Attributes:
        order: Its place among all of its session.
        place: Where it lies.
        sample: What it is.
        info: Description of its stream; None when that is damaged.
    """

    order: int
    place: Place
    sample: StoredSample
    info: StreamInfo | None


class SpoolReader:
    """See the module.

    Args:
        spool: The spool.
        segments: The session's segments, oldest first; its owner's, who appends and removes.
        ledger: Where samples that cannot be read back are counted.
        kinds: What is to be read back.
        acked: What is not, because it was committed before.
    """

    def __init__(
        self,
        spool: Spool,
        segments: deque[Segment],
        ledger: Ledger,
        kinds: frozenset[Kind],
        acked: Acked,
    ) -> None:
        self._spool = spool
        self._segments = segments
        self._ledger = ledger
        self._kinds = kinds
        self._acked = acked
        self._reading: Segment | None = None
        self._found: deque[Unsent] = deque()
        self._infos: dict[str, StreamInfo] = {}

    def prepare(self) -> bool:
        """Read the next segment if none is at hand; whether it did."""
        if self._reading is not None:
            return False
        segment = next((s for s in self._segments if s.unread.total()), None)
        if segment is None:
            return False
        self._found.extend(self._open(segment))
        self._reading = segment
        return True

    @property
    def upcoming(self) -> Unsent | None:
        """What `pop` would give; None when nothing is at hand."""
        reading = self._reading
        if reading is not None and reading.gone:
            self._reading = None
            self._found.clear()
        elif reading is not None and not self._found:
            self._count_lost(reading)
            self._reading = None
        return self._found[0] if self._found else None

    def pop(self) -> Unsent:
        """The next sample, which counts as read from now on.

        Raises:
            IndexError: There is none at hand.
        """
        unsent = self._found.popleft()
        unsent.place.segment.unread[unsent.sample.stream] -= 1
        return unsent

    def read(self, most_bytes: int, most: int, before: int) -> list[Unsent]:
        """Samples to be sent next, of an order below `before`, up to a cost and a count.

        At least one is given if there is any at hand, however large it is.
        """
        taken: list[Unsent] = []
        total = 0
        while (upcoming := self.upcoming) is not None and upcoming.order < before:
            total += cost_of(upcoming.sample.header.size)
            if taken and (total > most_bytes or len(taken) >= most):
                break
            taken.append(self.pop())
        return taken

    def _open(self, segment: Segment) -> Iterator[Unsent]:
        """What is to be read back of a segment, which is written to no more."""
        try:
            self._spool.seal_if_active(segment)
            data = segment.path.read_bytes()
        except OSError as error:
            log.error("spool cannot be read", file=segment.path.name, error=error.strerror)
            return
        content = read_content(segment.path, data)
        try:
            self._spool.look_at_damage(segment, data, content)
        except OSError as error:  # what is whole is read all the same
            log.error("damage not put aside", file=segment.path.name, error=error.strerror)
        for offset, size, record in content.records:
            if record.kind is Kind.STREAM:
                info = decode_stream(record.body)
                self._infos[info.name] = info
            elif record.kind in self._kinds and offset not in segment.skipped:
                sample = read_sample(record.body)
                acked = self._acked.of(record.kind).get(sample.stream, -1)
                if sample.header.sequence > acked and sample.stream in segment.unread:
                    place = Place(segment, offset, size)
                    yield Unsent(record.order, place, sample, self._infos.get(sample.stream))

    def _count_lost(self, segment: Segment) -> None:
        """Samples of a segment that was read to its end and did not give them: damaged since."""
        for stream, count in segment.unread.items():
            if count:
                self._ledger.dropped(stream, DropReason.CORRUPT, count)
        segment.unread.clear()
