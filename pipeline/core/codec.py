"""The wire form of samples: one header frame, then payload frames.

::

    frame 0   msgpack: version, names of the streams concerned, one `SampleHeader` a sample
    frame 1   every payload under `JOIN_BELOW` bytes, one after the other, each padded to 8
    frame 2.. one larger payload each, untouched: the array's own memory, never copied

Both ends of a link, recordings and reader processes use it. Decoding gives read-only views
over the received frames: no payload is copied. Everything that comes from outside is checked
against its bounds before it is used, and whatever does not fit is a `CodecError`; NaN and
infinity are data and pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from pipeline.core.errors import CodecError
from pipeline.core.sample import Encoding, Payload, Sample

VERSION = 1
JOIN_BELOW = 100_000
"""Payloads of at least this many bytes get a frame of their own and are never copied."""
MAX_SAMPLES = 16_384
"""Most samples in one message."""
MAX_NAME = 128
"""Longest name of a stream, in characters."""

Buffer: TypeAlias = bytes | memoryview | npt.NDArray[np.generic]
Frames: TypeAlias = Sequence[Buffer]

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Time = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
_Shape = Annotated[tuple[_Count, ...], msgspec.Meta(max_length=3)]


class _Layout(NamedTuple):
    encoding: Encoding
    dtype: np.dtype[np.generic] | None
    dims: tuple[int, ...]


_LAYOUTS = (
    _Layout(Encoding.RAW, np.dtype("<u1"), (3,)),
    _Layout(Encoding.JPEG, None, (0,)),
    _Layout(Encoding.PCM, np.dtype("<i2"), (2,)),
    _Layout(Encoding.FLOAT, np.dtype("<f8"), (1, 2)),
    _Layout(Encoding.FLOAT, np.dtype("<f4"), (1, 2)),
    _Layout(Encoding.UTF8, None, (0,)),
)
_LAYOUT_OF_DTYPE = {
    layout.dtype: code for code, layout in enumerate(_LAYOUTS) if layout.dtype is not None
}
_JPEG, _UTF8 = 1, 5
_PAD = tuple(bytes(n) for n in range(8))


class SampleHeader(msgspec.Struct, array_like=True, gc=False):
    """What is sent about a sample beside its payload; fields as in `Sample`.

    Attributes:
        stream: Index into the names of the batch.
        frame: 1 when the payload is joined with others, else the frame it has to itself.
        size: Bytes of the payload.
        layout: Encoding and element type: an index into the table at the top of this module.
        shape: Shape of the array; ``()`` for bytes and text.
    """

    stream: _Count
    sequence: _Count
    timestamp_ns: _Time
    layout: Annotated[int, msgspec.Meta(ge=0, lt=len(_LAYOUTS))]
    size: _Count
    frame: _Count
    shape: _Shape
    uncertainty_ns: _Count = 0
    epoch: _Count = 0
    position: _Count = 0


class _Batch(msgspec.Struct, array_like=True, gc=False):
    version: int
    streams: Annotated[list[_Name], msgspec.Meta(max_length=MAX_SAMPLES)]
    samples: Annotated[list[SampleHeader], msgspec.Meta(max_length=MAX_SAMPLES)]


Described: TypeAlias = tuple[str, SampleHeader, Buffer]
"""A sample taken apart: the name of its stream, its header, its payload as bytes."""

_encoder = msgspec.msgpack.Encoder()
_batch_decoder = msgspec.msgpack.Decoder(_Batch)


def describe(sample: Sample) -> Described:
    """Header and payload of a sample. Small payloads are copied, large ones are not.

    Raises:
        CodecError: The payload is not what its encoding says.
    """
    data = sample.data
    if isinstance(data, np.ndarray):
        shape, size = data.shape, data.nbytes
        code = _LAYOUT_OF_DTYPE.get(data.dtype, _JPEG)
        small = size < JOIN_BELOW
        payload: Buffer = data.tobytes() if small else np.ascontiguousarray(data)
    else:
        shape, code = (), _UTF8 if isinstance(data, str) else _JPEG
        payload = _plain(data)
        size = len(payload)
    layout = _LAYOUTS[code]
    if layout.encoding is not sample.encoding or len(shape) not in layout.dims:
        raise CodecError(
            f"a {sample.encoding.value} sample cannot hold {type(data).__name__} of shape {shape}",
            where=sample.stream,
        )
    header = SampleHeader(
        0,
        sample.sequence,
        sample.timestamp_ns,
        code,
        size,
        1,
        shape,
        sample.uncertainty_ns,
        sample.epoch,
        sample.position,
    )
    return sample.stream, header, payload


def _plain(data: bytes | memoryview | str) -> bytes | memoryview:
    if isinstance(data, str):
        return data.encode("utf-8", "replace")
    if isinstance(data, bytes):
        return data
    return bytes(data) if data.nbytes < JOIN_BELOW else data.cast("B")


def pack(parts: Sequence[Described]) -> list[Buffer]:
    """Frames of a message from samples taken apart by `describe`, in the given order."""
    index: dict[str, int] = {}
    joined: list[bytes | memoryview] = []
    frames: list[Buffer] = [b"", b""]
    headers = []
    for name, header, payload in parts:
        header.stream = index.setdefault(name, len(index))
        if header.size < JOIN_BELOW and not isinstance(payload, np.ndarray):
            header.frame = 1
            joined += (payload, _PAD[-header.size % 8])
        else:
            header.frame = len(frames)
            frames.append(payload)
        headers.append(header)
    frames[0] = _encoder.encode(_Batch(VERSION, list(index), headers))
    frames[1] = b"".join(joined)
    return frames


def encode_samples(samples: Sequence[Sample]) -> list[Buffer]:
    """Frames of one message that carries `samples`.

    Payloads of `JOIN_BELOW` bytes or more are the samples' own memory, which must not change
    until the frames have been sent.

    Raises:
        CodecError: A payload is not what its encoding says, or there are too many samples.
    """
    if len(samples) > MAX_SAMPLES:
        raise CodecError(f"{len(samples)} samples in one message, at most {MAX_SAMPLES} may be")
    return pack([describe(sample) for sample in samples])


def decode_samples(frames: Frames) -> list[Sample]:
    """The samples of one message, with read-only views over `frames` as payloads.

    A JPEG comes as a memoryview, text as ``str``, everything else as an array.

    Raises:
        CodecError: The frames are not what `encode_samples` makes, in any respect.
    """
    batch = _decode_batch(frames)
    views = [_view(frame) for frame in frames]
    names, joined = batch.streams, views[1]
    end, offset, own = joined.nbytes, 0, 2
    samples = []
    for header in batch.samples:
        if header.stream >= len(names):
            raise CodecError(f"stream {header.stream} of {len(names)} named in the header")
        size = header.size
        if header.frame == 1:
            start, view = offset, joined
            offset += size + -size % 8
            if offset > end:
                raise CodecError("the joined payloads are shorter than their headers say")
        else:
            if header.frame != own or own >= len(views) or views[own].nbytes != size:
                raise CodecError(f"payload frame {header.frame} is missing or of another size")
            start, view = 0, views[own]
            own += 1
        layout = _LAYOUTS[header.layout]
        samples.append(
            Sample(
                names[header.stream],
                header.sequence,
                header.timestamp_ns,
                _payload(header, layout, view, start),
                layout.encoding,
                header.uncertainty_ns,
                header.epoch,
                header.position,
            )
        )
    if offset != end or own != len(views):
        raise CodecError("there is more payload than the headers say")
    return samples


def size_of(frame: Buffer) -> int:
    """Bytes of a frame."""
    return len(frame) if isinstance(frame, bytes) else frame.nbytes


def encode_sample(sample: Sample) -> list[Buffer]:
    """Frames of a message that carries one sample."""
    return encode_samples((sample,))


def decode_sample(frames: Frames) -> Sample:
    """The one sample of a message.

    Raises:
        CodecError: As `decode_samples`, or there is not exactly one sample.
    """
    samples = decode_samples(frames)
    if len(samples) != 1:
        raise CodecError(f"expected one sample, got {len(samples)}")
    return samples[0]


def _decode_batch(frames: Frames) -> _Batch:
    if len(frames) < 2:
        raise CodecError(f"a message of samples has at least 2 frames, got {len(frames)}")
    try:
        batch = _batch_decoder.decode(_view(frames[0]))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(f"bad sample header: {error}") from error
    if batch.version != VERSION:
        raise CodecError(f"sample header of version {batch.version}, we read {VERSION}")
    return batch


def _view(frame: Buffer) -> memoryview:
    view = memoryview(frame.data if isinstance(frame, np.ndarray) else frame)
    return (view if view.ndim == 1 and view.format == "B" else view.cast("B")).toreadonly()


def _payload(header: SampleHeader, layout: _Layout, view: memoryview, start: int) -> Payload:
    shape, dtype = header.shape, layout.dtype
    if len(shape) not in layout.dims:
        raise CodecError(f"a {layout.encoding.value} sample cannot have the shape {shape}")
    if dtype is not None:
        if math.prod(shape) * dtype.itemsize != header.size:
            raise CodecError(f"shape {shape} does not fit {header.size} bytes of {dtype.name}")
        try:
            return np.ndarray(shape, dtype, view, start)
        except (TypeError, ValueError) as error:  # e.g. a shape with both 0 and 2**62 in it
            raise CodecError(f"shape {shape} is not possible") from error
    data = view[start : start + header.size]
    if header.layout == _JPEG:
        return data
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise CodecError(f"text is not UTF-8: {error.reason}") from error
