"""Finding what is in an MCAP file: from its summary, or by walking it when that is missing.

The summary is believed when the file ends as it should and the summary's CRC is right.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import numpy as np
from mcap.opcode import Opcode
from mcap.records import Footer, MetadataIndex, Statistics

from pipeline.recording.mcap_format import CHUNK_INDEX_OPCODE, FOOTER_BYTES, HEAD, MAGIC, crc32
from pipeline.recording.mcap_index import UNREADABLE, ChunkEntry, McapIndex, record_stream
from pipeline.recording.mcap_walk import Walk


def read_index(file: int) -> McapIndex:
    """Index of an open MCAP file, by its summary if possible, else by walking it.

    Raises:
        ValueError: The file does not begin as an MCAP file does.
    """
    size = os.fstat(file).st_size
    if os.pread(file, len(MAGIC), 0) != MAGIC:
        raise ValueError("the file does not begin with the MCAP magic bytes")
    return _from_summary(file, size) or Walk(file, size).run()


def _from_summary(file: int, size: int) -> McapIndex | None:
    tail = os.pread(file, FOOTER_BYTES + len(MAGIC), max(0, size - FOOTER_BYTES - len(MAGIC)))
    if len(tail) < FOOTER_BYTES + len(MAGIC) or tail[FOOTER_BYTES:] != MAGIC:
        return None
    if HEAD.unpack_from(tail) != (Opcode.FOOTER, 20):
        return None
    footer = Footer.read(record_stream(tail[HEAD.size : FOOTER_BYTES]))
    end = size - len(tail)
    if not 0 < footer.summary_start <= end:
        return None
    summary = os.pread(file, end - footer.summary_start, footer.summary_start)
    covered = crc32(tail[: HEAD.size + 16], crc32(summary))
    if footer.summary_crc and covered != footer.summary_crc:
        return None
    try:
        return _read_summary(file, size, summary)
    except UNREADABLE:
        return None


def _read_summary(file: int, size: int, summary: bytes) -> McapIndex | None:
    index = McapIndex(size=size, whole=True, data_end=True)
    messages = 0
    for opcode, start, end in _records(summary):
        body = summary[start:end]
        index.learn(opcode, body)
        if opcode == CHUNK_INDEX_OPCODE:
            index.chunks.append(_chunk_entry(body))
        elif opcode == Opcode.STATISTICS:
            messages = Statistics.read(record_stream(body)).message_count
        elif opcode == Opcode.METADATA_INDEX:
            where = MetadataIndex.read(record_stream(body))
            if where.offset + where.length > size:
                return None
            record = os.pread(file, where.length, where.offset)
            index.learn(record[0] if record else 0, record[HEAD.size :])
    if not index.chunks and messages:
        return None
    if not all(_inside(chunk, size) for chunk in index.chunks):
        return None
    index.chunks.sort(key=lambda chunk: chunk.offset)
    return index


def _inside(chunk: ChunkEntry, size: int) -> bool:
    """Whether a file of that size can hold the chunk and its message indexes."""
    ends = chunk.offset + chunk.length, chunk.index_offset + chunk.index_length
    return max(ends) <= size


def _records(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Opcode and span of each whole record in `data`."""
    position = 0
    while position + HEAD.size <= len(data):
        opcode, length = HEAD.unpack_from(data, position)
        start = position + HEAD.size
        position = start + length
        if position > len(data):
            return
        yield opcode, start, position


def _chunk_entry(body: bytes) -> ChunkEntry:
    start_ns, end_ns, offset, length, pairs = struct.unpack_from("<QQQQI", body)
    table = np.frombuffer(body, dtype=[("id", "<u2"), ("offset", "<u8")], offset=36,
                          count=pairs // 10)  # fmt: skip
    index_length = struct.unpack_from("<Q", body, 36 + pairs)[0]
    return ChunkEntry(
        offset=offset,
        length=length,
        start_ns=start_ns,
        end_ns=end_ns,
        available=length,
        channels=frozenset(table["id"].tolist()) if len(table) else None,
        index_offset=int(table["offset"].min()) if len(table) else 0,
        index_length=index_length,
    )
