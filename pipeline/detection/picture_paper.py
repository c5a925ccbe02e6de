"""Paper to draw on: a white picture with text, lines and an axis of time; PNG in the end.

Drawn by OpenCV, which the fusion node has anyway; its letters are ASCII.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]
Pixels = npt.NDArray[np.uint8]

INK: Colour = (60, 50, 45)  # blue, green, red
FAINT: Colour = (215, 210, 205)
SEEN: Colour = (40, 40, 220)
EXPECTED: Colour = (205, 235, 205)
SECOND_NS = 1_000_000_000
_FONT, _SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.45
_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Frame:
    """A part of the paper that a span of time is laid out on, pixels.

    Attributes:
        left: First column.
        top: First row.
        width: Columns.
        height: Rows.
        from_ns: Time at its left.
        to_ns: Time at its right.
    """

    left: int
    top: int
    width: int
    height: int
    from_ns: int
    to_ns: int

    @property
    def bottom(self) -> int:
        """The row below its last."""
        return self.top + self.height

    def column(self, time_ns: int) -> int:
        """Where a time lies, within the frame."""
        share = (time_ns - self.from_ns) / max(self.to_ns - self.from_ns, 1)
        return self.left + round(min(max(share, 0.0), 1.0) * (self.width - 1))


def paper(width: int, height: int) -> Pixels:
    """A white picture ``(height, width, 3)``."""
    return np.full((height, width, 3), 255, np.uint8)


def write(sheet: Pixels, text: str, left: int, base: int, colour: Colour = INK) -> None:
    """Write one line; `base` is the row that its letters stand on."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(sheet, plain, (left, base), _FONT, _SIZE, colour, 1, cv2.LINE_AA)


def time_axis(sheet: Pixels, frame: Frame, zero_ns: int) -> None:
    """Ticks below a frame in seconds from the start of the event, and its outline."""
    span_s = (frame.to_ns - frame.from_ns) / SECOND_NS
    step = _step(span_s / 10)
    first = math.ceil((frame.from_ns - zero_ns) / SECOND_NS / step)
    last = math.floor((frame.to_ns - zero_ns) / SECOND_NS / step)
    for number in range(first, last + 1):
        column = frame.column(zero_ns + round(number * step * SECOND_NS))
        cv2.line(sheet, (column, frame.bottom), (column, frame.bottom + 4), INK)
        write(sheet, f"{number * step:g} s", column - 12, frame.bottom + 18)
    corner = (frame.left + frame.width - 1, frame.bottom - 1)
    cv2.rectangle(sheet, (frame.left, frame.top), corner, INK)


def png(sheet: Pixels) -> bytes:
    """The picture as PNG."""
    done, data = cv2.imencode(".png", sheet, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise ValueError("a picture could not be written as PNG")
    return bytes(data)


def _step(least: float) -> float:
    """1, 2 or 5 times a power of ten, at least so much."""
    power = 10.0 ** math.floor(math.log10(max(least, 1e-3)))
    return next((step * power for step in _STEPS if step * power >= least), 10 * power)
