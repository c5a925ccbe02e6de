"""Zones of a picture that nobody is to see: polygons, blackened before a picture goes on.

Points are shares of the picture's width and height, from the upper left corner, so a zone lies
where it lay when a camera changes its size. Every pixel that a zone touches is black, and one
pixel more around it. What is black is drawn once per size and then costs one pass over the
picture, which also makes the copy: the source's own buffer is never written to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.sources.privacy_settings import Point

Pixels: TypeAlias = npt.NDArray[np.uint8]

SIZES_KEPT = 4
SUBPIXEL_BITS = 4


class Masks:
    """The zones of one stream, ready for pictures of any size; used by one thread.

    Args:
        zones: Polygons by name, see `pipeline.sources.privacy_settings`.
    """

    def __init__(self, zones: Mapping[str, list[Point]]) -> None:
        self._zones = zones
        self._keep: dict[tuple[int, int], Pixels] = {}

    def apply(self, picture: Pixels) -> Pixels:
        """A copy of a picture ``(H, W, 3)`` in which the zones are black."""
        height, width = picture.shape[:2]
        keep = self._keep.get((height, width))
        if keep is None:
            if len(self._keep) >= SIZES_KEPT:
                self._keep.pop(next(iter(self._keep)))
            shown = ~self.covered(height, width)
            keep = self._keep[height, width] = np.repeat(shown[:, :, None], 3, axis=2)
        return np.asarray(cv2.bitwise_and(picture, keep), np.uint8)

    def covered(self, height: int, width: int) -> Pixels:
        """255 where a picture of this size is black, 0 elsewhere: ``(height, width)``."""
        covered = np.zeros((height, width), np.uint8)
        for zone in self._zones.values():
            corners = in_pixels(zone, height, width)
            cv2.fillPoly(covered, [corners], 255, shift=SUBPIXEL_BITS)
        return np.asarray(cv2.dilate(covered, np.ones((3, 3), np.uint8)), np.uint8)


def in_pixels(zone: list[Point], height: int, width: int) -> npt.NDArray[np.int32]:
    """Corners ``(N, 2)`` in pixels with `SUBPIXEL_BITS` fractional bits, as OpenCV draws them.

    A pixel's centre is at its whole number, so the picture's left edge lies at -0.5.
    """
    scaled = np.asarray(zone) * (width, height) - 0.5
    rounded: npt.NDArray[np.int32] = np.rint(scaled * (1 << SUBPIXEL_BITS)).astype(np.int32)
    return rounded
