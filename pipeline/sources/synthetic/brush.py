"""Drawing on a frame: anti-aliased, with sub-pixel coordinates, in display colours.

Colours come as linear light; `display` turns them into what the frame holds: the square root,
the same tone curve as the backdrop's.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.sources.synthetic.chance import Floats

Frame: TypeAlias = npt.NDArray[np.uint8]
Shade: TypeAlias = tuple[float, float, float]

_BITS = 4
_ONE = 1 << _BITS
_FAR = 30000.0


def display(linear: Floats) -> Shade:
    """Display colour, 0 to 255, of linear light ``(3,)``."""
    blue, green, red = linear.tolist()
    return _tone(blue), _tone(green), _tone(red)


def beside(point: Floats, across: float, down: float) -> Floats:
    """The pixel so far to the right of and below another."""
    return np.array([point[0] + across, point[1] + down])


def polygon(frame: Frame, points: Floats, shade: Shade) -> None:
    """Fill a convex polygon of pixels ``(N, 2)``."""
    fixed = np.round(np.clip(points, -_FAR, _FAR) * _ONE).astype(np.int32)
    cv2.fillConvexPoly(frame, fixed, shade, lineType=cv2.LINE_AA, shift=_BITS)


def stroke(frame: Frame, a: Floats, b: Floats, shade: Shade, thickness_px: float) -> None:
    """Draw a round-ended line between two pixels."""
    start, end = _fixed(a), _fixed(b)
    wide = max(round(thickness_px), 1)
    cv2.line(frame, start, end, shade, wide, lineType=cv2.LINE_AA, shift=_BITS)


def outline(frame: Frame, points: Floats, shade: Shade, thickness_px: float) -> None:
    """Draw a closed line through pixels ``(N, 2)``."""
    fixed = np.round(np.clip(points, -_FAR, _FAR) * _ONE).astype(np.int32)
    wide = max(round(thickness_px), 1)
    cv2.polylines(frame, [fixed], True, shade, wide, lineType=cv2.LINE_AA, shift=_BITS)


def disc(frame: Frame, centre: Floats, radius_px: float, shade: Shade) -> None:
    """Fill a circle."""
    radius = max(round(radius_px * _ONE), 1)
    cv2.circle(frame, _fixed(centre), radius, shade, -1, lineType=cv2.LINE_AA, shift=_BITS)


def ellipse(frame: Frame, centre: Floats, axes_px: tuple[float, float], shade: Shade) -> None:
    """Fill an upright ellipse with half axes across and down."""
    axes = (max(round(axes_px[0] * _ONE), 1), max(round(axes_px[1] * _ONE), 1))
    cv2.ellipse(
        frame, _fixed(centre), axes, 0, 0, 360, shade, -1, lineType=cv2.LINE_AA, shift=_BITS
    )


def _tone(linear: float) -> float:
    return math.sqrt(min(max(linear, 0.0), 1.0)) * 255.0


def _fixed(point: Floats) -> tuple[int, int]:
    x, y = point.tolist()
    return round(min(max(x, -_FAR), _FAR) * _ONE), round(min(max(y, -_FAR), _FAR) * _ONE)


class Blob:
    """A soft round spot, for shadows, glows and puffs."""

    def __init__(self) -> None:
        axis = np.linspace(-1.0, 1.0, 64)
        square = axis[None, :] ** 2 + axis[:, None] ** 2
        self._mask = np.clip(np.exp(-3.2 * square) - np.exp(-3.2), 0.0, 1.0).astype(np.float32)

    def lay(
        self,
        frame: Frame,
        centre: Floats,
        half_px: tuple[float, float],
        shade: Shade,
        strength: float,
        slant: float = 0.0,
    ) -> None:
        """Blend `shade` into the frame.

        Args:
            frame: Written to.
            centre: Middle of the spot, pixels.
            half_px: Half its width and height.
            shade: Display colour it tends to.
            strength: Share of `shade` in the middle, 0 to 1.
            slant: Pixels across per pixel down, for shadows that lean.
        """
        wide, high = max(half_px[0], 1.0), max(half_px[1], 1.0)
        reach = wide + abs(slant) * high
        x0, y0 = max(int(centre[0] - reach), 0), max(int(centre[1] - high), 0)
        x1 = min(int(centre[0] + reach) + 2, frame.shape[1])
        y1 = min(int(centre[1] + high) + 2, frame.shape[0])
        if x1 <= x0 or y1 <= y0:
            return
        # Maps pixels of the part to the mask: u = 31.5 + 31.5 (dx - slant dy) / wide.
        dx, dy = x0 - centre[0], y0 - centre[1]
        a, b = 31.5 / wide, 31.5 / high
        matrix = np.array([[a, -a * slant, 31.5 + a * (dx - slant * dy)], [0, b, 31.5 + b * dy]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        mask = cv2.warpAffine(self._mask, matrix, (x1 - x0, y1 - y0), flags=flags)
        part = frame[y0:y1, x0:x1]
        share = np.asarray(mask, np.float32)[..., None] * np.float32(strength)
        part[:] = part + (np.asarray(shade, np.float32) - part) * share
