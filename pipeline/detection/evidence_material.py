"""What an alarm that stands has shown so far, on disk: pictures and sound for its clip.

::

    length 4 | CRC-32 4 | body        little-endian; the body is one sample as the codec frames it

A sample is added once, however often it comes; after a crash the capture nodes send some again.
A process that is killed leaves at most one record that is not whole, the last: it is cut off
when the file is opened again. Raw frames are kept as JPEG.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import simplejpeg

from pipeline.core.codec import decode_sample, encode_sample
from pipeline.core.sample import Encoding, Sample

QUALITY = 90
_HEADER = struct.Struct("<II")


class Material:
    """The material of one event, open to be added to.

    Args:
        path: Its file; gone on with when it is there.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._held: set[tuple[str, int]] = set()
        whole = 0
        for end, sample in _records(path.read_bytes()):
            self._held.add((sample.stream, sample.timestamp_ns))
            whole = end
        os.ftruncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)

    def add(self, sample: Sample) -> None:
        """Add a sample, unless it is there.

        Raises:
            OSError: It cannot be written; nothing of it is.
        """
        key = (sample.stream, sample.timestamp_ns)
        if key in self._held:
            return
        body = msgspec.msgpack.encode([bytes(f) for f in encode_sample(small(sample))])
        record = _HEADER.pack(len(body), zlib.crc32(body)) + body
        begin = os.lseek(self._file, 0, os.SEEK_CUR)
        if os.write(self._file, record) < len(record):
            os.ftruncate(self._file, begin)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._held.add(key)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def read_material(path: Path) -> list[Sample]:
    """All whole samples of a file, by time."""
    samples = [sample for _, sample in _records(path.read_bytes())]
    return sorted(samples, key=lambda sample: sample.timestamp_ns)


def small(sample: Sample) -> Sample:
    """A raw frame as JPEG; any other sample as it is."""
    if sample.encoding is not Encoding.RAW:
        return sample
    pixels = np.ascontiguousarray(sample.data)
    jpeg = bytes(simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorspace="BGR"))
    return replace(sample, data=jpeg, encoding=Encoding.JPEG)


def _records(data: bytes) -> Iterator[tuple[int, Sample]]:
    """Where each whole record ends, and its sample."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, crc = _HEADER.unpack_from(data, at)
        at += _HEADER.size + length
        body = data[at - length : at]
        if at > len(data) or zlib.crc32(body) != crc:
            return
        yield at, decode_sample(msgspec.msgpack.decode(body, type=list[bytes]))
