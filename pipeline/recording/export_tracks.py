"""The tracks of an export: JPEG pictures and PCM sound in one Matroska file, times beside it.

Matroska counts milliseconds; the exact time of each packet is a row of ``STREAM.times.csv``.
"""

from __future__ import annotations

import csv
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import simplejpeg

from pipeline.core.pcm import pcm_of_floats
from pipeline.core.sample import Encoding, Sample, StreamInfo
from pipeline.recording.export_tables import ExportedStream, file_beside, opened, utc

MILLISECOND_NS = 1_000_000
_TICK = Fraction(1, 1000)
_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Media:
    """The file that the tracks are in.

    Attributes:
        container: Open for writing; PyAV's.
        path: Where it lies.
        start_ns: Site time of its second 0.
        stack: Closes the tables.
    """

    container: Any
    path: Path
    start_ns: int
    stack: ExitStack


class _Track:
    """A track and its table of times."""

    def __init__(self, info: StreamInfo, media: Media, codec: str, **options: object) -> None:
        table = file_beside(info)
        self.told = ExportedStream(info.name, info.modality.value, (media.path.name, table))
        self._media, self._last = media, -1
        self._track = media.container.add_stream(codec, **options)
        self._track.time_base = _TICK
        self._track.metadata["title"] = info.name
        self._rows = csv.writer(opened(media.path.parent / table, media.stack))
        self._rows.writerow(("index", "timestamp", "present", "utc"))

    def _put(self, content: bytes, sample: Sample, length_ns: int) -> None:
        """Add a packet; two of one millisecond come one after the other."""
        time_ns = sample.timestamp_ns
        tick = max(round((time_ns - self._media.start_ns) / MILLISECOND_NS), self._last + 1)
        packet = av.Packet(content)
        packet.stream, packet.time_base = self._track, _TICK
        packet.pts = packet.dts = self._last = tick
        packet.duration = max(1, round(length_ns / MILLISECOND_NS))
        packet.is_keyframe = True
        self._media.container.mux(packet)
        self._rows.writerow((self.told.samples, time_ns, 1, utc(time_ns)))
        self.told.samples += 1


class VideoTrack(_Track):
    """Pictures as the JPEGs that they are; raw ones become JPEGs."""

    def __init__(self, info: StreamInfo, media: Media) -> None:
        rate = Fraction(info.rate_hz or 25).limit_denominator(1001)
        super().__init__(info, media, "mjpeg", rate=rate)
        self._track.height, self._track.width = info.shape[0], info.shape[1]
        self._track.pix_fmt = "yuvj420p"
        self._period_ns = round(1e9 / float(rate))

    def write(self, sample: Sample) -> None:
        """Add a frame."""
        content = _jpeg(sample)
        if content is None:
            self.told.leave_out("damaged")
            return
        size = simplejpeg.decode_jpeg_header(content)[:2]
        if size != (self._track.height, self._track.width):
            self.told.leave_out("another size")
            return
        self._put(content, sample, self._period_ns)


class AudioTrack(_Track):
    """Sound as 16-bit PCM."""

    def __init__(self, info: StreamInfo, media: Media) -> None:
        self._channels, self._rate = info.shape[0], round(info.rate_hz or 1)
        layout = {1: "mono", 2: "stereo"}.get(self._channels, f"{self._channels}c")
        super().__init__(info, media, "pcm_s16le", rate=self._rate, layout=layout)

    def write(self, sample: Sample) -> None:
        """Add a piece of sound."""
        sound = _pcm(np.asarray(sample.data))
        if sound.ndim != 2 or sound.shape[1] != self._channels:
            self.told.leave_out("another number of channels")
            return
        length_ns = round(len(sound) / self._rate * 1e9)
        self._put(sound.astype("<i2").tobytes(), sample, length_ns)


def _jpeg(sample: Sample) -> bytes | None:
    if sample.encoding is Encoding.JPEG:
        content = bytes(sample.data)  # type: ignore[arg-type]
        try:
            simplejpeg.decode_jpeg_header(content)
        except ValueError:
            return None
        return content
    pixels = np.ascontiguousarray(sample.data, np.uint8)
    return bytes(simplejpeg.encode_jpeg(pixels, quality=_QUALITY, colorspace="BGR"))


def _pcm(sound: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    if sound.dtype == np.int16:
        return sound
    return pcm_of_floats(sound)
