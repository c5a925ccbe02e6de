"""What one session of a node has in the spool: written at the end, read back from the front.

Everything is for the one thread that owns the spool, save for `unread`. Samples are read back
in the order in which they were written, a segment at a time; only that segment is in memory. A
segment goes once it is read, everything in it is acked, and all before it went, so that an
acked point is never deleted before the samples it speaks of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import structlog

from pipeline.core.codec import Buffer, size_of
from pipeline.core.errors import CodecError
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.stream_codec import encode_stream
from pipeline.transport.kept import Kept, cost_of
from pipeline.transport.spool import Spool
from pipeline.transport.spool_format import (
    Kind,
    StoredSample,
    acked_body,
    parts_of,
    read_sample,
    sample_body,
    scan,
)
from pipeline.transport.spool_recall import Recalled
from pipeline.transport.spool_segment import Place, Segment, read_content

log = structlog.get_logger(__name__)

ACKED_NS = 1_000_000_000
_HEADER_ROOM = 512


class Unsent(NamedTuple):
    """A sample read back to be sent: its place among all of its session, where it lies, it."""

    order: int
    place: Place
    sample: StoredSample


class SpoolSession:
    """See the module.

    Args:
        spool: The spool.
        session: Id of the session.
        ledger: Where samples that cannot be read back are counted.
        recalled: What the spool holds of it already.
    """

    def __init__(
        self, spool: Spool, session: str, ledger: Ledger, recalled: Recalled | None = None
    ) -> None:
        self._spool = spool
        self._session = session
        self._ledger = ledger
        self._segments: deque[Segment] = deque(recalled.segments if recalled else ())
        self._kinds = {Kind.SAMPLE, Kind.COPY} if recalled else {Kind.SAMPLE}
        self._before = dict(recalled.acked) if recalled else {}
        self._acked = dict(self._before)
        self._acked_said = dict(self._before)
        self._acked_ns = 0
        self._described: dict[str, int] = {}
        self._reading: Segment | None = None
        self._found: deque[Unsent] = deque()

    @property
    def unread(self) -> int:
        """Samples that are here alone and were not read back yet; for any thread, locked."""
        return sum(s.unread.total() for s in tuple(self._segments))

    @property
    def first_order(self) -> int | None:
        """No sample that is to be read back has a lower order; None when there is none."""
        return next((s.first_order for s in tuple(self._segments) if s.unread.total()), None)

    @property
    def next_order(self) -> int | None:
        """Order of the sample that is read back next; None when there is none."""
        upcoming = self._upcoming()
        return None if upcoming is None else upcoming.order

    def write(self, kind: Kind, kept: Kept, payload: Buffer, now_ns: int) -> Place:
        """Append a sample, with its stream's description where its segment lacks it.

        Raises:
            OSError: The disk is full or fails.
        """
        stream, header = kept.stream, kept.header
        described, info = [pair for pair in stream.descriptions if pair[0] < kept.order][-1]
        said = encode_stream(info)
        size = header.size + len(said) + _HEADER_ROOM
        segment = self._spool.segment_for(self._session, size)
        if not self._segments or segment is not self._segments[-1]:
            self._segments.append(segment)
            self._described = {}
        if self._described.get(stream.name) != described:
            self._spool.write(parts_of(Kind.STREAM, described, now_ns, [said]), now_ns)
            self._described[stream.name] = described
        body = sample_body(stream.name, header, payload)
        place = self._spool.write(parts_of(kind, kept.order, now_ns, body), now_ns)
        segment.add(stream.name, header.sequence, kept.order)
        return place

    def read(self, most_bytes: int, most: int, before: int) -> list[Unsent]:
        """Samples to be sent next, of an order below `before`, up to a cost and a count.

        At least one is given if there is any, however large it is.
        """
        taken: list[Unsent] = []
        total = 0
        while (upcoming := self._upcoming()) is not None and upcoming.order < before:
            total += cost_of(upcoming.sample.header.size)
            if taken and (total > most_bytes or len(taken) >= most):
                break
            taken.append(self._found.popleft())
            upcoming.place.segment.unread[upcoming.sample.stream] -= 1
        return taken

    def load(self, place: Place) -> memoryview | None:
        """Payload of a sample; None when it is gone or damaged."""
        try:
            data = self._spool.read(place)
            found = next(scan(data), None) if data is not None else None
            return read_sample(found.record.body).payload if found is not None else None
        except (OSError, CodecError):
            return None

    def acked(self, stream: str, sequence: int) -> None:
        """Everything of a stream up to and including `sequence` is committed."""
        self._acked[stream] = max(sequence, self._acked.get(stream, -1))

    def tidy(self) -> None:
        """Delete segments that nobody needs any more.

        Raises:
            OSError: One cannot be deleted.
        """
        while self._segments and (self._segments[0].gone or self._is_done(self._segments[0])):
            self._remove_first()

    def clear(self) -> None:
        """Delete every segment: nothing of the session is to be delivered any more.

        Raises:
            OSError: One cannot be deleted.
        """
        while self._segments:
            self._remove_first()

    def note_acked(self, now_ns: int, *, at_once: bool = False) -> None:
        """Write acked points down, about once a second, while there is something they concern.

        Raises:
            OSError: The disk is full or fails.
        """
        if not self._segments or self._acked == self._acked_said:
            return
        if at_once or now_ns - self._acked_ns >= ACKED_NS:
            parts = parts_of(Kind.ACKED, 0, now_ns, acked_body(self._acked))
            segment = self._spool.segment_for(self._session, sum(size_of(part) for part in parts))
            if segment is not self._segments[-1]:
                self._segments.append(segment)
                self._described = {}
            self._spool.write(parts, now_ns)
            self._acked_said, self._acked_ns = dict(self._acked), now_ns

    def _is_done(self, segment: Segment) -> bool:
        acked = self._acked
        return not segment.unread.total() and all(
            last <= acked.get(name, -1) for name, last in segment.last.items()
        )

    def _remove_first(self) -> None:
        segment = self._segments.popleft()
        if not segment.gone:
            self._spool.remove(segment)

    def _upcoming(self) -> Unsent | None:
        while True:
            if self._reading is not None and self._reading.gone:
                self._reading = None
                self._found.clear()
            if self._found:
                return self._found[0]
            if self._reading is not None:
                self._count_lost(self._reading)
            self._reading = next((s for s in self._segments if s.unread.total()), None)
            if self._reading is None:
                return None
            self._found.extend(self._open(self._reading))

    def _open(self, segment: Segment) -> Iterator[Unsent]:
        """What is to be read back of a segment, which is written to no more."""
        try:
            self._spool.seal_if_active(segment)
            data = segment.path.read_bytes()
        except OSError as error:
            log.error("spool cannot be read", file=segment.path.name, error=error.strerror)
            return
        for offset, size, record in read_content(segment.path, data).records:
            if record.kind not in self._kinds or offset in segment.skipped:
                continue
            sample = read_sample(record.body)
            acked = self._before.get(sample.stream, -1)
            if sample.header.sequence > acked and sample.stream in segment.unread:
                yield Unsent(record.order, Place(segment, offset, size), sample)

    def _count_lost(self, segment: Segment) -> None:
        """Samples of a segment that was read to its end and did not give them: damaged since."""
        for stream, count in segment.unread.items():
            if count:
                self._ledger.dropped(stream, DropReason.CORRUPT, count)
        segment.unread.clear()
