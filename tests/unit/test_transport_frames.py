from __future__ import annotations

import numpy as np
import pytest
import simplejpeg

from pipeline.core.errors import CodecError
from pipeline.core.sample import Encoding, Sample
from pipeline.transport.frames import encode_for_link, frozen, is_frozen
from pipeline.transport.memory import keep_large_blocks


def scene() -> np.ndarray:
    rows, columns = np.mgrid[0:120, 0:160]
    return np.stack((rows, columns, rows + columns), -1).astype(np.uint8)


def test_a_raw_frame_becomes_a_jpeg_that_looks_the_same() -> None:
    sample = Sample("cam", 3, 4, scene(), Encoding.RAW, 5)
    sent = encode_for_link(sample, 90)
    assert (sent.encoding, sent.sequence, sent.timestamp_ns, sent.uncertainty_ns) == (
        Encoding.JPEG,
        3,
        4,
        5,
    )
    seen = simplejpeg.decode_jpeg(sent.data, colorspace="BGR")
    assert np.abs(seen[:80].astype(int) - sample.data[:80]).mean() < 4


def test_a_lower_quality_gives_a_smaller_picture_that_is_further_off() -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    sample = Sample("cam", 0, 0, noisy, Encoding.RAW)
    rough, fine = (encode_for_link(sample, quality).data for quality in (20, 95))
    assert len(rough) < len(fine) / 3
    off = [
        np.abs(simplejpeg.decode_jpeg(jpeg, colorspace="BGR").astype(int) - noisy).mean()
        for jpeg in (rough, fine)
    ]
    assert off[0] > off[1]


def test_other_samples_pass_untouched() -> None:
    for data, encoding in ((b"\xff\xd8", Encoding.JPEG), (np.zeros(3), Encoding.FLOAT)):
        sample = Sample("s", 0, 0, data, encoding)
        assert encode_for_link(sample, 85) is sample


def test_a_frame_that_cannot_be_a_jpeg_is_refused() -> None:
    with pytest.raises(CodecError, match="cam"):
        encode_for_link(Sample("cam", 0, 0, np.zeros((4, 4), np.uint8), Encoding.RAW), 85)


def read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


def test_what_nobody_can_write_to_is_frozen() -> None:
    whole = read_only(scene())
    for payload in (b"x", whole, whole[10:20], np.frombuffer(b"12345678", np.uint8)):
        assert is_frozen(payload)
        assert frozen(payload) is payload


def test_what_somebody_may_still_write_to_is_copied() -> None:
    buffer = bytearray(300)
    writable = scene()
    view = writable[10:20]
    view.setflags(write=False)
    for payload in (
        writable,
        view,
        memoryview(buffer),
        memoryview(buffer).toreadonly(),
        read_only(np.frombuffer(buffer, np.uint8)),
        writable.data.toreadonly(),
    ):
        assert not is_frozen(payload)
        assert is_frozen(frozen(payload))
        assert bytes(memoryview(frozen(payload))) == bytes(memoryview(payload))


def test_large_blocks_are_kept_where_the_c_library_can() -> None:
    assert keep_large_blocks() in (True, False)
