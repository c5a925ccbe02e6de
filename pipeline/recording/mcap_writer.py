"""Writing MCAP, so that a crash at any moment costs the open chunk and nothing else.

Rules. A chunk goes to the file in one `writev` when it is full; what is in the file is never
touched again. Schema and channel records stand in the file twice: by themselves the moment
they are made, and within the next chunk, so that neither a lost chunk nor a reader that
looks into chunks only loses the meaning of later messages. When the disk refuses a chunk,
the file is cut back to its last whole record and stays readable.

Why not foxglove-sdk's writer: it gives `publish_time` the value of `log_time` and numbers
messages itself, so a sample's own time and sequence could not be told apart from its arrival.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    DataEnd,
    Header,
    Metadata,
    MetadataIndex,
    Statistics,
    SummaryOffset,
)
from mcap.records import Schema as SchemaRecord

from pipeline.core.errors import RecordingError
from pipeline.recording.chunk import Buffer, OpenChunk, chunk_index
from pipeline.recording.mcap_format import MAGIC, MESSAGE
from pipeline.recording.mcap_output import create, encode, signed_footer, write_all
from pipeline.recording.schemas import Schema

CHUNK_BYTES = 1 << 20
MAX_TIME_NS = (1 << 64) - 1


class McapWriter:
    """Writes one MCAP file; not thread-safe.

    Attributes:
        accepted: Messages taken.
        messages: Messages in the file.
        lost: Messages that the disk refused.
        broken: Whether the disk has refused anything.

    Args:
        path: File to create.
        library: Name and version of the program, kept in the header.
        chunk_bytes: A chunk is written before it grows beyond this.
        overwrite: Replace an existing file instead of refusing.

    Raises:
        RecordingError: The file exists already or cannot be created.
    """

    def __init__(
        self, path: Path, *, library: str, chunk_bytes: int = CHUNK_BYTES, overwrite: bool = False
    ) -> None:
        self.path = path
        self.accepted = 0
        self.messages = 0
        self.lost = 0
        self.broken = False
        self._chunk_bytes = chunk_bytes
        self._offset = 0
        self._chunk = OpenChunk()
        self._schemas: list[bytes] = []
        self._channels: list[bytes] = []
        self._chunk_indexes: list[bytes] = []
        self._metadata_indexes: list[bytes] = []
        self._counts: dict[int, int] = {}
        self._span_ns: tuple[int, int] | None = None
        self._file = create(path, overwrite)
        try:
            self._write([MAGIC, encode(Header(profile="", library=library))])
        except RecordingError:
            self.abandon()
            raise

    @property
    def size_bytes(self) -> int:
        """Size of the file, the open chunk included."""
        return self._offset + self._chunk.size

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Write a metadata record."""
        record = encode(Metadata(name=name, metadata=dict(values)))
        index = MetadataIndex(offset=self._offset, length=len(record), name=name)
        self._metadata_indexes.append(encode(index))
        self._write([record])

    def add_schema(self, schema: Schema) -> int:
        """Write a schema record and give its id."""
        number = len(self._schemas) + 1
        record = encode(
            SchemaRecord(id=number, name=schema.name, encoding=schema.encoding, data=schema.data)
        )
        self._schemas.append(record)
        self._announce(record)
        return number

    def add_channel(
        self, topic: str, encoding: str, schema_id: int, metadata: Mapping[str, str]
    ) -> int:
        """Write a channel record and give its id.

        Raises:
            RecordingError: The file has 65,535 channels already.
        """
        number = len(self._channels) + 1
        if number > 0xFFFF:
            raise RecordingError(
                "no room for another channel", where=str(self.path), fix="begin a new file"
            )
        record = encode(
            Channel(
                id=number,
                topic=topic,
                message_encoding=encoding,
                metadata=dict(metadata),
                schema_id=schema_id,
            )
        )
        self._channels.append(record)
        self._announce(record)
        return number

    def add_message(
        self,
        channel: int,
        sequence: int,
        log_time_ns: int,
        publish_time_ns: int,
        head: bytes,
        payload: Buffer = b"",
    ) -> None:
        """Append a message; its body is `head` followed by `payload`.

        Raises:
            RecordingError: A time is outside 0 to 2^64-1 ns, or the disk refuses the chunk.
        """
        if not (0 <= log_time_ns <= MAX_TIME_NS and 0 <= publish_time_ns <= MAX_TIME_NS):
            raise RecordingError(
                f"time {log_time_ns} or {publish_time_ns} ns lies before 1970 or too far ahead",
                where=str(self.path),
            )
        size = MESSAGE.size + len(head) + len(payload)
        if self._chunk.messages and self._chunk.size + size > self._chunk_bytes:
            self.flush()
        self._chunk.add_message(
            channel, sequence & 0xFFFFFFFF, log_time_ns, publish_time_ns, head, payload
        )
        self.accepted += 1

    @property
    def closed(self) -> bool:
        """Whether the file was closed or abandoned."""
        return self._file < 0

    @property
    def open_since_ns(self) -> int | None:
        """Earliest log time in the open chunk; None when it is empty."""
        return self._chunk.start_ns if self._chunk.messages else None

    def flush(self) -> None:
        """Write the open chunk, if it holds anything.

        Raises:
            RecordingError: The disk refuses it; its messages are counted in `lost`.
        """
        chunk = self._chunk
        if not chunk.messages:
            return
        self._chunk = OpenChunk()
        start = self._offset
        pieces = chunk.finish()
        length = sum(map(len, pieces))
        indexes, offsets = chunk.message_indexes(start + length)
        try:
            self._write([*pieces, indexes])
        except RecordingError:
            self.lost += chunk.messages
            raise
        self._chunk_indexes.append(chunk_index(chunk, start, length, offsets, len(indexes)))
        self._account(chunk)

    def close(self, *, sync: bool = True) -> None:
        """Write what is open and the summary; may be called twice.

        Args:
            sync: Wait until the disk has it, so that it survives a power cut.
        """
        if self._file < 0:
            return
        try:
            self.flush()
            self._write([encode(DataEnd(data_section_crc=0))])
            self._write_summary()
            if sync:
                os.fsync(self._file)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the file as it is, without its last chunk and summary."""
        if self._file >= 0:
            self.lost += self._chunk.messages
            self._chunk = OpenChunk()
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _announce(self, record: bytes) -> None:
        self._write([record])
        self._chunk.add_record(record)

    def _account(self, chunk: OpenChunk) -> None:
        self.messages += chunk.messages
        for channel, count in chunk.counts().items():
            self._counts[channel] = self._counts.get(channel, 0) + count
        first, last = self._span_ns or (chunk.start_ns, chunk.end_ns)
        self._span_ns = min(first, chunk.start_ns), max(last, chunk.end_ns)

    def _write_summary(self) -> None:
        start = self._offset
        groups = [
            (Opcode.SCHEMA, self._schemas),
            (Opcode.CHANNEL, self._channels),
            (Opcode.STATISTICS, [self._statistics()]),
            (Opcode.CHUNK_INDEX, self._chunk_indexes),
            (Opcode.METADATA_INDEX, self._metadata_indexes),
        ]
        summary = bytearray()
        offsets = bytearray()
        for opcode, records in groups:
            if records:
                group_start = start + len(summary)
                summary += b"".join(records)
                length = start + len(summary) - group_start
                offsets += encode(
                    SummaryOffset(group_opcode=opcode, group_start=group_start, group_length=length)
                )
        footer = signed_footer(bytes(summary + offsets), start, start + len(summary))
        self._write([summary, offsets, footer, MAGIC])

    def _statistics(self) -> bytes:
        first, last = self._span_ns or (0, 0)
        return encode(
            Statistics(
                attachment_count=0,
                channel_count=len(self._channels),
                channel_message_counts=self._counts,
                chunk_count=len(self._chunk_indexes),
                message_count=self.messages,
                message_end_time=last,
                message_start_time=first,
                metadata_count=len(self._metadata_indexes),
                schema_count=len(self._schemas),
            )
        )

    def _write(self, pieces: Sequence[Buffer]) -> None:
        if self._file < 0:
            raise RecordingError("the recording is closed already", where=str(self.path))
        try:
            self._offset += write_all(self._file, pieces)
        except OSError as error:
            self.broken = True
            os.ftruncate(self._file, self._offset)
            raise RecordingError(
                f"cannot write: {error.strerror}",
                where=str(self.path),
                fix="free space or record to another folder",
            ) from error
