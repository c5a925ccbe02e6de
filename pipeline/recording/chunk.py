"""A chunk being filled: messages in memory, payloads by reference, not copied."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

from pipeline.recording.mcap_format import (
    CHUNK,
    CHUNK_INDEX,
    CHUNK_INDEX_OPCODE,
    CHUNK_OPCODE,
    HEAD,
    MESSAGE,
    MESSAGE_HEAD_BYTES,
    MESSAGE_INDEX,
    MESSAGE_INDEX_OPCODE,
    MESSAGE_OPCODE,
    crc32,
)

Buffer: TypeAlias = bytes | bytearray | memoryview

COPY_BELOW_BYTES = 4096  # under this a copy costs less than one more entry in writev


class OpenChunk:
    """Messages that are not on disk yet.

    Payloads of 4 KiB and more are kept by reference until the chunk is written: whoever
    hands them over must not write to them, which is the rule of `Sample.data` anyway.
    """

    __slots__ = ("_index", "_pieces", "_tail", "end_ns", "messages", "size", "start_ns")

    def __init__(self) -> None:
        self._pieces: list[Buffer] = []
        self._tail = bytearray()
        self._index: dict[int, list[int]] = {}
        self.size = 0
        self.messages = 0
        self.start_ns = 0
        self.end_ns = 0

    def add_record(self, record: bytes) -> None:
        """Append a schema or channel record."""
        self._tail += record
        self.size += len(record)

    def add_message(
        self,
        channel: int,
        sequence: int,
        log_time_ns: int,
        publish_time_ns: int,
        head: bytes,
        payload: Buffer = b"",
    ) -> None:
        """Append a message whose body is `head` followed by `payload`."""
        body = len(head) + len(payload)
        entries = self._index.get(channel)
        if entries is None:
            entries = self._index[channel] = []
        entries += (log_time_ns, self.size)
        self._tail += MESSAGE.pack(
            MESSAGE_OPCODE, MESSAGE_HEAD_BYTES + body, channel, sequence, log_time_ns,
            publish_time_ns,
        )  # fmt: skip
        self._tail += head
        if len(payload) < COPY_BELOW_BYTES:
            self._tail += payload
        else:
            self._pieces += (self._tail, payload)
            self._tail = bytearray()
        self.size += MESSAGE.size + body
        if not self.messages:
            self.start_ns = self.end_ns = log_time_ns
        elif log_time_ns > self.end_ns:
            self.end_ns = log_time_ns
        elif log_time_ns < self.start_ns:
            self.start_ns = log_time_ns
        self.messages += 1

    def counts(self) -> dict[int, int]:
        """Messages per channel."""
        return {channel: len(entries) // 2 for channel, entries in self._index.items()}

    def finish(self) -> list[Buffer]:
        """The chunk record, in pieces to be written one after the other."""
        pieces = [*self._pieces, self._tail]
        checksum = 0
        for piece in pieces:
            checksum = crc32(piece, checksum)
        length = CHUNK.size - HEAD.size + 4 + 8 + self.size
        start = CHUNK.pack(
            CHUNK_OPCODE, length, self.start_ns, self.end_ns, self.size, checksum
        ) + struct.pack("<IQ", 0, self.size)
        return [start, *pieces]

    def message_indexes(self, offset: int) -> tuple[bytes, dict[int, int]]:
        """Index records of the chunk, and the file offset of each by channel.

        Args:
            offset: File offset at which the records will be written.
        """
        out = bytearray()
        offsets = {}
        for channel, entries in self._index.items():
            offsets[channel] = offset + len(out)
            size = 8 * len(entries)
            out += MESSAGE_INDEX.pack(MESSAGE_INDEX_OPCODE, 6 + size, channel, size)
            out += struct.pack(f"<{len(entries)}Q", *entries)
        return bytes(out), offsets


def chunk_index(
    chunk: OpenChunk, offset: int, length: int, index_offsets: dict[int, int], index_length: int
) -> bytes:
    """The chunk's entry in the summary section."""
    flat: Sequence[int] = [value for pair in index_offsets.items() for value in pair]
    pairs = struct.pack("<" + "HQ" * len(index_offsets), *flat)
    rest = struct.pack("<QIQQ", index_length, 0, chunk.size, chunk.size)
    body = len(pairs) + len(rest) + CHUNK_INDEX.size - HEAD.size
    head = CHUNK_INDEX.pack(
        CHUNK_INDEX_OPCODE, body, chunk.start_ns, chunk.end_ns, offset, length, len(pairs)
    )
    return head + pairs + rest
