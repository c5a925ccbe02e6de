"""The wire: what a peer may send, what its payloads say, and what an event says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec
import numpy as np

from pipeline.core.codec import Buffer, decode_samples, describe, encode_samples, pack, size_of
from pipeline.core.errors import CodecError, ProtocolError
from pipeline.core.event import from_json, to_json
from pipeline.core.ledger import DropReason, StreamAccount
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.stream_codec import (
    decode_stream,
    encode_stream,
)
from pipeline.transport import fetching, protocol
from tests.event_samples import life

INFO = StreamInfo("pump", Modality.SENSOR, 100.0, (3,), "float64", channels=("a", "b", "c"))
SAMPLES = (
    Sample("cam", 1, 2, np.zeros((2, 3, 3), np.uint8), Encoding.RAW),
    Sample("cam", 2, 3, b"\xff\xd8jpeg\xff\xd9", Encoding.JPEG),
    Sample("mic", 0, 4, np.zeros((5, 1), np.int16), Encoding.PCM, position=7),
    Sample("pump", 9, 5, np.array([1.0, np.nan, 2.0]), Encoding.FLOAT, 3, 1),
    Sample("log", 0, 6, "ü", Encoding.UTF8),
)
_LENGTH = 2


def joined(frames: list[Buffer]) -> bytes:
    """Frames as one string of bytes, each behind its length."""
    parts = (size_of(f).to_bytes(_LENGTH, "little") + bytes(f) for f in frames)
    return b"".join(parts)


def parted(data: bytes) -> list[Buffer]:
    """The inverse of `joined`; takes any bytes."""
    frames: list[Buffer] = []
    while data:
        size = int.from_bytes(data[:_LENGTH], "little")
        frames.append(data[_LENGTH : _LENGTH + size])
        data = data[_LENGTH + size :]
    return frames


def message_seeds() -> Iterator[bytes]:
    """One message of each kind, a DATA message with its samples."""
    header, payload, *_ = encode_samples(SAMPLES)
    account = StreamAccount(9, 5, 2, {"corrupt": 2})
    for message in (
        protocol.Hello(protocol.PROTOCOL_VERSION, "cell", "s1", 1, [INFO]),
        protocol.Welcome(1, 1, 1 << 20, 1 << 20, {"pump": protocol.Resume(3, 2)}),
        protocol.Data(bytes(header), bytes(payload)),
        protocol.Ack({"pump": 7}),
        protocol.Credit(1 << 20, [0, 8]),
        protocol.ClockAsk(5),
        protocol.ClockAnswer(5, 6, 7),
        protocol.LedgerSaid({"pump": account}),
        protocol.StreamSaid(INFO),
        protocol.End("pump"),
        protocol.Bye("done"),
        protocol.Refused(protocol.Refusal.MALFORMED, "why", 1),
        protocol.Reject("pump", [4, 5], DropReason.FUTURE),
        fetching.Fetch(1, "cam", "e1", 2, 3, 4),
        fetching.Full(1, 0, 2),
        fetching.Fetched(1, "why"),
    ):
        yield protocol.encode(message)


def read_message(data: bytes) -> None:
    """Take a message as a receiver does, its samples too."""
    with suppress(ProtocolError, CodecError):
        message = protocol.decode(data)
        if isinstance(message, protocol.Data):
            _look_at(decode_samples([message.header, message.joined]))


def sample_seeds() -> Iterator[bytes]:
    """Batches of samples, one of them with a payload in a frame of its own."""
    yield joined(encode_samples(SAMPLES))
    stream, header, payload = describe(SAMPLES[0])
    yield joined(pack([(stream, header, np.frombuffer(payload, np.uint8))]))
    for sample in SAMPLES:
        yield joined(encode_samples([sample]))


def read_samples(data: bytes) -> None:
    """Take frames of samples apart."""
    with suppress(CodecError):
        _look_at(decode_samples(parted(data)))


def description_seeds() -> Iterator[bytes]:
    """Descriptions of streams."""
    yield encode_stream(INFO)
    yield encode_stream(StreamInfo("log", Modality.TEXT))


def read_description(data: bytes) -> None:
    """Read what is said about streams."""
    with suppress(CodecError):
        decode_stream(data)


def event_seeds() -> Iterator[bytes]:
    """The phases of an event, as they go to the alert node and into a recording."""
    yield from map(to_json, life())


def read_event(data: bytes) -> None:
    """Read an event."""
    with suppress(msgspec.DecodeError):
        to_json(from_json(data))


def _look_at(samples: list[Sample]) -> None:
    """Touch what a payload claims to be: a wrong view would end the process here."""
    for sample in samples:
        data = sample.data
        if isinstance(data, np.ndarray):
            data.tobytes()
            if data.flags.writeable:
                raise AssertionError("a received payload can be written to")
        elif isinstance(data, memoryview):
            bytes(data)
