"""Pictures made coarse where people may be: a mosaic over what moves, over faces, over everything.

The mosaic is one grid over the whole picture. A cell that anything to be hidden touches is replaced
by its mean colour, so what was finer than a cell is not in the picture any more. (A weak blur by a
filter would only hide it: filters can be undone, and what is left of a face is enough for a
network; McPherson, Shokri and Shmatikov, arXiv 1609.00408, show it for small mosaics too, hence
large cells.)

What moves is found against a learnt background. Until that is learnt, everything is covered. A cell
stays covered for a while after its last motion. Whatever stays where it is becomes background in
`ABSORBED_S`: who stands still for longer is seen, and a change of light covers much until then.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.errors import DependencyMissing
from pipeline.sources.masks import Pixels
from pipeline.sources.privacy_settings import BlurSettings

Cells: TypeAlias = npt.NDArray[np.bool_]

LEARNING = 50
"""Pictures from which the background is learnt first; all of each is covered."""

ABSORBED_S = 300.0
"""Time in which what stays becomes background, seconds."""

BACKGROUND = 0.9  # a mixture's heaviest parts that make up this weight are the background
VARIANCE = 16.0
ACROSS, FACES_ACROSS = 320, 640
"""Widths at which means are made and motion is looked for, and faces, pixels."""

SURE_ENOUGH = 0.6
WIDER = 0.3


class Finder(Protocol):
    """Finds what is to be hidden."""

    def find(self, picture: Pixels, time_ns: int) -> npt.NDArray[np.bool_]:
        """True where something is to be hidden, in any size of the picture's shape."""
        ...


class Mosaic:
    """The mosaic of one stream; used by one thread.

    Args:
        settings: What to hide, and how coarsely.

    Raises:
        DependencyMissing: The face detector cannot be used.
    """

    def __init__(self, settings: BlurSettings) -> None:
        self._settings = settings
        self._finder = _finder(settings)
        self._until_ns: npt.NDArray[np.int64] | None = None

    def apply(self, picture: Pixels, time_ns: int) -> Pixels:
        """A copy of a picture ``(H, W, 3)`` with cells of one colour where something is hidden."""
        height, width = picture.shape[:2]
        rows = min(self._settings.cells, height)
        columns = max(1, min(width, round(rows * width / height)))
        coarse = cv2.resize(_small(picture, ACROSS), (columns, rows), interpolation=cv2.INTER_AREA)
        mosaic = np.asarray(
            cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8
        )
        if self._finder is None:
            return mosaic
        hidden = self._held(_cells(self._finder.find(picture, time_ns), rows, columns), time_ns)
        cover = cv2.resize(
            hidden.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
        )
        covered = picture.copy()
        cv2.copyTo(mosaic, cover, covered)
        return covered

    def _held(self, found: Cells, time_ns: int) -> Cells:
        """What was found now or lately: ``(rows, columns)``."""
        if self._until_ns is None or self._until_ns.shape != found.shape:
            self._until_ns = np.full(found.shape, np.iinfo(np.int64).min)
        self._until_ns[found] = time_ns + round(self._settings.hold_s * 1e9)
        lately: Cells = (self._until_ns >= time_ns) | found
        return lately


def _cells(found: npt.NDArray[np.bool_], rows: int, columns: int) -> Cells:
    """Cells that anything found touches, and their neighbours: ``(rows, columns)``."""
    seen = np.zeros((rows, columns), np.uint8)
    down, across = np.nonzero(found)
    seen[down * rows // found.shape[0], across * columns // found.shape[1]] = 1
    return np.asarray(cv2.dilate(seen, np.ones((3, 3), np.uint8)) > 0)


def _finder(settings: BlurSettings) -> Finder | None:
    if settings.model is not None:
        return Faces(settings.model)
    return Motion() if settings.what == "moving" else None


class Motion:
    """Finds what is not the background, which follows slowly (a Gaussian mixture per pixel).

    Source: Zivkovic, ICPR 2004, as OpenCV has it.
    """

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None
        self._last_ns = 0

    def find(self, picture: Pixels, time_ns: int) -> npt.NDArray[np.bool_]:
        """See `Finder`; everything until the background is learnt."""
        small = _small(picture, ACROSS)
        if small.shape[:2] != self._size:
            self._size = (small.shape[0], small.shape[1])
            self._seen = 0
            self._background = cv2.createBackgroundSubtractorMOG2(1, VARIANCE, False)
            self._background.setBackgroundRatio(BACKGROUND)
        self._seen += 1
        front = self._background.apply(small, learningRate=self._rate(time_ns))
        if self._seen <= LEARNING:
            return np.ones(self._size, np.bool_)
        return np.asarray(cv2.morphologyEx(front, cv2.MORPH_OPEN, np.ones((2, 2))) > 0)

    def _rate(self, time_ns: int) -> float:
        """Weight of this picture: a new part outweighs the rest in `ABSORBED_S` of pictures."""
        since_s = min(max((time_ns - self._last_ns) / 1e9, 0.0), 1.0)
        self._last_ns = time_ns
        if self._seen <= LEARNING:
            return 1 / self._seen
        return 1.0 - math.pow(BACKGROUND, since_s / ABSORBED_S)


class Faces:
    """Finds faces by a YuNet network; small, turned and covered ones are missed.

    Raises:
        DependencyMissing: The file is no network that OpenCV can use so.
    """

    def __init__(self, model: Path) -> None:
        try:
            self._network = cv2.FaceDetectorYN.create(str(model), "", (FACES_ACROSS, FACES_ACROSS))
        except cv2.error as error:
            raise DependencyMissing(
                f"the face detector cannot be used: {error.err or error}",
                where=str(model),
                fix="write the path of a YuNet ONNX file",
            ) from error
        self._network.setScoreThreshold(SURE_ENOUGH)

    def find(self, picture: Pixels, time_ns: int) -> npt.NDArray[np.bool_]:
        """See `Finder`."""
        del time_ns
        small = _small(picture, FACES_ACROSS)
        found = np.zeros(small.shape[:2], np.bool_)
        self._network.setInputSize((small.shape[1], small.shape[0]))
        _, faces = self._network.detect(small)
        for x, y, width, height in () if faces is None else faces[:, :4]:
            more_x, more_y = width * WIDER, height * WIDER
            top, left = max(0, int(y - more_y)), max(0, int(x - more_x))
            found[top : int(y + height + more_y) + 1, left : int(x + width + more_x) + 1] = True
        return found


def _small(picture: Pixels, across: int) -> Pixels:
    """The picture so wide at most, by the mean of what falls together."""
    height, width = picture.shape[:2]
    if width <= across:
        return picture
    down = max(1, round(height * across / width))
    return np.asarray(cv2.resize(picture, (across, down), interpolation=cv2.INTER_AREA))
