"""What a segment holds, in short, at its end: nobody has to read all of a spool to open it.

A segment that is closed ends with a record of its `Summary`, and that with the place where it
begins. A file without one (its writer was killed, its end is damaged) is read whole instead,
and given one then. What lies before a summary is checked when it is read back.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from pipeline.core.codec import MAX_NAME, SampleHeader
from pipeline.core.errors import CodecError
from pipeline.core.stream_codec import decode_stream
from pipeline.transport.spool_format import (
    Acked,
    Found,
    Kind,
    Piece,
    Record,
    parts_of,
    read_acked,
    read_sample,
    scan,
)

_PLACE = struct.Struct("<Q4s")
_MARK = b"FWse"

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Lane(msgspec.Struct, array_like=True, gc=False):
    """Samples of one stream and one kind.

    Attributes:
        count: How many.
        size: Bytes of their records.
        first: Lowest sequence.
        last: Highest sequence.
        oldest_ns: Earliest stamp.
    """

    count: _Count
    size: _Count
    first: _Count
    last: _Count
    oldest_ns: int


class Summary(msgspec.Struct, array_like=True, gc=False):
    """See the module.

    Attributes:
        first_order: Order of the first sample; None without any.
        last_order: Highest order of any record.
        written_ns: When the newest record was written, node time.
        untimed: Samples whose stamps are in node time.
        copies: Samples of `Kind.COPY` by stream.
        alone: Samples of `Kind.SAMPLE` by stream.
        descriptions: ``order → description`` as in the records.
        acked: Acked points as last written.
    """

    first_order: int | None = None
    last_order: _Count = 0
    written_ns: int = 0
    untimed: _Count = 0
    copies: dict[_Name, Lane] = {}
    alone: dict[_Name, Lane] = {}
    descriptions: dict[int, bytes] = {}
    acked: Acked = msgspec.field(default_factory=Acked)

    def lanes(self) -> Iterator[tuple[Kind, str, Lane]]:
        """All samples: their kind, their stream, how many and which."""
        yield from ((Kind.COPY, name, lane) for name, lane in self.copies.items())
        yield from ((Kind.SAMPLE, name, lane) for name, lane in self.alone.items())

    def note(self, record: Record, size: int) -> None:
        """Take in a record that was found, of `size` bytes."""
        self.last_order = max(self.last_order, record.order)
        self.written_ns = record.written_ns
        if record.kind is Kind.STREAM:
            self.descriptions[record.order] = bytes(record.body)
        elif record.kind is Kind.ACKED:
            self.acked = read_acked(record.body)
        elif record.kind is not Kind.SUMMARY:
            stream, header, _, base = read_sample(record.body)
            self.note_sample(record.kind, record.order, size, stream, header)
            self.untimed += base is not None

    def note_sample(
        self, kind: Kind, order: int, size: int, stream: str, header: SampleHeader
    ) -> None:
        """Take in a sample that was written or found."""
        self.last_order = max(self.last_order, order)
        if self.first_order is None:
            self.first_order = order
        lanes = self.alone if kind is Kind.SAMPLE else self.copies
        lane = lanes.get(stream)
        if lane is None:
            sequence, stamp_ns = header.sequence, header.timestamp_ns
            lanes[stream] = Lane(1, size, sequence, sequence, stamp_ns)
            return
        lane.count += 1
        lane.size += size
        lane.first = min(lane.first, header.sequence)
        lane.last = max(lane.last, header.sequence)
        lane.oldest_ns = min(lane.oldest_ns, header.timestamp_ns)

    def is_within(self, acked: Acked) -> bool:
        """Whether every sample is committed."""
        return all(lane.last <= acked.of(kind).get(name, -1) for kind, name, lane in self.lanes())


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Summary)


def summary_of(records: Iterable[Found]) -> Summary:
    """What records hold, in short."""
    summary = Summary()
    for found in records:
        summary.note(found.record, found.size)
    return summary


def summary_parts(summary: Summary, at: int) -> list[Piece]:
    """The record that ends a segment of `at` bytes."""
    body: list[Piece] = [_encoder.encode(summary), _PLACE.pack(at, _MARK)]
    return parts_of(Kind.SUMMARY, summary.last_order, summary.written_ns, body)


def decode_summary(body: bytes | memoryview) -> Summary:
    """The summary of a record.

    Raises:
        CodecError: It is not one.
    """
    try:
        summary = _decoder.decode(memoryview(body)[: -_PLACE.size])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(f"bad summary in the spool: {error}") from error
    for said in summary.descriptions.values():
        decode_stream(said)
    return summary


def read_summary(path: Path) -> Summary | None:
    """The summary at the end of a file; None when there is none or it is damaged.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        end = os.pread(file.fileno(), _PLACE.size, max(0, size - _PLACE.size))
        at, mark = _PLACE.unpack(end) if len(end) == _PLACE.size else (0, b"")
        data = os.pread(file.fileno(), size - at, at) if mark == _MARK and at < size else b""
    found = next(scan(data), None)
    if found is None or found.size != len(data) or found.record.kind is not Kind.SUMMARY:
        return None
    try:
        return decode_summary(found.record.body)
    except CodecError:
        return None
