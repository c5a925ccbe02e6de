"""What an MCAP file holds, and where."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from io import BytesIO

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Metadata, Schema

UNREADABLE = (struct.error, UnicodeDecodeError, McapError, ValueError)


@dataclass(slots=True)
class ChunkEntry:
    """Where a chunk is and what it may hold.

    Attributes:
        offset: First byte of the chunk's record.
        length: Size of the record, head included, as it says itself.
        start_ns: Earliest log time.
        end_ns: Latest log time, inclusive.
        available: Bytes of the record that the file has; less than `length` when cut off.
        channels: Channels with messages in it; None when unknown.
        index_offset: First byte of its message indexes; 0 when there are none.
        index_length: Size of its message indexes.
        bare: Messages that stand in the file without a chunk; `offset` and `length` then
            span the records themselves.
    """

    offset: int
    length: int
    start_ns: int
    end_ns: int
    available: int
    channels: frozenset[int] | None = None
    index_offset: int = 0
    index_length: int = 0
    bare: bool = False

    @property
    def cut(self) -> bool:
        """Whether the file ends within it."""
        return self.available < self.length


@dataclass(slots=True)
class McapIndex:
    """What an MCAP file holds.

    Attributes:
        size: Bytes of the file.
        schemas: Schemas by id.
        channels: Channels by id.
        metadata: Metadata records by name; the last of a name wins.
        chunks: Chunks in file order.
        whole: Whether the file ends as it should.
        data_end: Whether the end of the messages was reached; more follows it in the file.
        skipped: Spans of bytes that could not be read, ``(first, end)``.
    """

    size: int
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    chunks: list[ChunkEntry] = field(default_factory=list)
    whole: bool = False
    data_end: bool = False
    skipped: list[tuple[int, int]] = field(default_factory=list)

    def learn(self, opcode: int, body: bytes) -> None:
        """Take in a schema, channel or metadata record; ignore any other.

        Raises:
            ValueError: The record is damaged.
        """
        try:
            if opcode == Opcode.SCHEMA:
                schema = Schema.read(record_stream(body))
                self.schemas[schema.id] = schema
            elif opcode == Opcode.CHANNEL:
                channel = Channel.read(record_stream(body))
                self.channels[channel.id] = channel
            elif opcode == Opcode.METADATA:
                metadata = Metadata.read(record_stream(body))
                self.metadata[metadata.name] = metadata.metadata
        except UNREADABLE as error:
            raise ValueError(f"record {opcode} is damaged: {error}") from error


def record_stream(body: bytes) -> ReadDataStream:
    """The body of a record, as the mcap package reads it."""
    return ReadDataStream(BytesIO(body))
