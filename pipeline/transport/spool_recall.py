"""What a spool holds of an earlier life of its capture node: streams, acked points, counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pipeline.core.sample import StreamInfo
from pipeline.core.stream_codec import decode_stream
from pipeline.transport.spool_format import Acked, Found, Kind, read_sample
from pipeline.transport.spool_segment import Segment
from pipeline.transport.spool_summary import Summary, summary_of


@dataclass(slots=True, eq=False)
class StoredStream:
    """What a session left of one stream.

    Attributes:
        samples: Samples that were not acked.
        size: Their bytes on the disk.
        oldest_ns: Stamp of the oldest of them; None when there is none.
        last: Highest sequence found, acked or not.
    """

    samples: int = 0
    size: int = 0
    oldest_ns: int | None = None
    last: int = -1


@dataclass(slots=True, eq=False)
class Recalled:
    """One earlier session. Give it every segment by `take`, in order, then `settle` it.

    Attributes:
        session: Its id.
        segments: Its segments, oldest first.
        descriptions: ``order → description``, ascending.
        acked: The last sequence committed of each stream, as far as it was written down.
        last_order: Highest order of any record.
        streams: By name, complete once it is settled.
    """

    session: str
    segments: list[Segment] = field(default_factory=list)
    descriptions: dict[int, StreamInfo] = field(default_factory=dict)
    acked: Acked = field(default_factory=Acked)
    last_order: int = 0
    streams: dict[str, StoredStream] = field(default_factory=dict)

    def take(self, segment: Segment) -> None:
        """Take in what a segment holds, as its summary has it."""
        summary = segment.summary
        self.segments.append(segment)
        self.last_order = max(self.last_order, summary.last_order)
        for order, said in summary.descriptions.items():
            self.descriptions[order] = decode_stream(said)
        self.acked.copies.update(summary.acked.copies)
        self.acked.alone.update(summary.acked.alone)

    def settle(self, records_of: Callable[[Segment], Iterable[Found]]) -> None:
        """Count what was not acked, now that all acked points are known.

        Args:
            records_of: Reads a segment; asked only where some of it is acked and some is not.
        """
        self.descriptions = dict(sorted(self.descriptions.items()))
        for segment in self.segments:
            summary = segment.summary
            if self._is_split(summary):
                left = (one for one in records_of(segment) if not self._is_acked(one))
                summary = summary_of(left)
            self._count(segment, summary)

    def _count(self, segment: Segment, left: Summary) -> None:
        for _, name, lane in segment.summary.lanes():
            stream = self.streams.setdefault(name, StoredStream())
            stream.last = max(stream.last, lane.last)
        for kind, name, lane in left.lanes():
            if lane.last <= self.acked.of(kind).get(name, -1):
                continue
            stream = self.streams[name]
            segment.unread[name] += lane.count
            stream.samples += lane.count
            stream.size += lane.size
            known = stream.oldest_ns
            stream.oldest_ns = lane.oldest_ns if known is None else min(known, lane.oldest_ns)

    def _is_split(self, summary: Summary) -> bool:
        return any(
            lane.first <= self.acked.of(kind).get(name, -1) < lane.last
            for kind, name, lane in summary.lanes()
        )

    def _is_acked(self, found: Found) -> bool:
        kind = found.record.kind
        if kind is not Kind.SAMPLE and kind is not Kind.COPY:
            return False
        sample = read_sample(found.record.body)
        return sample.header.sequence <= self.acked.of(kind).get(sample.stream, -1)
