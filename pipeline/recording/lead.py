"""The begin of every sample's message: its timestamp and what a schema has no room for.

After the timestamp stands one field that no schema names, number 1000: sequence, timestamp,
uncertainty, epoch and position, 64 bits each. Readers that do not know the field skip it, as
protobuf demands, so the rest stays a plain Foxglove message.
"""

from __future__ import annotations

import struct

from pipeline.core.errors import RecordingError
from pipeline.core.sample import Sample
from pipeline.recording.protobuf import blob, prefix, timestamp

META_FIELD = 1000

_META = struct.Struct("<5q")
_META_PREFIX = prefix(META_FIELD, _META.size)
_LEAD = struct.Struct("<BBB5sB5s3s5q")
_SECONDS_5_BYTES, _SECONDS_6_BYTES = 1 << 28, 1 << 35


def lead(sample: Sample) -> bytes:
    """Timestamp and meta field; packed in one go for any stamp of the years 1978 to 3058.

    Raises:
        RecordingError: A number does not fit 64 bits.
    """
    seconds, nanos = divmod(sample.timestamp_ns, 1_000_000_000)
    try:
        if not _SECONDS_5_BYTES <= seconds < _SECONDS_6_BYTES:
            meta = _META.pack(*_meta(sample))
            return blob(1, timestamp(sample.timestamp_ns)) + _META_PREFIX + meta
        return _LEAD.pack(
            0x0A, 12,
            0x08, _varint5(seconds),
            0x10, _varint5(nanos),
            _META_PREFIX, *_meta(sample),
        )  # fmt: skip
    except struct.error as error:
        raise RecordingError(
            "a number does not fit 64 bits", where=f"{sample.stream} #{sample.sequence}"
        ) from error


def _meta(sample: Sample) -> tuple[int, int, int, int, int]:
    return (
        sample.sequence,
        sample.timestamp_ns,
        sample.uncertainty_ns,
        sample.epoch,
        sample.position,
    )


def _varint5(value: int) -> bytes:
    """`value` below 2^35 as a varint of five bytes, leading zeros included."""
    spread = (
        value & 0x7F
        | (value & 0x3F80) << 1
        | (value & 0x1F_C000) << 2
        | (value & 0xFE0_0000) << 3
        | (value >> 28) << 32
        | 0x80808080
    )
    return spread.to_bytes(5, "little")


def read_lead(body: memoryview) -> tuple[dict[str, int], memoryview]:
    """What `lead` wrote, by the names of `Sample`, and the rest of the message.

    Raises:
        ValueError: The message does not begin so.
    """
    start = 2 + (body[1] if len(body) > 1 else 0)
    values = start + len(_META_PREFIX)
    if bytes(body[start:values]) != _META_PREFIX or len(body) < values + _META.size:
        raise ValueError("the message was not written by fusewatch")
    sequence, time_ns, uncertainty, epoch, position = _META.unpack_from(body, values)
    fields = {
        "sequence": sequence,
        "timestamp_ns": time_ns,
        "uncertainty_ns": uncertainty,
        "epoch": epoch,
        "position": position,
    }
    return fields, body[values + _META.size :]
