"""Samples as messages and back, bit for bit.

Each message begins with what `pipeline.recording.lead` writes: the timestamp and the rest of
what a sample knows about itself. The payload comes last and is handed on by reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import RecordingError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording import schemas
from pipeline.recording.chunk import Buffer
from pipeline.recording.lead import lead, read_lead
from pipeline.recording.protobuf import blob, fixed32, number_field, prefix, walk

EXACT_FIELD = 1001  # float32 audio as it was; `data` holds it as 16-bit PCM to be listened to

_INFO_LEVEL = 2

Message: TypeAlias = tuple[bytes, Buffer]
Encode: TypeAlias = Callable[[Sample], Message]
Decode: TypeAlias = Callable[[memoryview], Sample]


@dataclass(frozen=True, slots=True)
class SampleCodec:
    """How the samples of one stream in one encoding are stored.

    Attributes:
        schema: Schema of the messages.
        encode: Gives a message's head and payload. Raises `RecordingError` for data that
            does not fit the encoding.
        decode: Gives the sample back. Raises `ValueError` for bytes that are not such a
            message.
    """

    schema: schemas.Schema
    encode: Encode
    decode: Decode


def sample_codec(info: StreamInfo, encoding: Encoding) -> SampleCodec:
    """The codec for samples of `info` in `encoding`.

    Raises:
        RecordingError: The modality has no such encoding.
    """
    make = _CODECS.get((info.modality, encoding))
    if make is None:
        raise RecordingError(f"{info.modality} cannot be recorded as {encoding}", where=info.name)
    return make(info)


def _fields(rest: memoryview) -> dict[int, Any]:
    return dict(walk(rest))


def _blob(fields: dict[int, Any], number: int) -> bytes:
    value = fields.get(number, b"")
    if isinstance(value, int):
        raise ValueError(f"field {number} holds a number where bytes must stand")
    return bytes(value)


def _array(sample: Sample, dtype: str, ndim: int) -> npt.NDArray[Any]:
    """The payload as a contiguous array of exactly this type.

    Raises:
        RecordingError: It has another type or number of dimensions.
    """
    data = sample.data
    if not isinstance(data, np.ndarray) or data.dtype != np.dtype(dtype) or data.ndim != ndim:
        found = (
            f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        )
        raise RecordingError(
            f"{sample.encoding} data must be a {dtype} array of {ndim} dimensions, got {found}",
            where=f"{sample.stream} #{sample.sequence}",
        )
    return np.ascontiguousarray(data, dtype=np.dtype(dtype).newbyteorder("<"))


def _view(array: npt.NDArray[Any]) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8).data)


def _buffer(sample: Sample) -> Buffer:
    data = sample.data
    if isinstance(data, bytes):
        return data
    if isinstance(data, memoryview):
        return data.cast("B") if data.contiguous else data.tobytes()
    raise RecordingError(
        f"{sample.encoding} data must be bytes, got {type(data).__name__}",
        where=f"{sample.stream} #{sample.sequence}",
    )


def _jpeg(info: StreamInfo) -> SampleCodec:
    head = blob(3, b"jpeg") + blob(4, info.name.encode())

    def encode(sample: Sample) -> Message:
        data = _buffer(sample)
        return lead(sample) + head + prefix(2, len(data)), data

    def decode(body: memoryview) -> Sample:
        meta, rest = read_lead(body)
        data = _blob(_fields(rest), 2)
        return Sample(stream=info.name, data=data, encoding=Encoding.JPEG, **meta)

    return SampleCodec(schemas.COMPRESSED_IMAGE, encode, decode)


def _raw(info: StreamInfo) -> SampleCodec:
    name = blob(7, info.name.encode())

    def encode(sample: Sample) -> Message:
        image = _array(sample, "uint8", 3)
        height, width, depth = image.shape
        if depth != 3:
            raise RecordingError(f"a raw image has 3 channels, got {depth}", where=info.name)
        head = fixed32(2, width) + fixed32(3, height) + blob(4, b"bgr8") + fixed32(5, 3 * width)
        return lead(sample) + head + name + prefix(6, image.nbytes), _view(image)

    def decode(body: memoryview) -> Sample:
        meta, rest = read_lead(body)
        fields = _fields(rest)
        shape = (int(fields[3]), int(fields[2]), 3)
        data = np.frombuffer(_blob(fields, 6), dtype=np.uint8).reshape(shape)
        return Sample(stream=info.name, data=data, encoding=Encoding.RAW, **meta)

    return SampleCodec(schemas.RAW_IMAGE, encode, decode)


def _audio_head(info: StreamInfo, channels: int) -> bytes:
    rate = round(info.rate_hz or 0)
    return blob(3, b"pcm-s16") + fixed32(4, rate) + fixed32(5, channels)


def _pcm(info: StreamInfo) -> SampleCodec:
    def encode(sample: Sample) -> Message:
        sound = _array(sample, "int16", 2)
        head = _audio_head(info, sound.shape[1])
        return lead(sample) + head + prefix(2, sound.nbytes), _view(sound)

    def decode(body: memoryview) -> Sample:
        meta, rest = read_lead(body)
        fields = _fields(rest)
        data = np.frombuffer(_blob(fields, 2), dtype="<i2").reshape(-1, int(fields[5]))
        return Sample(stream=info.name, data=data, encoding=Encoding.PCM, **meta)

    return SampleCodec(schemas.RAW_AUDIO, encode, decode)


def _float_audio(info: StreamInfo) -> SampleCodec:
    def encode(sample: Sample) -> Message:
        sound = _array(sample, "float32", 2)
        finite = np.nan_to_num(sound, nan=0.0, posinf=1.0, neginf=-1.0)
        audible = (np.clip(finite, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
        head = _audio_head(info, sound.shape[1]) + blob(2, audible)
        return lead(sample) + head + prefix(EXACT_FIELD, sound.nbytes), _view(sound)

    def decode(body: memoryview) -> Sample:
        meta, rest = read_lead(body)
        fields = _fields(rest)
        exact = _blob(fields, EXACT_FIELD)
        data = np.frombuffer(exact, dtype="<f4").reshape(-1, int(fields[5]))
        return Sample(stream=info.name, data=data, encoding=Encoding.FLOAT, **meta)

    return SampleCodec(schemas.RAW_AUDIO, encode, decode)


def _sensor(info: StreamInfo) -> SampleCodec:
    width = info.shape[0] if info.shape else len(info.channels)
    if width > schemas.MAX_CHANNELS:
        raise RecordingError(
            f"{width} channels are more than the {schemas.MAX_CHANNELS} a recording can hold",
            where=info.name,
            fix="split the sensor into several streams",
        )
    names = info.channels if len(info.channels) == width else [f"ch{i}" for i in range(width)]
    layout = np.dtype([("tag", "u1", (3,)), ("value", "<f8")])
    tags = [list(number_field(schemas.SENSOR_FIELD + i, 0)[:-1]) for i in range(width)]
    template = np.zeros(width, dtype=layout)
    for i, tag_bytes in enumerate(tags):
        template["tag"][i] = [tag_bytes[0] | 1, *tag_bytes[1:]]

    def encode(sample: Sample) -> Message:
        values = _array(sample, "float64", 1)
        if len(values) != width:
            raise RecordingError(
                f"a reading has {len(values)} values, the stream {width} channels",
                where=f"{info.name} #{sample.sequence}",
            )
        template["value"] = values
        return lead(sample), template.tobytes()

    def decode(body: memoryview) -> Sample:
        meta, rest = read_lead(body)
        data = np.frombuffer(rest, dtype=layout)["value"].copy()
        if len(data) != width:
            raise ValueError(f"a reading has {len(data)} values, the stream {width} channels")
        return Sample(stream=info.name, data=data, encoding=Encoding.FLOAT, **meta)

    return SampleCodec(schemas.sensor_schema(info.name, names), encode, decode)


def _text(info: StreamInfo) -> SampleCodec:
    head = number_field(2, _INFO_LEVEL) + blob(4, info.name.encode())

    def encode(sample: Sample) -> Message:
        if not isinstance(sample.data, str):
            raise RecordingError(
                f"text must be str, got {type(sample.data).__name__}", where=info.name
            )
        line = sample.data.encode("utf-8", "replace")
        return lead(sample) + head + prefix(3, len(line)), line

    def decode(body: memoryview) -> Sample:
        meta, rest = read_lead(body)
        line = _blob(_fields(rest), 3).decode()
        return Sample(stream=info.name, data=line, encoding=Encoding.UTF8, **meta)

    return SampleCodec(schemas.LOG, encode, decode)


_CODECS: dict[tuple[Modality, Encoding], Callable[[StreamInfo], SampleCodec]] = {
    (Modality.VIDEO, Encoding.JPEG): _jpeg,
    (Modality.VIDEO, Encoding.RAW): _raw,
    (Modality.AUDIO, Encoding.PCM): _pcm,
    (Modality.AUDIO, Encoding.FLOAT): _float_audio,
    (Modality.SENSOR, Encoding.FLOAT): _sensor,
    (Modality.TEXT, Encoding.UTF8): _text,
}
