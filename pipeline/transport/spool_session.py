"""What one session of a node has in the spool: written at the end, read back from the front.

Everything is for the one thread that owns the spool, save for `unread`. A segment goes once it
is read, everything in it is acked, and all before it went, so that an acked point is never
deleted before the samples it speaks of.
"""

from __future__ import annotations

from collections import deque

from pipeline.core.codec import Buffer, size_of
from pipeline.core.errors import CodecError
from pipeline.core.ledger import Ledger
from pipeline.core.stream_codec import encode_stream
from pipeline.transport.kept import Kept
from pipeline.transport.spool import Spool
from pipeline.transport.spool_format import (
    Acked,
    ClockBase,
    Kind,
    acked_body,
    parts_of,
    read_sample,
    sample_body,
    scan,
)
from pipeline.transport.spool_reader import SpoolReader
from pipeline.transport.spool_recall import Recalled
from pipeline.transport.spool_segment import Place, Segment

ACKED_NS = 1_000_000_000
_HEADER_ROOM = 512


class SpoolSession:
    """See the module.

    Args:
        spool: The spool.
        session: Id of the session.
        ledger: Where samples that cannot be read back are counted.
        recalled: What the spool holds of it already.
        base: What node time is counted from; None: nothing that is in node time is written.

    Attributes:
        reader: Gives samples back.
        base: See `base` above.
    """

    def __init__(
        self,
        spool: Spool,
        session: str,
        ledger: Ledger,
        recalled: Recalled | None = None,
        base: ClockBase | None = None,
    ) -> None:
        self._spool = spool
        self._session = session
        self._segments: deque[Segment] = deque(recalled.segments if recalled else ())
        self._acked = recalled.acked if recalled else Acked()
        self._acked_said = self._acked.copy()
        self._acked_ns = 0
        self._described: dict[str, int] = {}
        kinds = frozenset((Kind.SAMPLE, Kind.COPY) if recalled else (Kind.SAMPLE,))
        self.base = base
        self.reader = SpoolReader(spool, self._segments, ledger, kinds, self._acked.copy())

    @property
    def unread(self) -> int:
        """Samples that are here alone and were not read back yet; for any thread, locked."""
        return sum(s.unread.total() for s in tuple(self._segments))

    @property
    def first_order(self) -> int | None:
        """No sample that is to be read back has a lower order; None when there is none."""
        return next((s.summary.first_order for s in self._segments if s.unread.total()), None)

    @property
    def next_order(self) -> int | None:
        """The sample that is read back next has no lower order; None when there is none."""
        upcoming = self.reader.upcoming
        return self.first_order if upcoming is None else upcoming.order

    @property
    def untimed(self) -> bool:
        """Whether stamps of what is to be read back may be in node time."""
        return any(s.summary.untimed and s.unread.total() for s in self._segments)

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
            segment.summary.descriptions[described] = said
            self._described[stream.name] = described
        base = None if kept.placed else self.base
        body = sample_body(stream.name, header, payload, base)
        place = self._spool.write(parts_of(kind, kept.order, now_ns, body), now_ns)
        segment.summary.note_sample(kind, kept.order, place.size, stream.name, header)
        segment.summary.untimed += base is not None
        return place

    def load(self, place: Place) -> memoryview | None:
        """Payload of a sample; None when it is gone or damaged."""
        try:
            data = self._spool.read(place)
            found = next(scan(data), None) if data is not None else None
            return read_sample(found.record.body).payload if found is not None else None
        except (OSError, CodecError):
            return None

    def acked(self, stream: str, sequence: int, *kinds: Kind) -> None:
        """Everything of a stream up to and including `sequence` is committed.

        Args:
            stream: The stream.
            sequence: The last sequence.
            kinds: Of which kinds; none given: of both.
        """
        for kind in kinds or (Kind.SAMPLE, Kind.COPY):
            points = self._acked.of(kind)
            points[stream] = max(sequence, points.get(stream, -1))

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
            said = self._acked.copy()
            parts = parts_of(Kind.ACKED, 0, now_ns, acked_body(said))
            segment = self._spool.segment_for(self._session, sum(size_of(part) for part in parts))
            if segment is not self._segments[-1]:
                self._segments.append(segment)
                self._described = {}
            self._spool.write(parts, now_ns)
            segment.summary.acked = said
            self._acked_said, self._acked_ns = said, now_ns

    def _is_done(self, segment: Segment) -> bool:
        return not segment.unread.total() and segment.summary.is_within(self._acked)

    def _remove_first(self) -> None:
        segment = self._segments.popleft()
        if not segment.gone:
            self._spool.remove(segment)
