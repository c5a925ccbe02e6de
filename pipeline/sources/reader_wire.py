"""Messages between a node and a reader process, over a pair of connected sockets.

One message is a prefix (length of header and of payload, big endian), a msgpack header, and
at most one payload. A payload goes from the array it lies in to the socket and from the
socket into the array it stays in, without a copy in between; a message is given out only
when all of it is there. Both ends are the same code on one machine, so the header needs no
version; what a killed reader left half-sent is dropped with the connection.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from math import prod
from typing import Final, TypeAlias

import msgspec
import numpy as np

from pipeline.core.errors import ProtocolError
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Payload, Sample, StreamInfo
from pipeline.sources.handover import (
    Alive,
    Announced,
    Batch,
    Ended,
    Lost,
    Message,
    Opened,
    Rejected,
)

PREFIX: Final = struct.Struct("!IQ")


class _Opened(msgspec.Struct, tag="opened"):
    infos: tuple[StreamInfo, ...]
    anew: bool = False


class _Rejected(msgspec.Struct, tag="rejected"):
    stream: str
    reason: DropReason
    detail: str
    count: int


class _Alive(msgspec.Struct, tag="alive"):
    pass


class _Lost(msgspec.Struct, tag="lost"):
    reason: str


class _Ended(msgspec.Struct, tag="ended"):
    pass


class _Sample(msgspec.Struct, tag="sample", omit_defaults=True):
    stream: str
    timestamp_ns: int
    encoding: Encoding
    form: str  # NumPy dtype of an array, "bytes" or "text"
    shape: tuple[int, ...] = ()
    uncertainty_ns: int = 0
    epoch: int = 0
    position: int = 0


_Header: TypeAlias = _Opened | _Rejected | _Alive | _Lost | _Ended | _Sample
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[_Header] = msgspec.msgpack.Decoder(_Header)


def send(sock: socket.socket, message: Message) -> None:
    """Send one message whole; a batch goes sample by sample.

    Raises:
        OSError: The other end is gone.
    """
    for header, payload in _encode(message):
        head = _encoder.encode(header)
        prefix = PREFIX.pack(len(head), len(payload))
        parts = [memoryview(prefix + head), payload]
        while parts:
            parts = _after(parts, sock.sendmsg(parts))


def _after(parts: list[memoryview], sent: int) -> list[memoryview]:
    """What is left of `parts` when `sent` bytes of them are gone."""
    while parts and sent >= len(parts[0]):
        sent -= len(parts.pop(0))
    if parts and sent:
        parts[0] = parts[0][sent:]
    return parts


def _encode(message: Message) -> Iterator[tuple[object, memoryview]]:
    nothing = memoryview(b"")
    match message:
        case Batch(samples):
            yield from (_encode_sample(s) for s in samples)
        case Opened(infos):
            yield _Opened(infos), nothing
        case Announced(infos):
            yield _Opened(infos, anew=True), nothing
        case Rejected(stream, reason, detail, count):
            yield _Rejected(stream, reason, detail, count), nothing
        case Lost(reason):
            yield _Lost(reason), nothing
        case Alive():
            yield _Alive(), nothing
        case Ended():
            yield _Ended(), nothing


def _encode_sample(sample: Sample) -> tuple[_Sample, memoryview]:
    data = sample.data
    shape: tuple[int, ...] = ()
    if isinstance(data, str):
        form, payload = "text", memoryview(data.encode("utf-8", "replace"))
    elif isinstance(data, (bytes, memoryview)):
        form, payload = "bytes", memoryview(data).cast("B")
    else:
        form, shape = data.dtype.str, data.shape
        payload = np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
    header = _Sample(
        sample.stream,
        sample.timestamp_ns,
        sample.encoding,
        form,
        shape,
        sample.uncertainty_ns,
        sample.epoch,
        sample.position,
    )
    return header, payload


class MessageReader:
    """Takes messages off a socket, keeping what has come of the next one between calls.

    Args:
        sock: The node's end of the pair.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._header: _Header | None = None
        self._buffer = self._rest = memoryview(bytearray(PREFIX.size))
        self._part = "prefix"
        self._payload_bytes = 0

    def read(self, timeout_s: float) -> Message | None:
        """The next message, or None when it is not complete in time.

        Raises:
            EOFError: The reader is gone; nothing follows.
            ProtocolError: The bytes are no message of ours.
        """
        self._sock.settimeout(timeout_s)
        while True:
            try:
                got = self._sock.recv_into(self._rest)
            except (TimeoutError, BlockingIOError):
                return None
            except ConnectionError as error:
                raise EOFError from error
            if got == 0:
                raise EOFError
            self._rest = self._rest[got:]
            while not self._rest:
                if (message := self._advance()) is not None:
                    return message

    def _begin(self, buffer: memoryview, part: str) -> None:
        self._buffer = self._rest = buffer
        self._part = part

    def _advance(self) -> Message | None:
        """The part under way is whole: begin the next, and give a message if it was the last."""
        if self._part == "prefix":
            header_bytes, self._payload_bytes = PREFIX.unpack(self._buffer)
            self._begin(memoryview(bytearray(header_bytes)), "header")
            return None
        if self._part == "header":
            self._header = _decode_header(self._buffer)
            if isinstance(self._header, _Sample):
                # np.empty, unlike bytearray, does not write zeros over what recv will fill.
                payload = np.empty(self._payload_bytes, np.uint8)
                self._begin(payload.data, "payload")
                return None
        payload_view = self._buffer
        header, self._header = self._header, None
        self._begin(memoryview(bytearray(PREFIX.size)), "prefix")
        return _decode(header, payload_view)


def _decode_header(data: memoryview) -> _Header:
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"a reader process sent a header we cannot read: {error}") from error


def _decode(header: _Header | None, payload: memoryview) -> Message:
    match header:
        case _Sample():
            return Batch((_decode_sample(header, payload),))
        case _Opened(infos=infos):
            return Announced(infos) if header.anew else Opened(infos)
        case _Rejected():
            return Rejected(header.stream, header.reason, header.detail, header.count)
        case _Lost(reason=reason):
            return Lost(reason)
        case _Ended():
            return Ended()
        case _:
            return Alive()


def _decode_sample(header: _Sample, payload: memoryview) -> Sample:
    return Sample(
        stream=header.stream,
        sequence=0,
        timestamp_ns=header.timestamp_ns,
        data=_decode_payload(header, payload),
        encoding=header.encoding,
        uncertainty_ns=header.uncertainty_ns,
        epoch=header.epoch,
        position=header.position,
    )


def _decode_payload(header: _Sample, payload: memoryview) -> Payload:
    if header.form == "text":
        return str(payload, "utf-8")
    if header.form == "bytes":
        return payload.toreadonly()
    dtype = np.dtype(header.form)
    if prod(header.shape) * dtype.itemsize != len(payload):
        raise ProtocolError(f"payload of {len(payload)} bytes does not fill {header.shape}")
    return np.frombuffer(payload, dtype).reshape(header.shape)
