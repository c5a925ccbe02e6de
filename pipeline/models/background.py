"""What a place looks like when nothing is there: a few colours per pixel, and what is not one.

A pixel may have several usual colours: a door open and shut, a wheel and what is behind it, a
floor in the sun and in the shade. They are learnt one picture at a time, as an adaptive
mixture is (Stauffer and Grimson, 1999, *Adaptive background mixture models for real-time
tracking*, section 2), without its variances; colours that are rare are forgotten, since people
pass, or stay for a while. The colours do not move with what is scored: what is left standing
remains something that was not there, and what makes it background after minutes is beside them
and bounded (`pipeline.models.standing`). Only where a great part of the picture differs at once
is that taken for a light that was never seen, in which things cannot be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ModelError
from pipeline.models.recent import Recent
from pipeline.models.views import unpack_view

ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

DIFFERENT = 14
"""Grey levels over what is usual from which on a pixel is not background."""

_COLOURS = 5
_SAME = 18.0  # grey levels; colours nearer than this are one

_RARE = 0.05
"""Share of the pictures; a colour seen less is nobody's background.

At 0.02 the clothes of those who worked at a machine were background there, and whoever came next
was cut into scraps unlike anything seen before: eleven false alarms in half an hour at one site."""

_OFTEN = 0.9  # difference that a pixel stays under in this share of the pictures is usual
_USUAL_MOST = 30.0  # grey levels; a place where something always moves stays watched
_NEW_LIGHT = 0.25  # share of the pixels
_FULLER = 1.5  # times the fullest normal picture
_DARK = 8.0  # grey levels; added before ratios of light
_EVERY = 4  # pixel that the light is estimated from, each way


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """How a picture differs from the background.

    Attributes:
        level: The picture as `Background.level` gives it, uint8 ``(H, W, 3)``.
        differs: Pixels that are not background, ``(H, W)``.
        covered: Whether so many are not that its light is new.
    """

    level: ByteArray
    differs: npt.NDArray[np.bool_]
    covered: bool


@dataclass(frozen=True, slots=True)
class Background:
    """Usual colours of each pixel, in the light of the median picture.

    Attributes:
        colours: uint8 ``(K, H, W, 3)``; places with fewer than K repeat one.
        middle: Median picture, uint8 ``(H, W, 3)``.
        usual: Difference that is nothing new at a pixel, grey levels, uint8 ``(H, W)``.
        fullest: Share of the pixels that differ in the fullest of the pictures, ``()``.
        recent: How the latest view differs: who looks for things asks it, and who looks for
            what stands.
    """

    colours: ByteArray
    middle: ByteArray
    usual: ByteArray
    fullest: FloatArray
    recent: Recent[Difference] = field(
        default_factory=Recent, init=False, repr=False, compare=False
    )

    def against(self, view: bytes) -> Difference:
        """How the picture of a view differs; not to be written to."""
        return self.recent.each([(view,)], self._against)[0]

    def _against(self, view: bytes) -> Difference:
        level = self.level(unpack_view(view))
        differs = self.difference(level) > DIFFERENT
        return Difference(level, differs, self.covered(differs))

    def level(self, picture: ByteArray) -> ByteArray:
        """A picture smoothed a little, in the light of the background, ``(H, W, 3)``."""
        return _level(picture, self.middle)

    def difference(self, level: ByteArray) -> ByteArray:
        """How far each pixel is from all its usual colours, grey levels ``(H, W)``.

        Args:
            level: As `Background.level` gives it.
        """
        return cast("ByteArray", cv2.subtract(_nearest(self.colours, level), self.usual))

    def covered(self, differs: npt.NDArray[np.bool_]) -> bool:
        """Whether so much of a picture differs that its light is new, rather than a thing in it.

        Args:
            differs: Pixels that differ, ``(H, W)``.
        """
        return float(differs.mean()) > max(_NEW_LIGHT, _FULLER * float(self.fullest))


def fit_background(pictures: Sequence[ByteArray]) -> Background:
    """Learn the usual colours from pictures ``(H, W, 3)`` in the order of time.

    Raises:
        ModelError: There is no picture.
    """
    if not pictures:
        raise ModelError("no picture to learn a background from", where="background")
    middle = np.median(np.stack(pictures), axis=0).astype(np.uint8)
    levels = [_level(picture, middle) for picture in pictures]
    colours = _colours(levels, middle)
    away = np.stack([_nearest(colours, level) for level in levels])
    usual = np.minimum(np.quantile(away, _OFTEN, axis=0), _USUAL_MOST).astype(np.uint8)
    full = (cv2.subtract(one, usual) > DIFFERENT for one in away)
    fullest = np.float32(max(float(np.mean(differs)) for differs in full))
    return Background(colours, middle, usual, np.array(fullest))


def _level(picture: ByteArray, middle: ByteArray) -> ByteArray:
    """Smoothed, and each channel divided by the median change of its light."""
    some = slice(1, None, _EVERY) if min(picture.shape[:2]) > _EVERY else slice(None)
    ratio = (picture[some, some] + _DARK) / (middle[some, some] + _DARK)
    gain = np.median(ratio.reshape(-1, 3), axis=0)  # (3,)
    steps = (np.arange(256)[:, None] + _DARK) / gain - _DARK
    table = steps.clip(0, 255).round().astype(np.uint8)[None]  # (1, 256, 3)
    return cast("ByteArray", cv2.LUT(cv2.GaussianBlur(picture, (3, 3), 0), table))


def _nearest(colours: ByteArray, level: ByteArray) -> ByteArray:
    """Largest difference of a channel from the nearest colour, ``(H, W)``."""
    best: ByteArray | None = None
    for colour in colours:
        blue, green, red = cv2.split(cv2.absdiff(colour, level))
        away = cast("ByteArray", cv2.max(cv2.max(blue, green), red))
        best = away if best is None else cast("ByteArray", cv2.min(best, away))
    return np.zeros(level.shape[:2], np.uint8) if best is None else best


def _colours(levels: Sequence[ByteArray], middle: ByteArray) -> ByteArray:
    """Usual colours ``(K, H, W, 3)``; the first of each pixel starts at the median."""
    count = np.zeros((_COLOURS, middle.size // 3), np.float32)
    mean = np.full((3, *count.shape), -1e3, np.float32)  # a plane per channel and colour
    mean[:, 0] = middle.reshape(-1, 3).T
    for level in levels:
        _take_in(mean, count, level.reshape(-1, 3).T.astype(np.float32, order="C"))
    common = np.take_along_axis(mean, count.argmax(axis=0)[None, None], axis=1)  # (3, 1, pixels)
    kept = np.where(count < _RARE * len(levels), common, mean)
    colours = np.moveaxis(kept, 0, -1).reshape(_COLOURS, *middle.shape)
    return np.asarray(colours.clip(0, 255).round(), np.uint8, order="C")


def _take_in(mean: FloatArray, count: FloatArray, seen: FloatArray) -> None:
    """Move the nearest colour of each pixel to what is seen, or begin one instead of the rarest.

    Args:
        mean: ``(3, K, pixels)``; changed.
        count: Pictures of each colour, ``(K, pixels)``; changed.
        seen: ``(3, pixels)``.
    """
    pixels = seen.shape[1]
    away = np.abs(mean - seen[:, None]).max(axis=0)  # (K, pixels)
    nearest, least = np.zeros(pixels, np.intp), away[0]
    for number, one in enumerate(away[1:], start=1):
        nearest[one < least] = number
        least = np.minimum(least, one)
    new = np.flatnonzero(least >= _SAME)
    nearest[new] = count[:, new].argmin(axis=0)
    at = nearest * pixels + np.arange(pixels)  # in a plane of colours
    counts, means = count.reshape(-1), mean.reshape(3, -1)
    counts[at] += 1
    counts[at[new]] = 1
    before = means[:, at]
    before[:, new] = seen[:, new]
    means[:, at] = before + (seen - before) / counts[at]
