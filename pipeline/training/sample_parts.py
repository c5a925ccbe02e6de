"""One file of a sample as something that windows can be cut from.

What is shorter than a window fills one: of a sound nothing is heard after its end, frames and
readings are spread over it. A picture and a text have no duration and stand in every window.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.core.errors import RecordingError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.settings import Settings
from pipeline.core.window import AudioSlice, SensorSlice, Slice, TextSlice, VideoSlice
from pipeline.recording.import_audio import AudioInput
from pipeline.recording.import_sensors import SensorInput
from pipeline.recording.import_video import VideoInput
from pipeline.training.labelled_folder import PICTURES

Floats: TypeAlias = npt.NDArray[np.float64]

LONGEST_S = 1e7
"""Most seconds of a window."""

FASTEST_HZ = 10_000.0
"""Highest rate of readings."""

_SECOND_NS = 1_000_000_000
_FULL_SCALE = 32768.0


class _Reading(Settings):
    """What can be said without a look at the files."""

    windows: int = Field(default=8, ge=1, le=64)
    """Most windows of a sample."""

    height_px: int = Field(default=120, ge=10, le=4096)
    """Height that pictures are brought to."""

    width_px: int = Field(default=160, ge=10, le=4096)
    """Width that pictures are brought to."""

    frames: int = Field(default=8, ge=2, le=256)
    """Frames of a clip per window; a picture stands for all of them."""

    sound_hz: int = Field(default=16_000, ge=1000, le=192_000)
    """Sample rate that sounds are brought to."""


class ReadingSettings(_Reading):
    """How files become windows."""

    window_s: float | None = Field(default=None, gt=0, le=LONGEST_S)
    """Length of a window, seconds; null: 1 where there are sounds or clips, else that of the
    tables of readings, by the middle one."""

    readings_hz: float | None = Field(default=None, gt=0, le=FASTEST_HZ)
    """Rate that readings are brought to; null: that of the tables, by the middle one."""


class Reading(_Reading):
    """How the files of one folder become windows; see `pipeline.training.reading_fit`."""

    window_s: float = Field(gt=0, le=LONGEST_S)
    """Length of a window, seconds."""

    readings_hz: float = Field(gt=0, le=FASTEST_HZ)
    """Rate that readings are brought to."""

    silent_after: bool = True
    """Whether a sound that has ended is silent, as networks learnt until 0.1; else not heard."""


class Part(ABC):
    """One file's content.

    Attributes:
        duration_s: How long it lasts; 0 when it has no duration.
        remarks: What of the file is not used, in words.
    """

    duration_s: float = 0.0
    remarks: tuple[str, ...] = ()

    @abstractmethod
    def cut(self, start_s: float) -> Slice:
        """The window that begins at this second."""


class _Still(Part):
    """A picture."""

    def __init__(self, path: Path, info: StreamInfo, settings: Reading) -> None:
        data = np.frombuffer(_bytes(path), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if picture is None:
            raise RecordingError("not a picture", where=str(path))
        size = (settings.width_px, settings.height_px)
        fitted = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        self._frame = Sample(info.name, 0, 0, fitted, Encoding.RAW)
        self._info, self._settings = info, settings

    def cut(self, start_s: float) -> VideoSlice:
        """The picture at every point of the grid."""
        grid = _grid(start_s, self._settings.window_s, self._settings.frames)
        present = np.ones(len(grid), np.bool_)
        return VideoSlice(self._info, _ns(grid), (self._frame,) * len(grid), present, 1.0)


class _Clip(Part):
    """A short film; its sound is another part."""

    def __init__(self, path: Path, info: StreamInfo, settings: Reading) -> None:
        size = (settings.width_px, settings.height_px)
        film = VideoInput(info.name, path, size=size)
        self._frames = [frame for _, frame in film.samples(0)]
        if not self._frames:
            raise RecordingError("no frame can be read", where=str(path))
        self._times = np.array([frame.timestamp_ns for frame in self._frames]) / _SECOND_NS
        period = 1.0 / (film.info.rate_hz or 25.0)
        self.duration_s = float(self._times[-1]) + period
        self._info, self._settings = info, settings

    def cut(self, start_s: float) -> VideoSlice:
        """The frames nearest to the points of the grid."""
        length = min(self._settings.window_s, self.duration_s)
        grid = _grid(start_s, length, self._settings.frames)
        nearest = np.abs(self._times[None] - grid[:, None]).argmin(axis=1)
        present = grid <= self.duration_s
        frames = tuple(
            self._frames[place] if there else None
            for place, there in zip(nearest, present, strict=True)
        )
        return VideoSlice(self._info, _ns(grid), frames, present, float(present.mean()))


class _Sound(Part):
    """A sound, its channels in one."""

    def __init__(self, path: Path, info: StreamInfo, settings: Reading) -> None:
        rate = settings.sound_hz
        pieces = [
            (sample.position, np.asarray(sample.data, np.float32).mean(axis=1) / _FULL_SCALE)
            for _, sample in AudioInput(info.name, path, rate_hz=rate).samples(0)
        ]
        if not pieces:
            raise RecordingError("no sound can be read", where=str(path))
        length = max(position + len(piece) for position, piece in pieces)
        self.duration_s = length / rate
        self._samples = np.zeros(length, np.float32)
        for position, piece in pieces:
            self._samples[position : position + len(piece)] = piece
        self._info, self._settings = info, settings

    def cut(self, start_s: float) -> AudioSlice:
        """Sample-exact. After its end nothing is heard, which is not silence.

        A sound that is shorter than a window covers one: that of a short sound is no worse.
        """
        count = round(self._settings.window_s * self._settings.sound_hz)
        first = round(start_s * self._settings.sound_hz)
        part = self._samples[first : first + count]
        held = np.pad(part, (0, count - len(part)))[:, None]
        short = len(self._samples) < count
        heard = np.arange(count) < (count if short and self._settings.silent_after else len(part))
        return AudioSlice(self._info, held, heard, len(part) / min(count, len(self._samples)))


class _Readings(Part):
    """A table of readings."""

    def __init__(self, path: Path, info: StreamInfo, settings: Reading) -> None:
        table = SensorInput(info.name, path)
        if not set(info.channels) & set(table.info.channels):
            raise RecordingError(f"has no column {', '.join(info.channels)}", where=str(path))
        rows = list(table.samples(0))
        values = np.array([row.data for _, row in rows], np.float64)
        absent = np.full(len(values), np.nan)
        own = table.info.channels
        self._values = np.stack(
            [values[:, own.index(c)] if c in own else absent for c in info.channels], axis=1
        )
        times = np.array([row.timestamp_ns for _, row in rows], np.int64)
        self._times = (times - times[0]) / _SECOND_NS
        self.duration_s = float(self._times[-1])
        self._info, self._settings = info, settings
        lost = "rows whose time cannot be read or goes back" if table.report.dropped else ""
        self.remarks = tuple(remark for remark in (table.guess, lost) if remark)

    def cut(self, start_s: float) -> SensorSlice:
        """Readings interpolated between those that are there."""
        length = min(self._settings.window_s, self.duration_s)
        count = max(1, round(self._settings.window_s * self._settings.readings_hz))
        grid = _grid(start_s, length, count)
        columns = [self._course(column, grid) for column in self._values.T]
        values = np.stack(columns, axis=1)
        present = np.isfinite(values)
        return SensorSlice(self._info, _ns(grid), values, present, float(present.mean()))

    def _course(self, column: Floats, grid: Floats) -> Floats:
        known = np.isfinite(column)
        if not known.any():
            return np.full(len(grid), np.nan)
        course = np.interp(grid, self._times[known], column[known])
        return np.where(grid <= self.duration_s, course, np.nan)


class _Text(Part):
    """Lines of text, all at once."""

    def __init__(self, path: Path, info: StreamInfo, settings: Reading) -> None:
        try:
            text = _bytes(path).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise RecordingError("not text in UTF-8", where=str(path)) from error
        self._lines = tuple(line.strip() for line in text.splitlines() if line.strip())
        if not self._lines:
            raise RecordingError("the file is empty", where=str(path))
        self._info = info

    def cut(self, start_s: float) -> TextSlice:
        """All lines, at the beginning of the window."""
        times = np.full(len(self._lines), round(start_s * _SECOND_NS), np.int64)
        return TextSlice(self._info, times, self._lines, 1.0)


def part_of(modality: Modality, path: Path, info: StreamInfo, settings: Reading) -> Part:
    """Read a file.

    Args:
        modality: What it shows; of a clip either its pictures or its sound.
        path: The file.
        info: The stream that it is brought to.
        settings: How.

    Raises:
        RecordingError: It cannot be read, or holds nothing of the stream.
        SourceError: It is not there.
    """
    match modality:
        case Modality.VIDEO if path.suffix.lower() in PICTURES:
            return _Still(path, info, settings)
        case Modality.VIDEO:
            return _Clip(path, info, settings)
        case Modality.AUDIO:
            return _Sound(path, info, settings)
        case Modality.SENSOR:
            return _Readings(path, info, settings)
        case Modality.TEXT:
            return _Text(path, info, settings)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordingError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _grid(start_s: float, length_s: float, count: int) -> Floats:
    """Middles of `count` equal parts of a span, seconds."""
    middles = (np.arange(count, dtype=np.float64) + 0.5) / count
    return np.asarray(start_s + length_s * middles, np.float64)


def _ns(seconds: Floats) -> npt.NDArray[np.int64]:
    return np.round(seconds * _SECOND_NS).astype(np.int64)
