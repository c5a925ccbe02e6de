"""Pictures, clips and sound as JPEG, MP4 and WAV.

PyAV does the encoding (H.264 and AAC): every browser and phone plays the result.
"""

from __future__ import annotations

import wave
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from pipeline.core.errors import BadReading
from pipeline.core.explanation import Box
from pipeline.core.sample import Encoding, Sample
from pipeline.detection.evidence_material import QUALITY, as_jpeg

MILLISECONDS = Fraction(1, 1000)
MILLISECOND_NS = 1_000_000
AAC_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
"""Sampling rates of sound that AAC knows."""

_RED = (40, 40, 255)  # blue, green, red


def jpeg_of(frame: Sample) -> bytes:
    """The frame as JPEG bytes; a JPEG passes through."""
    return bytes(as_jpeg(frame).data)  # type: ignore[arg-type]


def boxed_jpeg(frame: Sample, box: Box) -> bytes:
    """The frame as JPEG bytes with a box drawn into a copy of it.

    Raises:
        BadReading: The frame is a damaged JPEG.
    """
    pixels = pixels_of(frame).copy()
    height, width = pixels.shape[:2]
    first = round(box.left * (width - 1)), round(box.top * (height - 1))
    last = round(box.right * (width - 1)), round(box.bottom * (height - 1))
    cv2.rectangle(pixels, first, last, _RED, thickness=max(1, round(height / 180)))
    return bytes(simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorspace="BGR"))


def pixels_of(frame: Sample) -> npt.NDArray[np.uint8]:
    """The frame as BGR pixels ``(H, W, 3)``.

    Raises:
        BadReading: The JPEG is damaged.
    """
    if frame.encoding is not Encoding.JPEG:
        return np.ascontiguousarray(frame.data, dtype=np.uint8)
    try:
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(frame.data, colorspace="BGR")
    except ValueError as error:
        raise BadReading(f"damaged JPEG: {error}", where=f"stream {frame.stream}") from error
    return pixels


def write_mp4(
    path: Path,
    frames: list[Sample],
    sound: list[Sample],
    rate_hz: float,
    go_on: Callable[[], None] = lambda: None,
) -> None:
    """H.264 with AAC; frames keep their own times, frames of another size are left out.

    The size is that of the first frame that is no damaged JPEG. Sound of a rate that AAC lacks is
    resampled to the next higher one, beyond the highest to that.

    A node that comes back sends again what was not acked, and a clock that is found anew may set
    stamps back: of frames and sound of one moment, the first is taken. `go_on` is called before
    each frame; what it raises ends the work.

    Raises:
        BadReading: All frames are damaged.
    """
    frames = sorted(frames, key=lambda frame: frame.timestamp_ns)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        picture = _add_video(container, frames)
        audio = _add_audio(container, int(rate_hz)) if sound and rate_hz else None
        start_ns, shown_ms = frames[0].timestamp_ns, -1
        for frame in frames:
            go_on()
            at_ms = (frame.timestamp_ns - start_ns) // MILLISECOND_NS
            if at_ms > shown_ms:
                _encode_frame(container, picture, frame, at_ms)
                shown_ms = at_ms
        container.mux(picture.encode(None))
        if audio is not None:
            _encode_sound(container, audio, sound, start_ns, int(rate_hz))


def write_wav(path: Path, chunks: list[Sample], rate_hz: float) -> None:
    """16-bit WAV; chunks of the first chunk's channel count, one after the other."""
    blocks = [c for c in (np.asarray(c.data, dtype=np.int16) for c in chunks) if c.ndim == 2]
    channels = blocks[0].shape[1]
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(int(rate_hz))
        for block in blocks:
            if block.shape[1] == channels:
                out.writeframes(np.ascontiguousarray(block).tobytes())


def _add_video(container: av.container.OutputContainer, frames: list[Sample]) -> av.VideoStream:
    height, width = _size_of(frames)
    options = {"preset": "veryfast", "crf": "25"}
    picture = container.add_stream("libx264", rate=25, options=options)
    picture.width, picture.height = width - width % 2, height - height % 2
    picture.pix_fmt = "yuv420p"
    picture.codec_context.time_base = MILLISECONDS
    return picture


def _size_of(frames: list[Sample]) -> tuple[int, int]:
    """Height and width of the first frame that can be read."""
    for frame in frames:
        with suppress(BadReading):
            height, width = pixels_of(frame).shape[:2]
            return height, width
    where = f"stream {frames[0].stream}"
    raise BadReading("no clip: all its pictures are damaged", where=where)


def _add_audio(container: av.container.OutputContainer, rate_hz: int) -> av.AudioStream:
    known_hz = next((known for known in AAC_HZ if known >= rate_hz), AAC_HZ[-1])
    return container.add_stream("aac", rate=known_hz, layout="mono")


def _encode_frame(
    container: av.container.OutputContainer, picture: av.VideoStream, frame: Sample, at_ms: int
) -> None:
    try:
        pixels = pixels_of(frame)[: picture.height, : picture.width]
    except BadReading:
        return
    if pixels.shape[:2] != (picture.height, picture.width):
        return
    image = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="bgr24")
    image.pts = at_ms
    image.time_base = MILLISECONDS
    container.mux(picture.encode(image))


def _encode_sound(
    container: av.container.OutputContainer,
    stream: av.AudioStream,
    chunks: list[Sample],
    start_ns: int,
    rate_hz: int,
) -> None:
    first = chunks[0]
    lead = (first.timestamp_ns - start_ns) * rate_hz // 1_000_000_000
    reached = 0
    for chunk in chunks:
        offset = lead + chunk.position - first.position
        if offset < reached or chunk.epoch != first.epoch:
            continue
        reached = offset + len(chunk.data)
        mono = np.asarray(chunk.data, dtype=np.int16)[:, :1].T
        block = av.AudioFrame.from_ndarray(np.ascontiguousarray(mono), format="s16p", layout="mono")
        block.sample_rate = rate_hz
        block.pts = offset
        block.time_base = Fraction(1, rate_hz)
        container.mux(stream.encode(block))
    container.mux(stream.encode(None))
