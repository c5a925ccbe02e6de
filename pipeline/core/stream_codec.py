"""The wire form of what is said about streams: their descriptions, as msgpack."""

from __future__ import annotations

import math

import msgspec

from pipeline.core.codec import MAX_NAME
from pipeline.core.errors import CodecError
from pipeline.core.sample import Modality, StreamInfo

DTYPES = ("uint8", "int16", "float32", "float64")
"""Element types a stream may have."""
MAX_CHANNELS = 65_536
"""Most channels of a sensor."""

_encoder = msgspec.msgpack.Encoder()
_stream_decoder = msgspec.msgpack.Decoder(StreamInfo)


def encode_stream(info: StreamInfo) -> bytes:
    """A stream's description as msgpack."""
    return _encoder.encode(info)


def decode_stream(data: bytes | memoryview) -> StreamInfo:
    """Read a stream's description back.

    Raises:
        CodecError: It is not one, or a value is out of bounds.
    """
    try:
        return check_stream(_stream_decoder.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(f"bad stream description: {error}") from error


def check_stream(info: StreamInfo) -> StreamInfo:
    """`info`, if its names, shape and rate are within bounds.

    Raises:
        CodecError: They are not.
    """
    rate = info.rate_hz
    fault = ""
    if any(not 0 < len(name) <= MAX_NAME for name in (info.name, *info.channels)):
        fault = f"names have 1 to {MAX_NAME} characters"
    elif any(len(text) > MAX_NAME for text in (info.unit, info.stamp, *info.units)):
        fault = f"units have at most {MAX_NAME} characters"
    elif len(info.shape) > 3 or any(not 0 <= n < 2**31 for n in info.shape):
        fault = f"shape {info.shape[:4]} is not possible"
    elif info.modality is Modality.SENSOR and 0 in info.shape:
        fault = "a sensor without a channel"
    elif rate is not None and not (math.isfinite(rate) and rate > 0):
        fault = f"rate {rate} Hz is not possible"
    elif info.dtype and info.dtype not in DTYPES:
        fault = f"dtype {info.dtype[:16]!r} is not one of {', '.join(DTYPES)}"
    elif info.channels and info.shape != (len(info.channels),):
        fault = f"{len(info.channels)} channel names for shape {info.shape}"
    if fault:
        raise CodecError(fault, where=info.name[:MAX_NAME])
    return info
