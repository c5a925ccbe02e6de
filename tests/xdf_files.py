"""XDF files made on the spot, chunk by chunk as the format's description says.

A file is ``XDF:`` and chunks: length (a byte that counts the bytes of a number, then the number),
a tag of two bytes, the content. Tags: 1 file header, 2 stream header, 3 samples, 4 clock offset,
6 stream footer. https://github.com/sccn/xdf/wiki/Specifications
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_PACKED = {"float32": "f", "double64": "d", "int16": "h", "int32": "i", "int8": "b"}


@dataclass(frozen=True)
class XdfStream:
    """One stream.

    Attributes:
        name: Its name.
        kind: Its type, as ``EEG``.
        layout: Format of a value: ``float32``, ``double64``, ``int16``, ``int32``, ``string``.
        rate_hz: Nominal rate; 0: irregular.
        stamps: Seconds of its own clock.
        values: A row each.
        offsets: Clock offsets, ``(time, value)``.
        labels: Of its channels, with units.
    """

    name: str
    kind: str
    layout: str
    rate_hz: float
    stamps: Sequence[float]
    values: Sequence[Sequence[float | str]]
    offsets: Sequence[tuple[float, float]] = ()
    labels: Sequence[tuple[str, str]] = ()


def write_xdf(path: Path, streams: Sequence[XdfStream], made: str = "") -> Path:
    """Write a file."""
    when = f"<datetime>{made}</datetime>" if made else ""
    parts = [_chunk(1, f"<info><version>1.0</version>{when}</info>".encode())]
    for number, stream in enumerate(streams, start=1):
        own = struct.pack("<I", number)
        parts.append(_chunk(2, own + _header(stream).encode()))
        parts.append(_chunk(3, own + _samples(stream)))
        parts += [_chunk(4, own + struct.pack("<dd", *one)) for one in stream.offsets]
        parts.append(_chunk(6, own + b"<info></info>"))
    path.write_bytes(b"XDF:" + b"".join(parts))
    return path


def tone(rate_hz: int, seconds: float) -> list[list[float]]:
    """Sound of 440 Hz at half strength, a row a sample."""
    time_s = np.arange(round(rate_hz * seconds)) / rate_hz
    return [[float(v)] for v in 0.5 * np.sin(2 * np.pi * 440 * time_s)]


def _header(stream: XdfStream) -> str:
    width = len(stream.values[0]) if stream.values else 1
    channels = "".join(
        f"<channel><label>{label}</label><unit>{unit}</unit></channel>"
        for label, unit in stream.labels
    )
    return (
        f"<?xml version='1.0'?><info><name>{stream.name}</name><type>{stream.kind}</type>"
        f"<channel_count>{width}</channel_count><nominal_srate>{stream.rate_hz}</nominal_srate>"
        f"<channel_format>{stream.layout}</channel_format><created_at>0</created_at>"
        f"<desc><channels>{channels}</channels></desc></info>"
    )


def _samples(stream: XdfStream) -> bytes:
    found = [_number(len(stream.stamps))]
    for stamp, row in zip(stream.stamps, stream.values, strict=True):
        found.append(b"\x08" + struct.pack("<d", stamp))
        for value in row:
            if stream.layout == "string":
                text = str(value).encode()
                found.append(_number(len(text)) + text)
            else:
                found.append(struct.pack(f"<{_PACKED[stream.layout]}", value))
    return b"".join(found)


def _chunk(tag: int, content: bytes) -> bytes:
    return _number(len(content) + 2) + struct.pack("<H", tag) + content


def _number(value: int) -> bytes:
    return b"\x04" + struct.pack("<I", value)
