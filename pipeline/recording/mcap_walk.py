"""Finding what is in an MCAP file that has no end: record by record from its start.

A walk stops at the end of the file: the chunk that is cut there still gives its complete
messages. Where a record makes no sense, the walk goes on at the next bytes that look like a
chunk, and says what it skipped.
"""

from __future__ import annotations

import os
import struct

from mcap.opcode import Opcode

from pipeline.recording.mcap_format import CHUNK, HEAD, MAGIC
from pipeline.recording.mcap_index import ChunkEntry, McapIndex

MAX_RECORD_BYTES = 1 << 32
_PLAUSIBLE_RECORD_BYTES = 1 << 30
_OPCODES = frozenset(range(0x01, 0x10))
_CHUNK_TIMES = HEAD.size + 16
"""Where a chunk has said its first and last log time."""


class Walk:
    """Goes through a file record by record, see the module for the rules."""

    def __init__(self, file: int, size: int) -> None:
        self._file = file
        self._index = McapIndex(size=size)

    def run(self) -> McapIndex:
        """Index of everything that can be found."""
        position = len(MAGIC)
        while position < self._index.size:
            position = self._step(position)
        if not self._index.data_end:
            self._distrust_last()
        return self._index

    def _step(self, position: int) -> int:
        """Take in the record at `position`; the position after it."""
        size = self._index.size
        head = os.pread(self._file, CHUNK.size + 4, position)
        if len(head) < HEAD.size:
            return self._skip(position, size)
        opcode, length = HEAD.unpack_from(head)
        end = position + HEAD.size + length
        if opcode == Opcode.CHUNK and len(head) < _CHUNK_TIMES:
            return self._skip(position, size)
        if opcode == Opcode.CHUNK and _plausible_chunk(head, length):
            return self._take_chunk(position, head, length)
        if opcode not in _OPCODES or opcode == Opcode.CHUNK or length > _PLAUSIBLE_RECORD_BYTES:
            return self._resume(position)
        if end > size:
            following = self._find_chunk(position + 1)
            return self._skip(position, following if following is not None else size)
        return self._take_record(opcode, position, end)

    def _take_chunk(self, position: int, head: bytes, length: int) -> int:
        start_ns, end_ns = struct.unpack_from("<QQ", head, HEAD.size)
        whole = HEAD.size + length
        available = min(whole, self._index.size - position)
        if available < whole:
            following = self._find_chunk(position + CHUNK.size)
            if following is not None:
                self._skip(position, following)
                return following
        entry = ChunkEntry(position, whole, start_ns, end_ns, available)
        self._index.chunks.append(entry)
        return position + available

    def _take_record(self, opcode: int, position: int, end: int) -> int:
        if opcode == Opcode.MESSAGE:
            self._take_bare(position, end)
            return end
        if opcode == Opcode.MESSAGE_INDEX:
            return self._take_message_index(position, end)
        if opcode == Opcode.FOOTER:
            closing = os.pread(self._file, len(MAGIC) + 1, end)
            self._index.whole = self._index.data_end and closing == MAGIC
            return self._index.size
        if opcode == Opcode.DATA_END:
            self._index.data_end = True
            return end
        body = os.pread(self._file, end - position - HEAD.size, position + HEAD.size)
        try:
            self._index.learn(opcode, body)
        except ValueError:
            self._skip(position, end)
        return end

    def _take_bare(self, position: int, end: int) -> None:
        chunks = self._index.chunks
        log_ns = struct.unpack("<Q", os.pread(self._file, 8, position + HEAD.size + 6))[0]
        last = chunks[-1] if chunks else None
        if last is None or not last.bare or last.offset + last.length != position:
            last = ChunkEntry(position, 0, log_ns, log_ns, 0, bare=True)
            chunks.append(last)
        last.length = last.available = end - last.offset
        last.start_ns, last.end_ns = min(last.start_ns, log_ns), max(last.end_ns, log_ns)

    def _take_message_index(self, position: int, end: int) -> int:
        channel, size = struct.unpack("<HI", os.pread(self._file, 6, position + HEAD.size))
        if not self._index.chunks or end != position + HEAD.size + 6 + size:
            return self._resume(position)
        last = self._index.chunks[-1]
        last.channels = (last.channels or frozenset()) | {channel}
        last.index_offset = last.index_offset or position
        last.index_length = end - last.index_offset
        return end

    def _distrust_last(self) -> None:
        """Forget the last chunk's message indexes: some of them may be missing."""
        if self._index.chunks:
            last = self._index.chunks[-1]
            last.channels = None
            last.index_offset = last.index_length = 0

    def _skip(self, start: int, end: int) -> int:
        self._distrust_last()
        self._index.skipped.append((start, end))
        return end

    def _resume(self, position: int) -> int:
        following = self._find_chunk(position + 1)
        return self._skip(position, self._index.size if following is None else following)

    def _find_chunk(self, position: int) -> int | None:
        """First position from `position` on at which a whole chunk seems to begin."""
        step = 1 << 20
        while position < self._index.size:
            block = os.pread(self._file, step + CHUNK.size + 4, position)
            found = _chunk_in(block[: step + CHUNK.size + 4], self._index.size - position)
            if found is not None:
                return position + found
            position += step
        return None


def _chunk_in(block: bytes, left: int) -> int | None:
    at = block.find(bytes((Opcode.CHUNK,)))
    while at >= 0:
        head = block[at : at + CHUNK.size + 4]
        if len(head) == CHUNK.size + 4:
            length = HEAD.unpack_from(head)[1]
            if at + HEAD.size + length <= left and _plausible_chunk(head, length):
                return at
        at = block.find(bytes((Opcode.CHUNK,)), at + 1)
    return None


def _plausible_chunk(head: bytes, length: int) -> bool:
    """Whether these bytes can be the beginning of a chunk record of `length` bytes."""
    if len(head) < CHUNK.size:
        return length <= MAX_RECORD_BYTES
    _, _, start_ns, end_ns, size, _ = CHUNK.unpack_from(head)
    if start_ns > end_ns or length > MAX_RECORD_BYTES or size > MAX_RECORD_BYTES:
        return False
    if len(head) < CHUNK.size + 4:
        return True
    name = struct.unpack_from("<I", head, CHUNK.size)[0]
    fixed = CHUNK.size - HEAD.size + 4 + 8
    return bool(name <= 8 and (name > 0 or length == fixed + size))
