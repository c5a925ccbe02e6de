"""A folder of still pictures as footage: the frames of a collection, or what a camera took.

They are taken in the order of their names, numbers in these by their worth. When each was taken is
told by the names, if all of them tell a time; otherwise by a times file, or they follow evenly. A
JPEG that is as large as the first picture is passed through, all others are made such.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from pipeline.core.errors import RecordingError
from pipeline.core.jpeg import EOI, SOI, jpeg_size
from pipeline.core.sample import Modality, Sample, StreamInfo
from pipeline.recording.import_frames import JPEG_QUALITY, frame_samples
from pipeline.recording.import_marks import Mark, kind_of_folder, marks_in_a_row
from pipeline.recording.import_report import InputReport
from pipeline.recording.import_table import Moment
from pipeline.recording.import_times import TimesFile
from pipeline.recording.still_folders import in_order, timed_names
from pipeline.recording.still_times import still_times, tells_zone

STILL_HZ = 10.0
"""Pictures a second where nothing tells."""

_SECOND_NS = 1_000_000_000
_HOLDS = 1.0  # usual steps that a picture says something of
_FAR = 10.0  # usual steps; beyond them it says nothing of the next one

Picture = npt.NDArray[np.uint8]


class StillsInput:
    """The pictures of a folder.

    Args:
        stream: Name of the stream it becomes.
        folder: The folder; folders within are not looked into.
        size: Width and height to scale to; None: as the first is.
        rate_hz: Keep at most this many pictures a second; None: all.
        still_hz: How many there were a second where nothing tells; None: `STILL_HZ`.
        zone: Of times in names that name none; None: UTC.
        times: When each was taken; None: by the names.

    Raises:
        RecordingError: None of them can be read.
    """

    def __init__(
        self,
        stream: str,
        folder: Path,
        files: Sequence[Path],
        *,
        size: tuple[int, int] | None = None,
        rate_hz: float | None = None,
        still_hz: float | None = None,
        zone: tzinfo | None = None,
        times: TimesFile | None = None,
    ) -> None:
        self.report = InputReport(stream, "video", str(folder))
        self.local = False
        self._rate_hz, self._still_hz = rate_hz, still_hz or STILL_HZ
        self._taken = self._when(folder, in_order(folder, files), still_hz, zone, times)
        self._kinds = [
            kind_of_folder(path.relative_to(folder).parent.name) for _, path in self._taken
        ]
        apart_ns = [b.ns - a.ns for (a, _), (b, _) in pairwise(self._taken)]
        self._step_ns = max(1.0, statistics.median(apart_ns or [_SECOND_NS / self._still_hz]))
        width, height = self._size = size or self._first_size(folder)
        own_hz = float(f"{_SECOND_NS / self._step_ns:.4g}")
        self.info = StreamInfo(
            name=stream,
            modality=Modality.VIDEO,
            rate_hz=min(own_hz, rate_hz) if rate_hz else own_hz,
            shape=(height, width, 3),
            dtype="uint8",
            stamp="exact",
        )

    def _when(
        self,
        folder: Path,
        files: Sequence[Path],
        still_hz: float | None,
        zone: tzinfo | None,
        times: TimesFile | None,
    ) -> list[tuple[Moment, Path]]:
        """When each picture was taken: by the times file, by the rate, by the names, or evenly."""
        if times is not None:
            rows = times.by_position(len(files))
            found = [(rows.get(number), path) for number, path in enumerate(files)]
            told = [(row.moment, path) for row, path in found if row and row.moment]
            lacking = len(files) - len(told)
            self.report.fault("frames that are not present by the times file, left out", lacking)
            return told
        names = timed_names(folder, files)
        taken_ns = None if still_hz else still_times(names, zone or UTC)
        if taken_ns is not None:
            self.local = zone is None and not all(map(tells_zone, names))
            dated = [(Moment(ns, True), path) for ns, path in zip(taken_ns, files, strict=True)]
            return sorted(dated, key=lambda one: one[0].ns)  # a name may begin with something else
        if still_hz is None:
            self.report.note(
                f"its pictures tell no time and are taken for {STILL_HZ:g} a second; see --still-hz"
            )
        return [
            (Moment(round(number * _SECOND_NS / self._still_hz), False), path)
            for number, path in enumerate(files)
        ]

    @property
    def first_ns(self) -> int | None:
        """When the first was taken, if it has a time on the calendar; else None."""
        return min((moment.ns for moment, _ in self._taken if moment.absolute), default=None)

    @property
    def duration_ns(self) -> int:
        """From the first to the end of the last, about."""
        if not self._taken:
            return 0
        return round(self._taken[-1][0].ns - self._taken[0][0].ns + self._step_ns)

    @property
    def marks(self) -> Iterator[Mark]:
        """What the folders within say, of pictures that have times on the calendar.

        Others are clips, each labelled as a whole.
        """
        if self.first_ns is None or len(self._taken) == 1:
            return iter(())
        return marks_in_a_row([moment for moment, _ in self._taken], self._kinds, _HOLDS, _FAR)

    def samples(self, start_ns: int) -> Iterator[tuple[int, Sample]]:
        """Time and sample of each picture that is kept."""
        timed = ((moment.at(start_ns), path) for moment, path in self._taken)
        return frame_samples(timed, self._jpeg, self.report, start_ns, self._rate_hz)

    def _first_size(self, folder: Path) -> tuple[int, int]:
        for _, path in self._taken:
            if (picture := _picture(path.read_bytes())) is not None:
                return picture.shape[1], picture.shape[0]
        raise RecordingError("none of its pictures can be read", where=str(folder))

    def _jpeg(self, path: Path) -> bytes | None:
        data = path.read_bytes()
        width, height = self._size
        if data[:2] == SOI and jpeg_size(data) == (height, width) and EOI in data[-64:]:
            return data
        picture = _picture(data)
        if picture is None:
            return None
        if picture.shape[:2] != (height, width):
            picture = np.asarray(
                cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8
            )
        return bytes(simplejpeg.encode_jpeg(picture, quality=JPEG_QUALITY, colorspace="BGR"))


def _picture(data: bytes) -> Picture | None:
    """A picture ``(H, W, 3)``, BGR; None: it is damaged."""
    if not data:
        return None
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if found is None else np.ascontiguousarray(found, np.uint8)
