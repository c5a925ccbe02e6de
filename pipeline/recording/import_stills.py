"""A folder of still pictures as footage: the frames of a collection, or what a camera took.

They are taken in the order of their names, numbers in these by their worth. When each was taken is
told by the names, if all of them tell a time; otherwise by a times file, or they follow evenly. A
JPEG that is as large as the first picture is passed through, all others are made such.
"""

from __future__ import annotations

import re
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
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording.import_marks import Mark, kind_of_folder
from pipeline.recording.import_report import InputReport
from pipeline.recording.import_table import Moment
from pipeline.recording.import_times import TimesFile
from pipeline.recording.import_video import JPEG_QUALITY, slot_of
from pipeline.recording.still_times import still_times, tells_zone

STILL_HZ = 10.0
"""Pictures a second where nothing tells."""

_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
_SECOND_NS = 1_000_000_000
_FEWEST = 2  # pictures, that one follows on another
_FAR = 10  # usual steps; beyond it a picture says nothing of the next one

Picture = npt.NDArray[np.uint8]


def is_still(path: Path) -> bool:
    """Whether a file is a still picture, by its ending."""
    return path.suffix.lower() in _ENDINGS


def stills_in(folder: Path) -> list[Path]:
    """The still pictures of a folder, by their endings, if they are what it holds.

    One beside each of as many clips, as some recorders leave, is no sequence.
    """
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    stills = [path for path in files if is_still(path)]
    return stills if 2 * len(stills) > len(files) else []


def stills_folders(folder: Path) -> list[Path]:
    """A folder and those within, where they hold still pictures."""
    within = (path for path in folder.rglob("*") if path.is_dir())
    return [path for path in (folder, *within) if stills_in(path)]


def one_sequence(folder: Path, still_hz: float | None) -> list[Path]:
    """All pictures of a folder when they are one sequence: in it, or at times that names tell.

    Args:
        folder: The folder; when there is anything else within, there is no one sequence.
        still_hz: As `StillsInput` takes it.
    """
    folders = stills_folders(folder)
    if folders == [folder] and not any(path.is_dir() for path in folder.iterdir()):
        return stills_in(folder)
    found = [path for one in folders for path in stills_in(one)]
    every = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    dated = still_hz is None and still_times(_names(folder, found), UTC) is not None
    return found if dated and len(every) == len(found) else []


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
        self._files = sorted(files, key=lambda path: _order(str(path.relative_to(folder))))
        self._rate_hz, self._times, self._still_hz = rate_hz, times, still_hz or STILL_HZ
        names = _names(folder, self._files)
        self._taken_ns = None if times or still_hz else still_times(names, zone or UTC)
        self.local = zone is None and self._taken_ns is not None and not all(map(tells_zone, names))
        self._folder = folder
        if self._taken_ns is not None:  # names may begin with what is not their time
            order = np.argsort(np.array(self._taken_ns), kind="stable")
            self._files = [self._files[n] for n in order]
            self._taken_ns = [self._taken_ns[n] for n in order]
        elif times is None and still_hz is None:
            self.report.note(
                f"its pictures tell no time and are taken for {STILL_HZ:g} a second; see --still-hz"
            )
        self._size = size or self._first_size(folder)
        width, height = self._size
        self.info = StreamInfo(
            stream, Modality.VIDEO, self._rate(), (height, width, 3), "uint8", stamp="exact"
        )

    @property
    def first_ns(self) -> int | None:
        """When the first was taken, if that is known; else None."""
        if self._taken_ns is not None:
            return self._taken_ns[0]
        return self._times.first_ns() if self._times else None

    @property
    def marks(self) -> Iterator[Mark]:
        """What the folders within say, of pictures that tell when they were taken: by their names.

        Pictures in a row that lie in one folder are a mark, where they are not far apart.
        """
        if self._taken_ns is None or len(self._files) < _FEWEST:
            return
        step_ns = round(_SECOND_NS / self._rate())
        folders = (path.relative_to(self._folder).parent.name for path in self._files)
        kinds = [kind_of_folder(name) for name in folders]
        begin = 0
        for at in range(1, len(kinds) + 1):
            last_ns = self._taken_ns[at - 1]
            next_ns = self._taken_ns[at] if at < len(kinds) else last_ns + step_ns
            near = next_ns - last_ns <= _FAR * step_ns
            if at < len(kinds) and near and kinds[at] == kinds[begin]:
                continue
            if kinds[begin]:
                end_ns = min(next_ns, last_ns + step_ns)
                yield Mark(Moment(self._taken_ns[begin], True), Moment(end_ns, True), kinds[begin])
            begin = at

    @property
    def duration_ns(self) -> int:
        """From the first to the end of the last, about."""
        if self._taken_ns is not None:
            return self._taken_ns[-1] - self._taken_ns[0]
        return round(len(self._files) * _SECOND_NS / self._rate())

    def samples(self, start_ns: int) -> Iterator[tuple[int, Sample]]:
        """Time and sample of each picture that is kept."""
        last_ns, kept_slot, sequence = None, None, 0
        for time_ns, path in self._timed(start_ns):
            if last_ns is not None and time_ns <= last_ns:
                self.report.drop(DropReason.OUT_OF_ORDER)
                continue
            last_ns = time_ns
            slot = slot_of(time_ns - start_ns, self._rate_hz)
            if slot is not None and slot == kept_slot:
                self.report.fault("frames beyond --video-hz, left out")
                continue
            data = self._jpeg(path)
            if data is None:
                self.report.drop(DropReason.CORRUPT)
                continue
            kept_slot = slot
            self.report.took(time_ns)
            yield time_ns, Sample(self.info.name, sequence, time_ns, data, Encoding.JPEG)
            sequence += 1

    def _timed(self, start_ns: int) -> Iterator[tuple[int, Path]]:
        if self._taken_ns is not None:
            yield from zip(self._taken_ns, self._files, strict=True)
            return
        if self._times is None:
            for number, path in enumerate(self._files):
                yield start_ns + round(number * _SECOND_NS / self._still_hz), path
            return
        rows = self._times.by_position(len(self._files))
        for number, path in enumerate(self._files):
            row = rows.get(number)
            if row is None or row.moment is None:
                self.report.fault("frames that are not present by the times file, left out")
                continue
            yield row.moment.at(start_ns), path

    def _rate(self) -> float:
        rate_hz = self._still_hz
        if self._times is not None and self._times.period_ns:
            rate_hz = round(_SECOND_NS / self._times.period_ns, 3)
        elif self._taken_ns is not None and len(self._taken_ns) > 1:
            apart_ns = statistics.median(b - a for a, b in pairwise(self._taken_ns))
            rate_hz = float(f"{_SECOND_NS / max(apart_ns, 1):.4g}")
        return min(rate_hz, self._rate_hz) if self._rate_hz else rate_hz

    def _first_size(self, folder: Path) -> tuple[int, int]:
        for path in self._files:
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


def _names(folder: Path, files: Sequence[Path]) -> list[str]:
    """What may tell a time: the folder's name, and of each file its path in it."""
    return [str(Path(folder.name) / path.relative_to(folder).with_suffix("")) for path in files]


def _picture(data: bytes) -> Picture | None:
    """A picture ``(H, W, 3)``, BGR; None: it is damaged."""
    if not data:
        return None
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if found is None else np.ascontiguousarray(found, np.uint8)


def _order(name: str) -> list[tuple[int, str]]:
    """Names in the order in which people number them: 2 before 10."""
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
