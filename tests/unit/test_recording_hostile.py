"""Recordings that were made to harm, or cut at the worst byte: what fuzzing found."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from pipeline.recording import Recording
from pipeline.recording.mcap_format import CHUNK, CHUNK_INDEX_OPCODE, CHUNK_OPCODE, HEAD, MAGIC
from pipeline.recording.mcap_index import ChunkEntry
from pipeline.recording.mcap_reader import McapFile
from tests.fuzz.files import unchecked
from tests.unit.recordings import record, scene

BOMB = bytes(64 << 20)
MOST_BYTES = 16 << 20
_NO_CRC = 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "whole.mcap"
    record(path, scene(0.5, jpeg_bytes=2000), chunk_bytes=8000)
    return path


def chunks_of(path: Path) -> list[ChunkEntry]:
    with McapFile(path) as file:
        return list(file.index.chunks)


def test_a_cut_within_the_head_of_a_chunk_costs_that_chunk_alone(
    whole: Path, tmp_path: Path
) -> None:
    data, chunks = whole.read_bytes(), chunks_of(whole)
    cut = tmp_path / "cut.mcap"
    for extra in range(CHUNK.size + 6):
        cut.write_bytes(data[: chunks[3].offset + extra])
        with McapFile(cut) as file:
            found = [c.offset for c in file.index.chunks if file.records(c)]
            assert found == [c.offset for c in chunks[:3]]
            assert file.truncation() is not None


def file_of(path: Path, compression: str, data: bytes, size: int) -> Path:
    """A file of one chunk, which says that its records have `size` bytes."""
    name = compression.encode()
    rest = struct.pack("<I", len(name)) + name + struct.pack("<Q", len(data)) + data
    head = CHUNK.pack(CHUNK_OPCODE, CHUNK.size - HEAD.size + len(rest), 0, 1, size, _NO_CRC)
    path.write_bytes(MAGIC + head + rest)
    return path


def endless() -> bytes:
    """A zstd frame that says it will be a tebibyte long."""
    return b"\x28\xb5\x2f\xfd\xc0\x00" + struct.pack("<Q", 1 << 40) + b"\x01\x00\x00"


@pytest.mark.parametrize(
    ("compression", "data"),
    [
        ("zstd", endless()),
        ("zstd", zstandard.compress(BOMB)),
        ("lz4", lz4.frame.compress(BOMB)),
    ],
)
@pytest.mark.parametrize("size", [100, 1 << 32])
def test_a_chunk_takes_no_more_memory_than_it_says_and_has(
    tmp_path: Path, compression: str, data: bytes, size: int
) -> None:
    with McapFile(file_of(tmp_path / "bomb.mcap", compression, data, size)) as file:
        (chunk,) = file.index.chunks
        tracemalloc.start()
        try:
            assert file.records(chunk) == b""
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert most < (MOST_BYTES if size == 100 else 3 * len(BOMB))
    assert len(file.damaged) == 1


@pytest.mark.parametrize("compress", [zstandard.compress, lz4.frame.compress])
def test_compressed_chunks_of_others_are_read(tmp_path: Path, compress) -> None:  # type: ignore[no-untyped-def]
    records = os.urandom(3 << 20)
    name = "zstd" if compress is zstandard.compress else "lz4"
    path = file_of(tmp_path / "other.mcap", name, compress(records), len(records))
    with McapFile(path) as file:
        assert file.records(file.index.chunks[0]) == records


@pytest.mark.parametrize("field", ["chunk offset", "index length"])
def test_a_summary_that_points_out_of_the_file_is_not_believed(
    whole: Path, tmp_path: Path, field: str
) -> None:
    data = bytearray(unchecked(whole.read_bytes()))
    at = struct.unpack_from("<Q", data, len(data) - 28)[0]
    while data[at] != CHUNK_INDEX_OPCODE:
        at += HEAD.size + HEAD.unpack_from(data, at)[1]
    pairs = struct.unpack_from("<I", data, at + HEAD.size + 32)[0]
    place = at + HEAD.size + (16 if field == "chunk offset" else 36 + pairs)
    struct.pack_into("<Q", data, place, (1 << 63) + 5)
    path = tmp_path / "pointing.mcap"
    path.write_bytes(data)
    with Recording(path) as recording, Recording(whole) as first:
        assert recording.truncated is None
        middle_ns = (first.start_ns + first.end_ns) // 2
        expected = sum(1 for _ in first.arrivals(middle_ns, middle_ns + 10**9))
        assert sum(1 for _ in recording.arrivals(middle_ns, middle_ns + 10**9)) == expected
