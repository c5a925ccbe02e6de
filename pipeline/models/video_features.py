"""What a picture shows, cell by cell: appearance and motion.

Appearance is compared in logarithms with the picture's median taken out, so that a change
of light or of the camera's gain changes little. Motion is the root mean square difference of
consecutive frames in a cell, again after the median change of all cells was taken out. Where
frames are missing, two that are further apart stand in the mean for each step between them: what
moves sweeps as much of a cell in each of these, and noise, which all cells have, is there once.
The largest is left as it is: a thing that crosses a cell changes it about as much in one step.

What takes time is made of each frame and of each two in a row, once for all windows that have
them, see `pipeline.models.recent`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.errors import BadReading, ModelError
from pipeline.core.sample import Encoding, Sample, StreamInfo
from pipeline.core.window import Slice, VideoSlice
from pipeline.models.features import NO_ITEMS, StreamFeatures
from pipeline.models.picture import CELL_PX, grid_shape, prepare_picture
from pipeline.models.recent import Recent
from pipeline.models.views import pack_views

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

LEVEL_FLOOR = 8.0  # grey levels; keeps the noise of dark cells from being blown up
_USUAL_RATE_HZ = 10.0  # of a camera that does not say
MOTION_FLOOR = 0.5  # grey levels; about the rounding noise of a decoded picture


@dataclass(frozen=True, slots=True)
class _Frame:
    """One frame in grey.

    Attributes:
        grey: Its pixels, ``(H, W)``.
        level: Mean of each cell, the median of all taken out, ``(rows, cols)``.
    """

    grey: Floats
    level: Floats


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of a window that can be looked at.

    Attributes:
        frames: Each ``(H, W, 3)``, in the order of time.
        steps: Where on the window's regular grid each is: 0, 1, 2, ... where none is missing.
    """

    frames: Sequence[Bytes]
    steps: Sequence[int]

    def apart(self) -> Floats:
        """Steps from each to the next one, ``(T - 1,)``."""
        return np.diff(self.steps).astype(np.float32)


class VideoFeatures:
    """Extractor of a video stream. ``P`` is rows times columns of cells, ``d`` is 7."""

    columns: tuple[str, ...] = (
        "brightness",
        "colour",
        "colour",
        "texture",
        "flicker",
        "motion",
        "motion",
    )
    tolerances: tuple[float, ...] = (
        0.05,
        0.03,
        0.03,
        0.1,
        0.1,
        0.1,
        0.1,
    )  # of logarithms: about per cent
    relative_columns: tuple[int, ...] = ()
    log_columns: tuple[int, ...] = ()
    common_columns: tuple[int, ...] = (0, 1, 2, 3)
    item_dims = 0
    level_column: int | None = None
    places_order: float | None = None
    item_neighbours: int | None = None

    def __init__(self, info: StreamInfo, cells: int, min_coverage: float) -> None:
        if len(info.shape) != 3:
            raise ModelError(
                f"a video stream needs its picture size, got shape {info.shape}", where=info.name
            )
        self.rows, self.cols = grid_shape(info.shape[0], info.shape[1], cells)
        self.labels = tuple(
            _place(r, c, self.rows, self.cols) for r in range(self.rows) for c in range(self.cols)
        )
        self._cells = cells
        self._rate_hz = info.rate_hz or _USUAL_RATE_HZ
        self._min_coverage = min_coverage
        self._pictures: Recent[Bytes | None] = Recent()
        self._greys: Recent[_Frame] = Recent()
        self._changes: Recent[Floats] = Recent()
        self._packed: Recent[bytes] = Recent()

    def extract(self, part: Slice) -> StreamFeatures | None:
        """Features ``(rows * cols, 7)`` and views; None with fewer than two usable frames."""
        pictures = self.usable(part)
        if pictures is None:
            return None
        total = np.zeros(pictures.frames[0].shape, np.float32)
        for frame in pictures.frames:
            cv2.accumulate(frame, total)
        picture = total / np.float32(len(pictures.frames))
        columns = [*self._appearance(picture), *self._motion(pictures)]
        return self.made(np.stack(columns, axis=-1).reshape(-1, len(self.columns)), pictures)

    def usable(self, part: Slice) -> Pictures | None:
        """Pictures that can be looked at; None with fewer than two."""
        if not isinstance(part, VideoSlice) or part.coverage < self._min_coverage:
            return None
        pictures = self._frames(part)
        least = max(2, self._min_coverage * len(part.frames))
        return pictures if len(pictures.frames) >= least else None

    def made(self, places: Floats, pictures: Pictures) -> StreamFeatures:
        """Features ``(rows * cols, 7)`` of pictures, with a few of them as views."""
        seen = np.ones(len(places), np.bool_)
        views = pack_views(pictures.frames, self._rate_hz, self._packed, pictures.steps)
        return StreamFeatures(places, seen, NO_ITEMS, views)

    def _frames(self, part: VideoSlice) -> Pictures:
        shape = (self.rows * CELL_PX, self.cols * CELL_PX, 3)
        there = [(step, f) for step, f in enumerate(part.frames) if f is not None]
        made = self._pictures.each(((f,) for _, f in there), self._picture)
        found = [
            (step, picture)
            for (step, _), picture in zip(there, made, strict=True)
            if picture is not None and picture.shape == shape
        ]
        return Pictures([picture for _, picture in found], [step for step, _ in found])

    def _picture(self, frame: Sample) -> Bytes | None:
        try:
            small = prepare_picture(frame, self._cells)
        except BadReading:
            return None  # counts as a frame that is not there; the engine counted it already
        if small.encoding is not Encoding.RAW:
            return None
        return cast("Bytes", small.data)

    def _pool(self, pictures: Floats) -> Floats:
        """Mean per cell: ``(N, H, W)`` to ``(N, rows, cols)``."""
        # One tall picture: rows of cells never cross from one picture to the next.
        tall = pictures.reshape(-1, pictures.shape[-1])
        size = (self.cols, len(pictures) * self.rows)
        pooled = cv2.resize(tall, size, interpolation=cv2.INTER_AREA)
        return cast("Floats", pooled.reshape(len(pictures), self.rows, self.cols))

    def _appearance(self, picture: Floats) -> list[Floats]:
        grey = picture @ np.array([0.114, 0.587, 0.299], np.float32)
        channels = np.ascontiguousarray(np.moveaxis(picture, -1, 0))
        blue, green, red = np.log(self._pool(channels) + LEVEL_FLOOR)
        mean, square = self._pool(np.stack([grey, grey**2]))
        texture = np.log(np.sqrt(np.maximum(square - mean**2, 0.0)) + 1.0)
        relative = [np.log(mean + LEVEL_FLOOR), blue - green, red - green]
        return [*(x - np.median(x) for x in relative), texture]

    def _motion(self, pictures: Pictures) -> list[Floats]:
        greys = self._greys.at_once(zip(pictures.frames, strict=True), self._grey)
        square = np.stack(self._changes.at_once(pairwise(greys), self._change))
        steps = pictures.apart()[:, None, None]  # (T - 1, 1, 1)
        most = np.sqrt(square.max(axis=0))
        if (steps > 1).any():
            moved = np.maximum(square - _median_of_cells(square), 0.0)
            square -= moved * (1 - 1 / steps)
        energy = np.sqrt(square)  # (T - 1, rows, cols), of each step
        mean = (energy * steps).mean(axis=0) * (len(steps) / steps.sum())
        level = np.stack([one.level for one in greys])  # (T, rows, cols)
        return [
            np.log(level.std(axis=0) + MOTION_FLOOR),
            np.log(mean + MOTION_FLOOR),
            np.log(most + MOTION_FLOOR),
        ]

    def _grey(self, frames: Sequence[Bytes]) -> Iterator[_Frame]:
        grey = np.stack([cv2.cvtColor(f, cv2.COLOR_BGR2GRAY) for f in frames]).astype(np.float32)
        level = self._pool(grey)
        level -= _median_of_cells(level)
        return map(_Frame, grey, level)

    def _change(self, before: Sequence[_Frame], after: Sequence[_Frame]) -> Floats:
        """Mean square change of each cell, ``(N, rows, cols)``."""
        pairs = zip(before, after, strict=True)
        change = np.stack([b.grey - a.grey for a, b in pairs])  # (N, H, W)
        shift = self._pool(change)  # (N, rows, cols)
        light = _median_of_cells(shift)
        # Mean square about the light's change, without touching every pixel again.
        square = self._pool(change * change) - 2 * light * shift + light**2
        return cast("Floats", np.maximum(square, 0.0))


def _median_of_cells(cells: Floats) -> Floats:
    """Median over the cells of each picture, ``(N, rows, cols)`` to ``(N, 1, 1)``."""
    return np.median(cells, axis=(1, 2), keepdims=True)


def _place(row: int, column: int, rows: int, columns: int) -> str:
    down = ("upper", "", "lower")[min(3 * row // rows, 2)]
    across = ("left", "", "right")[min(3 * column // columns, 2)]
    return " ".join(part for part in (down, across) if part) or "middle"
