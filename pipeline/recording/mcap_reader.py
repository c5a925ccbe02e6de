"""Reading the messages of an MCAP file, chunk by chunk, in the order in which they stand.

A chunk is believed when its CRC is right. One that is not is left out, counted and reported;
one that is cut off gives the messages that are complete.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import lz4.frame
import numpy as np
import structlog
import zstandard

from pipeline.core.errors import RecordingError
from pipeline.recording.mcap_format import (
    CHUNK,
    CHUNK_OPCODE,
    HEAD,
    MESSAGE,
    MESSAGE_HEAD_BYTES,
    MESSAGE_OPCODE,
    crc32,
)
from pipeline.recording.mcap_index import ChunkEntry, McapIndex
from pipeline.recording.mcap_summary import read_index

log = structlog.get_logger(__name__)

_BODY = struct.Struct("<HIQQ")
_PIECE_BYTES = 1 << 20
_FEWER = "take fewer recordings at once, or let more files be open (ulimit -n)"


class Message(NamedTuple):
    """One message as it stands in the file."""

    channel: int
    sequence: int
    log_time_ns: int
    publish_time_ns: int
    body: memoryview


@dataclass(frozen=True, slots=True)
class DamagedChunk:
    """A chunk that could not be used.

    Attributes:
        offset: Where it begins in the file.
        length: Its size in bytes.
        reason: What is wrong with it.
    """

    offset: int
    length: int
    reason: str


class McapFile:
    """An MCAP file opened for reading; what is appended afterwards is not seen.

    Raises:
        RecordingError: The file cannot be opened or is not MCAP.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: dict[int, DamagedChunk] = {}
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise RecordingError(
                f"cannot open: {error.strerror}",
                where=str(path),
                fix=_FEWER if error.errno == errno.EMFILE else "",
            ) from error
        try:
            self.index: McapIndex = read_index(self._file)
        except (ValueError, OSError) as error:
            self.close()
            raise RecordingError(
                f"not an MCAP file: {error}",
                where=str(path),
                fix="recordings are made by fusewatch record, run and import",
            ) from error

    def messages(
        self,
        chunks: Sequence[ChunkEntry] | None = None,
        *,
        from_ns: int | None = None,
        to_ns: int | None = None,
    ) -> Iterator[Message]:
        """Messages with ``from_ns <= log time < to_ns``, in file order.

        Args:
            chunks: Where to look; None: in all chunks.
            from_ns: First log time wanted; None: from the start.
            to_ns: End of the log times wanted; None: to the end.
        """
        first, end = from_ns or 0, (1 << 64) if to_ns is None else to_ns
        for entry in self.index.chunks if chunks is None else chunks:
            if entry.end_ns < first or entry.start_ns >= end:
                continue
            data = self.records(entry)
            inside = entry.start_ns >= first and entry.end_ns < end
            start = 0 if entry.start_ns >= first else self._first_offset(entry, first)
            for message in _messages(data, start, self._learn):
                if inside or first <= message.log_time_ns < end:
                    yield message

    def records(self, entry: ChunkEntry) -> bytes:
        """The records of a chunk, without compression; empty when the chunk is damaged."""
        try:
            return _load(self._file, entry)
        except (ValueError, OSError) as error:
            self._damage(entry, str(error))
            return b""

    def truncation(self) -> str | None:
        """What is missing at the end of the file, in words; None when it is whole."""
        index = self.index
        if index.whole:
            return None
        whole = sum(not chunk.cut for chunk in index.chunks)
        read = f"{whole} whole chunks were read"
        if index.data_end:
            return f"the index at the end is cut off; {read}, no sample is missing"
        cut = [chunk for chunk in index.chunks if chunk.cut]
        if cut:
            messages = sum(1 for _ in self.messages(cut))
            lacking = cut[-1].length - cut[-1].available
            read += f", and {messages} messages of the last one, which lacks {lacking:,} bytes"
        return f"cut off at byte {index.size:,} without an end; {read}"

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        if self._file >= 0:
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

    def _learn(self, opcode: int, body: bytes) -> None:
        try:
            self.index.learn(opcode, body)
        except ValueError as error:
            log.warning("record left out", path=str(self.path), reason=str(error))

    def _damage(self, entry: ChunkEntry, reason: str) -> None:
        if entry.offset in self.damaged:
            return
        self.damaged[entry.offset] = DamagedChunk(entry.offset, entry.length, reason)
        log.warning(
            "chunk left out", path=str(self.path), offset=entry.offset, bytes=entry.length,
            reason=reason,
        )  # fmt: skip

    def _first_offset(self, entry: ChunkEntry, from_ns: int) -> int:
        """Where in the chunk's records the first message from `from_ns` on stands."""
        if not entry.index_length or entry.bare:
            return 0
        data = os.pread(self._file, entry.index_length, entry.index_offset)
        best, position = None, 0
        while position + 15 <= len(data):
            size = struct.unpack_from("<I", data, position + 11)[0]
            pairs = np.frombuffer(data, "<u8", offset=position + 15, count=size // 8)
            offsets = pairs[1::2][pairs[0::2] >= from_ns]
            if len(offsets):
                first = int(offsets.min())
                best = first if best is None else min(best, first)
            position += 15 + size
        return 0 if best is None else best


def _load(file: int, entry: ChunkEntry) -> bytes:
    """The uncompressed records of a chunk; those that are there when it is cut off.

    Raises:
        ValueError: The chunk is damaged.
    """
    record = os.pread(file, entry.available, entry.offset)
    if entry.bare:
        return record
    head = CHUNK.size + 4
    if len(record) < head:
        return b""
    opcode, length, _, _, size, checksum = CHUNK.unpack_from(record)
    name_length = struct.unpack_from("<I", record, CHUNK.size)[0]
    data_start = head + name_length + 8
    if opcode != CHUNK_OPCODE or HEAD.size + length != entry.length or name_length > 8:
        raise ValueError("its head is damaged")
    compression = record[head : head + name_length].decode("ascii", "replace")
    data = record[data_start:]
    if entry.cut:
        return b"" if compression else data
    data = _decompress(compression, data, size)
    if len(data) != size or (checksum and crc32(data) != checksum):
        raise ValueError("its checksum is wrong")
    return data


def _decompress(compression: str, data: bytes, size: int) -> bytes:
    """At most one byte more than `size`, whatever the data say of themselves."""
    if compression == "":
        return data
    try:
        if compression == "zstd":
            return _read(zstandard.ZstdDecompressor().stream_reader(data), size + 1)
        if compression == "lz4":
            return _read(lz4.frame.LZ4FrameFile(BytesIO(data)), size + 1)
    except (zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise ValueError(f"cannot be decompressed: {error}") from error
    raise ValueError(f"its compression {compression!r} is unknown")


def _read(stream: BinaryIO, most: int) -> bytes:
    """What a stream gives, piece by piece, so that no memory is taken for what never comes."""
    pieces: list[bytes] = []
    with stream:
        while most > 0 and (piece := stream.read(min(most, _PIECE_BYTES))):
            pieces.append(piece)
            most -= len(piece)
    return b"".join(pieces)


def _messages(data: bytes, position: int, learn: Callable[[int, bytes], None]) -> Iterator[Message]:
    view = memoryview(data)
    end = len(data)
    head_size, body_offset = HEAD.size, MESSAGE.size
    unpack_head, unpack_body = HEAD.unpack_from, _BODY.unpack_from
    while position + head_size <= end:
        opcode, length = unpack_head(data, position)
        following: int = position + head_size + length
        if following > end:
            return
        if opcode == MESSAGE_OPCODE and length >= MESSAGE_HEAD_BYTES:
            channel, sequence, log_ns, publish_ns = unpack_body(data, position + head_size)
            body = view[position + body_offset : following]
            yield Message(channel, sequence, log_ns, publish_ns, body)
        else:
            learn(opcode, data[position + head_size : following])
        position = following
