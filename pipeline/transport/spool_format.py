"""Records of the spool: how one lies on the disk, and how the whole ones are found again.

::

    magic 4 | kind 1 | length 4 | order 8 | written 8 | CRC-32 4 | body

Little-endian. The CRC covers everything but the magic and itself. A sample's body is the
length of its header (4 bytes), the header in msgpack (the name of the stream, the codec's
`SampleHeader`, and the `ClockBase` of a stamp that is in node time), then the payload as on the
wire.

What is not whole is passed over: the next record begins where a magic is followed by a header
and a body that fit their CRC. A record whose body says something impossible counts as damaged.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Annotated, NamedTuple, TypeAlias

import msgspec
import numpy as np

from pipeline.core.codec import MAX_NAME, Buffer, SampleHeader, size_of
from pipeline.core.errors import CodecError

Piece: TypeAlias = bytes | memoryview

MAGIC = b"FWs1"
MAX_BODY = 256 << 20
_HEADER = struct.Struct("<4sBIQqI")
_SIGNED = struct.Struct("<BIQq")
_LENGTH = struct.Struct("<I")
HEADER_SIZE = _HEADER.size

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]


class Kind(IntEnum):
    """What a record holds."""

    STREAM = 1  # a description, as the wire codec encodes it
    SAMPLE = 2  # a sample that is in the spool alone
    COPY = 3  # a sample that its sender has in memory as well, for as long as it lives
    ACKED = 4  # the last sequence committed of each stream
    SUMMARY = 5  # what the segment holds, at its end, see `spool_summary`


_KINDS = frozenset(Kind)


class Record(NamedTuple):
    """One record.

    Attributes:
        kind: What it holds.
        order: Its place among all samples and descriptions of its session.
        written_ns: Node time at which it was written.
        body: Its content.
    """

    kind: Kind
    order: int
    written_ns: int
    body: bytes | memoryview


class Found(NamedTuple):
    """A whole record in a file: where it begins, its bytes with the header, what it is."""

    offset: int
    size: int
    record: Record


class ClockBase(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What node time was when a sample was stamped by it, before the clock offset was known.

    Attributes:
        boot: Id of the boot of the machine.
        offset_ns: Node time less the time since that boot.
    """

    boot: Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
    offset_ns: int


class Acked(msgspec.Struct, array_like=True, gc=False):
    """The last sequence committed of each stream.

    Attributes:
        copies: Of what is in memory as well (`Kind.COPY`).
        alone: Of what is in the spool alone (`Kind.SAMPLE`). Where that is sent behind what is
            newer (`pipeline.transport.spool_backlog`), this lags behind.
    """

    copies: dict[_Name, Annotated[int, msgspec.Meta(ge=0)]] = {}
    alone: dict[_Name, Annotated[int, msgspec.Meta(ge=0)]] = {}

    def of(self, kind: Kind) -> dict[str, int]:
        """The points that samples of a kind go by."""
        return self.alone if kind is Kind.SAMPLE else self.copies

    def copy(self) -> Acked:
        """The same points, for themselves."""
        return Acked(dict(self.copies), dict(self.alone))


class StoredSample(NamedTuple):
    """A sample read back.

    Attributes:
        stream: Its stream.
        header: Its header.
        payload: Its payload.
        base: What its stamp is counted from; None: it is on site time.
    """

    stream: str
    header: SampleHeader
    payload: memoryview
    base: ClockBase | None


class _Named(msgspec.Struct, array_like=True, gc=False):
    stream: _Name
    header: SampleHeader
    base: ClockBase | None = None


_encoder = msgspec.msgpack.Encoder()
_named_decoder = msgspec.msgpack.Decoder(_Named)
_acked_decoder = msgspec.msgpack.Decoder(Acked)


def parts_of(kind: Kind, order: int, written_ns: int, body: Sequence[Piece]) -> list[Piece]:
    """A record as pieces to write one after the other; the body is not copied."""
    signed = _SIGNED.pack(kind, sum(size_of(part) for part in body), order, written_ns)
    crc = zlib.crc32(signed)
    for part in body:
        crc = zlib.crc32(part, crc)
    return [MAGIC + signed + _LENGTH.pack(crc), *body]


def sample_body(
    stream: str, header: SampleHeader, payload: Buffer, base: ClockBase | None = None
) -> list[Piece]:
    """Body of a sample's record, in pieces; `base` when its stamp is in node time."""
    named = _encoder.encode(_Named(stream, header, base))
    plain = payload.data.cast("B") if isinstance(payload, np.ndarray) else payload
    return [_LENGTH.pack(len(named)) + named, plain]


def read_sample(body: bytes | memoryview) -> StoredSample:
    """The sample of a record; its payload is a view of `body`.

    Raises:
        CodecError: It is not one.
    """
    view = memoryview(body)
    try:
        (length,) = _LENGTH.unpack_from(view)
        named = _named_decoder.decode(view[_LENGTH.size : _LENGTH.size + length])
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(f"bad sample in the spool: {error}") from error
    payload = view[_LENGTH.size + length :]
    if payload.nbytes != named.header.size:
        raise CodecError(f"{payload.nbytes} bytes for a payload of {named.header.size}")
    return StoredSample(named.stream, named.header, payload, named.base)


def acked_body(acked: Acked) -> list[Piece]:
    """Body of a record of acked points."""
    return [_encoder.encode(acked)]


def read_acked(body: bytes | memoryview) -> Acked:
    """The last sequence committed of each stream.

    Raises:
        CodecError: It is not that.
    """
    try:
        return _acked_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(f"bad acked points in the spool: {error}") from error


def scan(data: bytes) -> Iterator[Found]:
    """Every whole record of a file, in order; what lies between them is damage."""
    view, at = memoryview(data), 0
    while at >= 0:
        found = _record_at(view, at)
        if found is None:
            at = data.find(MAGIC, at + 1)
        else:
            yield found
            at += found.size


def is_torn(data: memoryview) -> bool:
    """Whether what is left of a file is the beginning of a record that was being written."""
    if len(data) < HEADER_SIZE:
        return MAGIC.startswith(bytes(data[: len(MAGIC)])) or bytes(data[: len(MAGIC)]) == MAGIC
    magic, _, length, _, _, _ = _HEADER.unpack_from(data)
    return bool(magic == MAGIC and len(data) < HEADER_SIZE + length)


def _record_at(view: memoryview, at: int) -> Found | None:
    if len(view) - at < HEADER_SIZE:
        return None
    magic, kind, length, order, written_ns, crc = _HEADER.unpack_from(view, at)
    end = at + HEADER_SIZE + length
    if magic != MAGIC or kind not in _KINDS or length > MAX_BODY or end > len(view):
        return None
    body = view[at + HEADER_SIZE : end]
    signed = view[at + len(MAGIC) : at + HEADER_SIZE - _LENGTH.size]
    if zlib.crc32(body, zlib.crc32(signed)) != crc:
        return None
    return Found(at, end - at, Record(Kind(kind), order, written_ns, body))
