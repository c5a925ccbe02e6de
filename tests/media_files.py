"""Small media files made on the spot: a bright bar that moves, and a tone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 320, 240


def picture(number: int) -> np.ndarray:
    """BGR picture with a bar whose place tells its number, the left part red."""
    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    image[:, :40] = (0, 0, 220)
    image[:, 40 + number * 8 % 240 :][:, :16] = 255
    return image


def tone(rate_hz: int, seconds: float, frequency_hz: float) -> np.ndarray:
    """int16 ``(N,)`` sine of half scale."""
    t = np.arange(int(rate_hz * seconds)) / rate_hz
    return (np.sin(2 * np.pi * frequency_hz * t) * 16_000).astype(np.int16)


def write_clip(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: int = 10,
    video: str | None = "h264",
    audio: str | None = "aac",
    rate_hz: int = 16_000,
    frequency_hz: float = 440.0,
) -> Path:
    """A clip with the codecs named."""
    with av.open(str(path), "w") as container:
        pictures = None if video is None else container.add_stream(video, rate=fps)
        sound = None if audio is None else container.add_stream(audio, rate=rate_hz, layout="mono")
        if pictures is not None:
            _write_video(container, pictures, int(seconds * fps), fps)
        if sound is not None:
            _write_audio(container, sound, tone(rate_hz, seconds, frequency_hz), rate_hz)
    return path


def _write_video(container, stream, count, fps):
    stream.width, stream.height = WIDTH, HEIGHT
    stream.pix_fmt = "yuvj420p" if stream.codec_context.name == "mjpeg" else "yuv420p"
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
        frame = frame.reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = number, Fraction(1, fps)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _write_audio(container, stream, samples, rate_hz):
    for start in range(0, len(samples), 1024):
        part = np.ascontiguousarray(samples[None, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def dominant_hz(pcm: np.ndarray, rate_hz: float) -> float:
    """Frequency of the strongest line of ``(N,)`` samples."""
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum[1:]) + 1) * rate_hz / len(pcm)
