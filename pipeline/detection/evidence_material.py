"""What an alarm that stands has shown so far, on disk: all that its evidence is made of.

::

    length 4 | CRC-32 4 | body        little-endian; the body is one `Kept` as msgpack

Streams as they were announced, samples as they arrived, scores of windows and phases of the
event, each added once, however often it comes; after a crash the capture nodes send some again.
A process that is killed leaves at most one record that is not whole, the last: it is cut off
when the file is opened again. What is opened again is a copy in its place: whoever wrote it before,
and may not know yet that another has its scene, writes to the one that is gone. Raw frames are kept
as JPEG, but for those so small that a model sees their very pixels: as JPEG they would replay as
something else.

The file has a limit. A picture that would fill more than `PICTURES` of it is left out, and any
other sample that would exceed it; that it was is kept in its place, and counted.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import simplejpeg

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.codec import decode_sample, encode_sample
from pipeline.core.errors import CodecError
from pipeline.core.event import Event
from pipeline.core.sample import Encoding, Sample, StreamInfo
from pipeline.recording.scores import RecordedScore

QUALITY = 90
PICTURES = 0.75
RAW_BYTES = 64 * 1024
"""Raw frames up to this size are kept as they are."""

_HEADER = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A sample that was left out, as the limit was reached.

    Attributes:
        stream: Its stream.
        timestamp_ns: Its stamp.
    """

    stream: str
    timestamp_ns: int


Kept: TypeAlias = StreamOpened | SampleArrived | RecordedScore | Event | LeftOut


class _Opened(msgspec.Struct, array_like=True, tag=0):
    arrival_ns: int
    node: str
    info: StreamInfo


class _Arrived(msgspec.Struct, array_like=True, tag=1):
    arrival_ns: int
    node: str
    frames: list[bytes]


class _Scored(msgspec.Struct, array_like=True, tag=2):
    score: RecordedScore


class _Told(msgspec.Struct, array_like=True, tag=3):
    event: Event


class _Omitted(msgspec.Struct, array_like=True, tag=4):
    stream: str
    timestamp_ns: int


_Record: TypeAlias = _Opened | _Arrived | _Scored | _Told | _Omitted
_RECORD_DECODER = msgspec.msgpack.Decoder(_Record)


class Material:
    """The material of one event, open to be added to.

    Attributes:
        left_out: Samples that were left out since it was opened, by stream.

    Args:
        path: Its file; gone on with when it is there.
        limit_bytes: Its limit.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.left_out: Counter[str] = Counter()
        self._limit = limit_bytes
        self._held: set[Hashable] = set()
        self._size = 0
        for end, kept in _records(path) if path.exists() else ():
            self._held.add(_key(kept))
            self._size = end
        if self._held:
            draft = path.with_name(f"{path.name}.draft")
            shutil.copyfile(path, draft)
            os.replace(draft, path)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, self._size)
        os.lseek(self._file, self._size, os.SEEK_SET)

    def add(self, kept: Kept) -> None:
        """Add one thing, unless it is there.

        Raises:
            OSError: It cannot be written; nothing of it is.
        """
        key = _key(kept)
        if key in self._held:
            return
        record = _packed(kept)
        if isinstance(kept, SampleArrived) and not self._fits(kept.sample, len(record)):
            self.left_out[kept.sample.stream] += 1
            record = _packed(LeftOut(kept.sample.stream, kept.sample.timestamp_ns))
        if os.write(self._file, record) < len(record):
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += len(record)
        self._held.add(key)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _fits(self, sample: Sample, size: int) -> bool:
        picture = sample.encoding in (Encoding.JPEG, Encoding.RAW)
        return self._size + size <= self._limit * (PICTURES if picture else 1.0)


def read_material(path: Path) -> Iterator[Kept]:
    """All that is whole in a file, in the order in which it was added; none without a file."""
    if path.exists():
        yield from (kept for _, kept in _records(path))


def as_jpeg(sample: Sample) -> Sample:
    """A raw frame as JPEG; any other sample as it is."""
    if sample.encoding is not Encoding.RAW:
        return sample
    pixels = np.ascontiguousarray(sample.data)
    jpeg = bytes(simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorspace="BGR"))
    return replace(sample, data=jpeg, encoding=Encoding.JPEG)


def _key(kept: Kept) -> Hashable:
    """What makes it the same thing when it comes again."""
    match kept:
        case SampleArrived(sample=sample):
            # Lines of one moment are told apart by what they say.
            line = sample.data if isinstance(sample.data, str) else ""
            return sample.stream, sample.timestamp_ns, line
        case LeftOut(stream=stream, timestamp_ns=time_ns):
            return stream, time_ns, ""
        case StreamOpened(node=node, info=info):
            return node, info
        case RecordedScore(index=index):
            return "score", index
        case Event(revision=revision):
            return "event", revision


def _packed(kept: Kept) -> bytes:
    body = msgspec.msgpack.encode(_record(kept))
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


def _record(kept: Kept) -> _Record:
    match kept:
        case SampleArrived(arrival_ns=at_ns, node=node, sample=sample):
            stored = sample if sample.nbytes <= RAW_BYTES else as_jpeg(sample)
            return _Arrived(at_ns, node, [bytes(f) for f in encode_sample(stored)])
        case LeftOut(stream=stream, timestamp_ns=time_ns):
            return _Omitted(stream, time_ns)
        case StreamOpened(arrival_ns=at_ns, node=node, info=info):
            return _Opened(at_ns, node, info)
        case RecordedScore():
            return _Scored(kept)
        case Event():
            return _Told(kept)


def _kept(record: _Record) -> Kept:
    match record:
        case _Arrived(arrival_ns=at_ns, node=node, frames=frames):
            return SampleArrived(at_ns, node, decode_sample(frames))
        case _Omitted(stream=stream, timestamp_ns=time_ns):
            return LeftOut(stream, time_ns)
        case _Opened(arrival_ns=at_ns, node=node, info=info):
            return StreamOpened(at_ns, node, info)
        case _Scored(score=score):
            return score
        case _Told(event=event):
            return event


def _records(path: Path) -> Iterator[tuple[int, Kept]]:
    """Where each whole record ends, and what it is."""
    at = 0
    with path.open("rb") as file:
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            length, crc = _HEADER.unpack(header)
            body = file.read(length)
            if len(body) < length or zlib.crc32(body) != crc:
                return
            at += _HEADER.size + length
            try:
                yield at, _kept(_RECORD_DECODER.decode(body))
            except (msgspec.MsgspecError, CodecError):  # written by another version
                return
