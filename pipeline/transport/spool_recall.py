"""What a spool holds of an earlier life of its capture node: streams, acked points, counts."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.core.sample import StreamInfo
from pipeline.core.stream_codec import decode_stream
from pipeline.transport.spool_format import Found, Kind, read_acked, read_sample
from pipeline.transport.spool_segment import Segment


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
    acked: dict[str, int] = field(default_factory=dict)
    last_order: int = 0
    streams: dict[str, StoredStream] = field(default_factory=dict)
    _found: list[dict[str, array[int]]] = field(default_factory=list)

    def take(self, segment: Segment, records: Sequence[Found]) -> None:
        """Take in what a segment holds."""
        self.segments.append(segment)
        samples: dict[str, array[int]] = {}
        for _, size, record in records:
            self.last_order = max(self.last_order, record.order)
            if record.kind is Kind.STREAM:
                self.descriptions[record.order] = decode_stream(record.body)
            elif record.kind is Kind.ACKED:
                self.acked.update(read_acked(record.body))
            else:
                sample = read_sample(record.body)
                segment.add(sample.stream, sample.header.sequence, record.order)
                found = samples.setdefault(sample.stream, array("q"))
                found.extend((sample.header.sequence, size, sample.header.timestamp_ns))
        self._found.append(samples)

    def settle(self) -> None:
        """Count what was not acked, now that all acked points are known."""
        self.descriptions = dict(sorted(self.descriptions.items()))
        for segment, samples in zip(self.segments, self._found, strict=True):
            for name, found in samples.items():
                segment.unread[name] = self._count(name, found)
        self._found = []

    def _count(self, name: str, found: array[int]) -> int:
        stream = self.streams.setdefault(name, StoredStream())
        acked, before = self.acked.get(name, -1), stream.samples
        for at in range(0, len(found), 3):
            sequence, size, stamp_ns = found[at : at + 3]
            stream.last = max(stream.last, sequence)
            if sequence > acked:
                stream.samples += 1
                stream.size += size
                oldest_ns = stream.oldest_ns
                stream.oldest_ns = stamp_ns if oldest_ns is None else min(stamp_ns, oldest_ns)
        return stream.samples - before
