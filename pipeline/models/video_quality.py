"""How well a camera sees: dark, covered, blurred, frozen.

All by the small pictures that the detector looks at, so only what spoils those is told.
"""

from __future__ import annotations

import itertools
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.sample import Encoding
from pipeline.core.window import Slice, VideoSlice
from pipeline.models.quality import Array, Quality, worst_of

Picture = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.float32]

# Each comes before those that it brings with it: a blurred picture has less noise to move.
_REASONS = ("dark", "covered", "blurred", "frozen")
_STILL = 0.02  # grey levels; far below the noise of any sensor, so that none is a number
_EVERY = 3  # pairs of frames; an odd step, since a camera may send every frame twice
_MOVING_SHARE = 75  # per cent; a frame sent twice and a key frame's jump say nothing


class VideoInspector:
    """Measures of a video stream, ``K`` is 4; all are logarithms of grey levels.

    *Dark*: the bright end of the picture, its mean and two standard deviations. A lamp in the
    night is enough to see by. *Covered*: its contrast. *Blurred*: the spread of its Laplacian
    (the focus measure of Pech-Pacheco and others, 2000, *Diatom autofocusing in brightfield
    microscopy*, section 2) relative to the contrast, so that a change of light is none of
    focus. *Frozen*: the change from frame to frame, which noise keeps up in a live picture.
    """

    margins: Array = np.log([2.0, 2.0, 1.4, 2.0])
    spans: Array = np.log([4.0, 3.0, 2.0, 3.0])

    def measure(self, part: Slice) -> Array:
        """Measures of a window, ``(4,)``; NaN with fewer than two pictures."""
        pictures = _pictures(part)
        if len(pictures) < 2:
            return np.full(len(_REASONS), np.nan)
        grey = _average(pictures)  # (H, W)
        mean, spread = (float(x[0, 0]) for x in cv2.meanStdDev(grey))
        edges = float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))[1][0, 0])
        pairs = list(itertools.pairwise(pictures))[::_EVERY]
        changes = [cv2.norm(a, b, cv2.NORM_L1) for a, b in pairs]
        change = sorted(changes)[len(changes) * _MOVING_SHARE // 100] / pictures[0].size
        seen = [mean + 2 * spread + 1.0, spread + 1.0, _sharp(edges, spread), change + _STILL]
        return -np.log(seen)

    def judge(self, clear: Array) -> Quality:
        """As good as the worst measure."""
        return worst_of(clear, _REASONS)


def average_picture(part: Slice) -> Grey | None:
    """What a window shows for as long as it lasts, grey ``(H, W)``; None without two pictures."""
    pictures = _pictures(part)
    return _average(pictures) if len(pictures) > 1 else None


def _sharp(edges: float, spread: float) -> float:
    return (edges + 0.5) / (spread + 1.0)


def _pictures(part: Slice) -> list[Picture]:
    if not isinstance(part, VideoSlice):
        return []
    found = [f.data for f in part.frames if f is not None and f.encoding is Encoding.RAW]
    pictures = [p for p in found if isinstance(p, np.ndarray) and p.ndim == 3]
    return [cast("Picture", p) for p in pictures if p.shape == pictures[0].shape]


def _average(pictures: list[Picture]) -> Grey:
    """Grey mean of the first, the middle and the last picture: less noise, at little cost."""
    few = (pictures[0], pictures[len(pictures) // 2], pictures[-1])
    total = np.zeros(pictures[0].shape[:2], np.float32)
    for picture in few:
        cv2.accumulate(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), total)
    return total / np.float32(len(few))
