"""The little of protobuf's wire format that a recording needs.

Our messages have one large field and a few small ones, so head and payload are kept apart:
the payload is never copied to be encoded. Source of the format: protobuf.dev, "Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT = 0
FIXED64 = 1
BYTES = 2
FIXED32 = 5

_MAX_VARINT_BYTES = 10
_FIXED64 = struct.Struct("<Q")
_FIXED32 = struct.Struct("<I")


def varint(value: int) -> bytes:
    """`value` as a varint; a negative one as its 64-bit two's complement."""
    if value < 0:
        value += 1 << 64
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, wire: int) -> bytes:
    """The key that precedes field `number`."""
    return varint(number << 3 | wire)


def prefix(number: int, length: int) -> bytes:
    """What precedes the `length` bytes of a string, bytes or message field."""
    return tag(number, BYTES) + varint(length)


def blob(number: int, data: bytes) -> bytes:
    """A whole string, bytes or message field."""
    return prefix(number, len(data)) + data


def fixed32(number: int, value: int) -> bytes:
    """A whole fixed32 field."""
    return tag(number, FIXED32) + _FIXED32.pack(value)


def number_field(number: int, value: int) -> bytes:
    """A whole varint field."""
    return tag(number, VARINT) + varint(value)


def timestamp(time_ns: int) -> bytes:
    """The body of a ``google.protobuf.Timestamp``."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return b"\x08" + varint(seconds) + b"\x10" + varint(nanos)


def walk(body: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message, in the order they stand.

    Raises:
        ValueError: The bytes are not a protobuf message.
    """
    position, end = 0, len(body)
    while position < end:
        key, position = read_varint(body, position)
        wire = key & 7
        value: int | memoryview
        if wire == BYTES:
            length, position = read_varint(body, position)
            value = body[position : position + length]
            if len(value) != length:
                raise ValueError(f"field {key >> 3} is cut off")
            position += length
        elif wire == VARINT:
            value, position = read_varint(body, position)
        elif wire in (FIXED32, FIXED64):
            layout = _FIXED32 if wire == FIXED32 else _FIXED64
            value, position = _read_fixed(body, position, layout)
        else:
            raise ValueError(f"field {key >> 3} has the unknown wire type {wire}")
        yield key >> 3, value


def read_varint(body: memoryview, position: int) -> tuple[int, int]:
    """The varint at `position` and the position after it.

    Raises:
        ValueError: It is cut off or longer than ten bytes.
    """
    value = 0
    for shift, byte in enumerate(body[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, position + shift + 1
    raise ValueError(f"no number ends at byte {position}")


def _read_fixed(body: memoryview, position: int, layout: struct.Struct) -> tuple[int, int]:
    end = position + layout.size
    if end > len(body):
        raise ValueError(f"a number is cut off at byte {position}")
    return int(layout.unpack_from(body, position)[0]), end
