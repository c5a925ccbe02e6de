"""Synthetic sites for the detection benchmark: what the detector would see of one, kept on disk.

A site is a place and a seed. Of each there are three parts that follow one another: a normal
to learn, a fresh normal to count false alarms on, and one with an anomaly every 14 s, whose
labels are exact. Rendering half an hour costs one to three CPU minutes, so a part is rendered
once and kept in a folder per site: ``<part>.v.npy`` pictures as `prepare_picture` makes them
for the default number of cells, ``.a.npy`` sound, ``.s.npy`` readings, and ``.json`` with the
labels and streams, which is written last: without it a part is not there.

The windows are those that the aligner makes of these samples when none is late or lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import AudioSlice, SensorSlice, Slice, VideoSlice, Window
from pipeline.models.picture import prepare_picture
from pipeline.models.settings import DetectorSettings
from pipeline.sources.synthetic.labels import labels
from pipeline.sources.synthetic.reel import Reel
from pipeline.sources.synthetic.settings import ScheduleSettings, SiteSettings
from pipeline.training.labels import Label

SCENE = "site"
HOP_NS = 500_000_000
HOPS = 4  # of a window
RATE_HZ, SOUND_HZ = 10, 16_000  # frames and readings; samples of sound
A_HOP = RATE_HZ // 2
START_NS = 1_700_000_000 * 10**9  # site time of scene second 0
FULL_S = 1800
FULL_SIZE = (640, 360)
EVERY_S, FIRST_S = 14.0, 5.0
EVERY = frozenset({Modality.VIDEO, Modality.AUDIO, Modality.SENSOR})
_RAW = Encoding.RAW


class Part(StrEnum):
    """The parts of a site, in the order in which they happen."""

    TRAIN = "train"
    NORMAL = "normal"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Site:
    """A site and how much of it there is.

    Attributes:
        place: The room, see `SiteSettings.place`.
        seed: What happens there.
        part_s: Length of each part, seconds.
        size: Width and height that the camera has, pixels.
        start_s: Scene second at which the first part begins; second 0 is ten in the morning.
    """

    place: int
    seed: int
    part_s: int = FULL_S
    size: tuple[int, int] = FULL_SIZE
    start_s: int = 0

    @property
    def name(self) -> str:
        """Name of its folder."""
        length = "" if self.part_s == FULL_S else f"-{self.part_s}s"
        size = "" if self.size == FULL_SIZE else f"-{self.size[0]}x{self.size[1]}"
        start = "" if self.start_s == 0 else f"-from{self.start_s}s"
        return f"p{self.place}s{self.seed}{length}{size}{start}"

    def begin_s(self, part: Part) -> int:
        """Scene second at which a part begins."""
        return self.start_s + list(Part).index(part) * self.part_s

    def settings(self, part: Part) -> SiteSettings:
        """The source that shows a part."""
        first_s = self.begin_s(part) + FIRST_S
        wrong = ScheduleSettings(every_s=EVERY_S, first_s=first_s)
        return SiteSettings(
            place=self.place,
            seed=self.seed,
            size=self.size,
            jpeg_quality=None,
            anomalies=wrong if part is Part.WRONG else "none",
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """A part as arrays.

    Attributes:
        begin_s: Scene second of the first sample.
        streams: Camera, microphone and sensors.
        labels: What is wrong, in scene seconds.
        pictures: uint8 ``(n, H, W, 3)``, on disk.
        sound: int16 ``(n, samples)``, a row for the time of each picture.
        readings: float64 ``(n, C)``.
    """

    begin_s: int
    streams: tuple[StreamInfo, ...]
    labels: tuple[Label, ...]
    pictures: npt.NDArray[np.uint8]
    sound: npt.NDArray[np.int16]
    readings: npt.NDArray[np.float64]

    @property
    def windows_in_all(self) -> int:
        """How many whole windows there are."""
        return len(self.pictures) // A_HOP - (HOPS - 1)

    def windows(
        self,
        having: Collection[Modality] = EVERY,
        missing: Collection[Modality] = (),
        last_s: float | None = None,
    ) -> Iterator[Window]:
        """Its windows in order.

        Args:
            having: Modalities that the scene has at all.
            missing: Those of them of which nothing arrives.
            last_s: Only those of so many seconds at the end.
        """
        first = 0 if last_s is None else max(0, self.windows_in_all - round(last_s * 1e9 / HOP_NS))
        frame = lru_cache(maxsize=2 * HOPS * A_HOP)(self._frame)  # windows share them
        for number in range(first, self.windows_in_all):
            start_ns = START_NS + self.begin_s * 10**9 + number * HOP_NS
            slices = {
                info.name: self._slice(info, number, start_ns, info.modality not in missing, frame)
                for info in self.streams
                if info.modality in having
            }
            end_ns = start_ns + HOPS * HOP_NS
            yield Window(SCENE, start_ns // HOP_NS, start_ns, end_ns, slices)

    def _frame(self, stream: str, row: int, time_ns: int) -> Sample:
        return Sample(stream, row, time_ns, self.pictures[row], _RAW)

    def _slice(
        self,
        info: StreamInfo,
        number: int,
        start_ns: int,
        seen: bool,
        frame: Callable[[str, int, int], Sample],
    ) -> Slice:
        rows = slice(number * A_HOP, (number + HOPS) * A_HOP)
        grid = start_ns + np.arange(HOPS * A_HOP, dtype=np.int64) * (10**9 // RATE_HZ)
        coverage = float(seen)
        if info.modality is Modality.VIDEO:
            frames = tuple(
                frame(info.name, rows.start + i, int(t)) if seen else None
                for i, t in enumerate(grid)
            )
            return VideoSlice(info, grid, frames, np.full(len(grid), seen), coverage)
        if info.modality is Modality.AUDIO:
            heard = self.sound[rows].reshape(-1, 1).astype(np.float32) / np.float32(32768)
            present = np.full(len(heard), seen)
            return AudioSlice(info, heard * np.float32(seen), present, coverage)
        values = self.readings[rows] if seen else np.full_like(self.readings[rows], np.nan)
        return SensorSlice(info, grid, values, np.isfinite(values), coverage)


def recorded(site: Site, part: Part, cache: Path, tell: Callable[[str], None]) -> Recorded:
    """A part of a site, rendered when the cache does not hold it.

    Args:
        site: The site.
        part: Which part.
        cache: Folder that holds a folder per site.
        tell: Called with a line when rendering begins, as that takes a while.

    Raises:
        ValueError: What the cache holds is not what the site now shows.
    """
    stem = cache / site.name / part.value
    reel = Reel(site.settings(part))
    begin_s = site.begin_s(part)
    found = tuple(
        Label(one.start_s, one.end_s, one.kind, one.modalities, one.description)
        for one in labels(reel.settings, from_s=begin_s, to_s=begin_s + site.part_s)
    )
    if not stem.with_suffix(".json").exists():
        tell(f"rendering {site.part_s / 60:g} minutes: {stem}")
        stem.parent.mkdir(parents=True, exist_ok=True)
        _render(reel, begin_s, site.part_s, stem)
        about = {"labels": [_short(one) for one in found], "infos": [*map(_told, reel.infos())]}
        stem.with_suffix(".json").write_text(json.dumps(about), "utf-8")
    made = Recorded(
        begin_s,
        reel.infos(),
        found,
        np.load(f"{stem}.v.npy", mmap_mode="r"),
        np.load(f"{stem}.a.npy"),
        np.load(f"{stem}.s.npy"),
    )
    _check(made, reel, site.part_s, stem)
    return made


def _render(reel: Reel, begin_s: int, part_s: int, stem: Path) -> None:
    count = part_s * RATE_HZ
    shape = (count, *_picture(reel, begin_s * RATE_HZ).shape)
    pictures = np.lib.format.open_memmap(f"{stem}.v.npy", "w+", np.uint8, shape)
    sound = np.zeros((count, SOUND_HZ // RATE_HZ), np.int16)
    readings = np.zeros((count, *reel.infos()[-1].shape))
    for row in range(count):
        number = begin_s * RATE_HZ + row
        pictures[row], sound[row], readings[row] = moment(reel, number)
    pictures.flush()
    np.save(f"{stem}.a.npy", sound)
    np.save(f"{stem}.s.npy", readings)


def moment(
    reel: Reel, number: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int16], npt.NDArray[np.float64]]:
    """Picture, a tenth of a second of sound, reading."""
    samples = SOUND_HZ // RATE_HZ
    heard = reel.sound(number * samples, samples)[:, 0]
    return _picture(reel, number), heard, reel.reading(number)


def _picture(reel: Reel, number: int) -> npt.NDArray[np.uint8]:
    frame = Sample("", number, 0, reel.frame(number), _RAW)
    return np.asarray(prepare_picture(frame, DetectorSettings().picture_cells).data, np.uint8)


def _check(made: Recorded, reel: Reel, part_s: int, stem: Path) -> None:
    """A site that was changed since must not be judged by what it was."""
    count = part_s * RATE_HZ
    kept = json.loads(stem.with_suffix(".json").read_text("utf-8"))["labels"]
    times = [(one["kind"], one["start"], one["end"]) for one in kept]
    same = times == [(one.kind, one.start_s, one.end_s) for one in made.labels]
    same &= len(made.pictures) == len(made.sound) == len(made.readings) == count
    for row in (0, count // 2, count - 1) if same else ():
        picture, sound, reading = moment(reel, made.begin_s * RATE_HZ + row)
        same &= np.array_equal(made.pictures[row], picture)
        same &= np.array_equal(made.sound[row], sound)
        same &= np.array_equal(made.readings[row], reading)
    if not same:
        raise ValueError(f"{stem}.* is not what the site shows now: delete it, or choose --cache")


def _short(label: Label) -> dict[str, Any]:
    said = asdict(label)
    return {"kind": label.kind, "start": label.start_s, "end": label.end_s} | {
        name: said[name] for name in ("modalities", "description")
    }


def _told(info: StreamInfo) -> list[Any]:
    return [
        info.name,
        info.modality.value,
        info.rate_hz,
        list(info.shape),
        list(info.channels),
        list(info.units),
    ]
