"""Footage into samples: every frame as JPEG, stamped by its container or by a times file.

Motion-JPEG is passed through when nothing is asked to change. A frame's own time is its PTS, or
what is better known (`PictureTimes`); footage without times goes by its nominal rate. Frames that
go back in time are left out, a clock that starts anew goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import simplejpeg

from pipeline.core.picture_times import PictureTimes
from pipeline.core.sample import Modality, Sample, StreamInfo
from pipeline.recording.import_frames import JPEG_QUALITY, frame_samples
from pipeline.recording.import_media import (
    container_start,
    decoded,
    length_ns,
    media_stream,
    open_media,
    packets,
)
from pipeline.recording.import_report import InputReport
from pipeline.recording.import_times import TimesFile

_SECOND_NS = 1_000_000_000
_CLOCKS_DIFFER = 1.05  # of two rates, and it is the same one still


class VideoInput:
    """One file of footage.

    Args:
        stream: Name of the stream it becomes.
        path: The file.
        size: Width and height to scale to; None: as it is.
        rate_hz: Keep at most this many frames a second; None: all.
        times: When each frame happened; None: by the container.

    Raises:
        SourceUnavailable: There is no such file.
        RecordingError: It holds no video.
    """

    def __init__(
        self,
        stream: str,
        path: Path,
        *,
        size: tuple[int, int] | None = None,
        rate_hz: float | None = None,
        times: TimesFile | None = None,
    ) -> None:
        self.report = InputReport(stream, "video", str(path))
        self._path = path
        self._rate_hz = rate_hz
        self._times = times
        with open_media(path) as container:
            video = media_stream(container, self.report)
            own = (video.codec_context.width, video.codec_context.height)
            self._nominal = Fraction(video.average_rate or video.guessed_rate or 25)
            self.duration_ns = length_ns(container, video, 1 / self._nominal)
            packed = video.codec_context.name == "mjpeg" and size in (None, own)
        self._size = size or own
        self._pass_through = packed
        self._rows = times.by_position(_count_frames(stream, path)) if times else None
        self.info = StreamInfo(
            name=stream,
            modality=Modality.VIDEO,
            rate_hz=self._rate(),
            shape=(self._size[1], self._size[0], 3),
            dtype="uint8",
            stamp="exact",
        )

    @property
    def first_ns(self) -> int | None:
        """Time of the first frame when a times file has times on the calendar; else None."""
        return self._times.first_ns() if self._times else None

    def samples(self, start_ns: int) -> Iterator[tuple[int, Sample]]:
        """Arrival and sample of each frame that is kept."""
        return frame_samples(
            self._timed(start_ns), self._jpeg, self.report, start_ns, self._most_hz
        )

    def _rate(self) -> float:
        rate = self._times_hz or float(self._nominal)
        return min(rate, self._rate_hz) if self._rate_hz else rate

    @property
    def _most_hz(self) -> float | None:
        """Frames a second to keep; None: all, as there are no more."""
        if self._rate_hz is None:
            return None
        own_hz = max(float(self._nominal), (self._times_hz or 0.0) / _CLOCKS_DIFFER)
        return self._rate_hz if self._rate_hz < own_hz else None

    @property
    def _times_hz(self) -> float | None:
        """Frames a second by the times file."""
        period_ns = self._times.period_ns if self._times else None
        return round(1e9 / period_ns, 3) if period_ns else None

    def _timed(self, start_ns: int) -> Iterator[tuple[int, Any]]:
        """Time and picture (a packet or a frame) of each frame that is there."""
        if self._rows is None:
            for offset_ns, frame in self._by_container():
                yield start_ns + offset_ns, frame
            return
        seen = 0
        for position, (_, frame) in enumerate(self._pictures()):
            if frame is None:
                continue
            row = self._rows.get(position)
            if row is None or row.moment is None:
                self.report.fault("frames that are not present by the times file, left out")
                continue
            seen += 1
            yield row.moment.at(start_ns), frame
        self.report.fault("rows of the times file without a frame", len(self._rows) - seen)

    def _by_container(self) -> Iterator[tuple[int, Any]]:
        """Offset from the container's start in nanoseconds, and picture."""
        period_ns = round(_SECOND_NS / self._nominal)
        base_ns, expected_ns = 0, 0
        for own_ns, frame in self._pictures():
            if frame is None:
                continue
            if own_ns is None:
                self.report.note("frames have no time of their own: the nominal rate is used")
                offset_ns = expected_ns
            else:
                offset_ns = own_ns + base_ns
                if expected_ns - offset_ns > _SECOND_NS:
                    self.report.note("its clock started anew; it goes on where it was")
                    base_ns += expected_ns - offset_ns
                    offset_ns = expected_ns
            expected_ns = max(expected_ns, offset_ns + period_ns)
            yield offset_ns, frame

    def _pictures(self) -> Iterator[tuple[int | None, Any]]:
        """Nanoseconds since the container's start, and picture, in order shown.

        A picture that cannot be decoded is None, so that those after it keep their places.
        """
        times = PictureTimes()
        with open_media(self._path) as container:
            video = media_stream(container, self.report)
            if not self._pass_through:  # else few are decoded, and threads would give them late
                video.thread_type = "AUTO"
            start = container_start(container)
            for packet in packets(container, video, self.report):
                if self._pass_through and packet.size and _complete(bytes(packet)):
                    yield _offset_ns(packet, times, start), bytes(packet)
                    continue
                frames = decoded(packet, self.report)
                if frames is None:
                    yield None, None
                for frame in frames or ():
                    yield _offset_ns(frame, times, start), frame

    def _jpeg(self, picture: Any) -> bytes | None:  # noqa: ANN401 - PyAV's frame or a packet
        if isinstance(picture, bytes):
            return picture
        width, height = self._size
        try:
            scaled = picture.reformat(width=width, height=height, format="bgr24")
            image = scaled.to_ndarray()
        except (av.error.FFmpegError, ValueError):
            return None
        encoded: bytes = simplejpeg.encode_jpeg(image, quality=JPEG_QUALITY, colorspace="BGR")
        return encoded


def _offset_ns(
    timed: Any,  # noqa: ANN401 - packet or frame
    times: PictureTimes,
    start: Fraction,
) -> int | None:
    ticks = times.of(timed.pts, timed.dts)
    if ticks is None or timed.time_base is None:
        return None
    offset_s: Fraction = ticks * timed.time_base - start
    return round(offset_s * _SECOND_NS)


def _complete(data: bytes) -> bool:
    """Whether it is a JPEG with tables of its own, as AVI does not demand."""
    return data[:2] == b"\xff\xd8" and b"\xff\xc4" in data


def _count_frames(stream: str, path: Path) -> int:
    """Pictures in the file, by its packets: nothing is decoded."""
    report = InputReport(stream, "video", str(path))  # what is wrong is told when it is read
    with open_media(path) as container:
        video = media_stream(container, report)
        return sum(1 for packet in packets(container, video, report) if packet.size)
