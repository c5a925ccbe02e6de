from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.core.codec import (
    JOIN_BELOW,
    decode_sample,
    decode_samples,
    encode_sample,
    encode_samples,
)
from pipeline.core.errors import CodecError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.stream_codec import decode_stream, encode_stream

times = st.integers(-(2**62), 2**62)
counts = st.integers(0, 2**62)


def arrays(dtype: str, dims: int, side: int = 12) -> st.SearchStrategy:
    return hnp.arrays(
        np.dtype(dtype), hnp.array_shapes(min_dims=dims, max_dims=dims, max_side=side)
    )


payloads = st.one_of(
    st.tuples(st.just(Encoding.RAW), arrays("uint8", 3)),
    st.tuples(st.just(Encoding.PCM), arrays("int16", 2)),
    st.tuples(st.just(Encoding.FLOAT), arrays("float64", 1)),
    st.tuples(st.just(Encoding.FLOAT), arrays("float32", 2)),
    st.tuples(st.just(Encoding.JPEG), st.binary(max_size=300)),
    st.tuples(st.just(Encoding.UTF8), st.text(max_size=100)),
)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    encoding, data = draw(payloads)
    return Sample(
        draw(st.sampled_from(("cam", "mic", "vib"))),
        draw(counts),
        draw(times),
        data,
        encoding,
        draw(counts),
        draw(counts),
        draw(counts),
    )


def as_bytes(frames: list) -> list[bytes]:
    return [
        bytes(memoryview(frame).cast("B") if memoryview(frame).nbytes else b"") for frame in frames
    ]


def same(one: Sample, other: Sample) -> bool:
    head = ("stream", "sequence", "timestamp_ns", "encoding", "uncertainty_ns", "epoch", "position")
    if any(getattr(one, name) != getattr(other, name) for name in head):
        return False
    if isinstance(one.data, np.ndarray):
        return (
            one.data.dtype == other.data.dtype
            and one.data.shape == other.data.shape
            and one.data.tobytes() == other.data.tobytes()
        )
    return one.data == (other.data if isinstance(one.data, str) else bytes(other.data))


@settings(max_examples=150, deadline=None)
@given(st.lists(samples(), max_size=8))
def test_what_was_encoded_is_decoded_again(batch: list[Sample]) -> None:
    decoded = decode_samples(as_bytes(encode_samples(batch)))
    assert len(decoded) == len(batch)
    assert all(same(a, b) for a, b in zip(batch, decoded, strict=True))


@settings(max_examples=300, deadline=None)
@given(st.lists(samples(), min_size=1, max_size=4), st.data())
def test_damaged_frames_are_refused_or_still_make_sense(
    batch: list[Sample], data: st.DataObject
) -> None:
    frames = as_bytes(encode_samples(batch))
    victim = data.draw(st.integers(0, len(frames) - 1))
    damaged = bytearray(frames[victim])
    kind = data.draw(st.sampled_from(("flip", "cut", "grow", "drop", "double")))
    if kind == "flip" and damaged:
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    elif kind == "grow":
        damaged += data.draw(st.binary(min_size=1, max_size=20))
    frames[victim : victim + 1] = {"drop": [], "double": [bytes(damaged)] * 2}.get(
        kind, [bytes(damaged)]
    )
    try:
        for sample in decode_samples(frames):
            assert sample.nbytes >= 0
    except CodecError:
        pass


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=4))
def test_random_bytes_never_do_anything_but_raise_codec_error(frames: list[bytes]) -> None:
    with pytest.raises(CodecError):
        decode_samples(frames)


def frame_of(side: int = 300) -> Sample:
    return Sample(
        "cam", 1, 2, np.arange(side * side * 3, dtype=np.uint8).reshape(side, side, 3), Encoding.RAW
    )


def test_a_large_payload_is_the_arrays_own_memory_and_decoded_without_a_copy() -> None:
    sample = frame_of()
    frames = encode_sample(sample)
    assert len(frames) == 3
    assert np.shares_memory(np.asarray(frames[2]), sample.data)
    assert np.shares_memory(decode_sample(frames).data, sample.data)


def test_decoded_payloads_cannot_be_written_to() -> None:
    small = Sample("vib", 0, 0, np.arange(3.0), Encoding.FLOAT)
    for sample in (small, frame_of()):
        data = decode_sample(encode_sample(sample)).data
        with pytest.raises(ValueError, match="read-only"):
            data[0] = 0
    jpeg = decode_sample(encode_sample(Sample("cam", 0, 0, b"\xff\xd8", Encoding.JPEG))).data
    assert jpeg.readonly


def test_arrays_of_a_joined_frame_are_aligned() -> None:
    batch = [
        Sample("log", 0, 0, "odd", Encoding.UTF8),
        Sample("vib", 0, 0, np.arange(3.0), Encoding.FLOAT),
    ]
    assert decode_samples(as_bytes(encode_samples(batch)))[1].data.flags.aligned


def test_arrays_that_are_not_contiguous_are_sent_as_they_look() -> None:
    large, small = frame_of().data[:, ::-1], np.arange(12.0).reshape(3, 4).T
    for encoding, data in ((Encoding.RAW, large), (Encoding.FLOAT, small)):
        decoded = decode_sample(as_bytes(encode_sample(Sample("s", 0, 0, data, encoding))))
        assert np.array_equal(decoded.data, data)


def test_nan_and_infinity_are_data() -> None:
    values = np.array([np.nan, np.inf, -np.inf])
    decoded = decode_sample(as_bytes(encode_sample(Sample("vib", 0, 0, values, Encoding.FLOAT))))
    assert np.array_equal(decoded.data, values, equal_nan=True)


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        (Encoding.RAW, np.zeros((4, 4), np.uint8)),
        (Encoding.RAW, np.zeros((4, 4, 3), np.float32)),
        (Encoding.FLOAT, np.zeros(3, np.int64)),
        (Encoding.FLOAT, np.zeros(3, ">f8")),
        (Encoding.PCM, np.zeros(3, np.int16)),
        (Encoding.JPEG, "text"),
        (Encoding.UTF8, b"bytes"),
        (Encoding.FLOAT, np.array([object()])),
    ],
)
def test_a_payload_that_is_not_what_its_encoding_says_is_refused(
    encoding: Encoding, data: object
) -> None:
    with pytest.raises(CodecError, match="cam"):
        encode_sample(Sample("cam", 0, 0, data, encoding))


def test_a_header_that_promises_more_than_there_is_is_refused() -> None:
    frames = as_bytes(encode_sample(Sample("vib", 0, 0, np.arange(3.0), Encoding.FLOAT)))
    with pytest.raises(CodecError, match="shorter"):
        decode_samples([frames[0], frames[1][:8]])
    with pytest.raises(CodecError, match="more payload"):
        decode_samples([frames[0], frames[1] + b"12345678"])
    with pytest.raises(CodecError, match="more payload"):
        decode_samples([*frames, b"extra"])


def test_a_missing_or_resized_large_frame_is_refused() -> None:
    frames = as_bytes(encode_sample(frame_of()))
    with pytest.raises(CodecError, match="missing"):
        decode_samples(frames[:2])
    with pytest.raises(CodecError, match="another size"):
        decode_samples([*frames[:2], frames[2][:-1]])


def test_the_border_between_joined_and_own_frames() -> None:
    for size, frames in ((JOIN_BELOW - 1, 2), (JOIN_BELOW, 3)):
        encoded = encode_sample(Sample("cam", 0, 0, bytes(size), Encoding.JPEG))
        assert len(encoded) == frames
        assert decode_sample(as_bytes(encoded)).nbytes == size


def test_stream_descriptions_travel_and_are_checked() -> None:
    info = StreamInfo("vib", Modality.SENSOR, 10.0, (2,), "float64", "g", ("x", "y"))
    assert decode_stream(encode_stream(info)) == info
    for wrong in (
        StreamInfo("", Modality.TEXT),
        StreamInfo("a" * 200, Modality.TEXT),
        StreamInfo("cam", Modality.VIDEO, -1.0),
        StreamInfo("cam", Modality.VIDEO, float("nan")),
        StreamInfo("cam", Modality.VIDEO, 1.0, (2**40, 1, 3)),
        StreamInfo("cam", Modality.VIDEO, 1.0, (1, 1, 3), "object"),
        StreamInfo("vib", Modality.SENSOR, 1.0, (3,), "float64", "", ("x", "y")),
        StreamInfo("vib", Modality.SENSOR, 1.0, (0,), "float64"),
    ):
        with pytest.raises(CodecError):
            decode_stream(encode_stream(wrong))
    with pytest.raises(CodecError):
        decode_stream(b"\x81\xa4name\x01")
