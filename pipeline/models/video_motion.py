"""How what a picture shows moves: optical flow to a picture a moment away, kept small.

The flow is dense inverse search (Kroeger and others, 2016, *Fast optical flow using dense
inverse search*, section 2), which follows small things over several pixels at the cost of a
fraction of a millisecond. It is kept at half the picture's size, a byte a number, by the square
root: slow is kept finely, fast coarsely.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.models.picture import CELL_PX

ByteArray = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_APART_S = 0.2  # a slow walk is a pixel or two further on, a runner is still to be followed
_FINEST = 1  # scale at which the flow is looked for: half the picture's size
_HALF = 2
_LEAST_SIDE = 24  # pixels
_STEPS = 31.0  # of a root of cells a second; a byte reaches 16 cells a second


def moment_beside(at: int, steps: Sequence[int], rate_hz: float) -> int:
    """Which picture of a window to compare one with: one a moment before, or else after it.

    The nearest to that where that one is missing; the picture itself where there is none after it.

    Args:
        at: Number of the picture.
        steps: Where on the window's grid each picture is, ascending.
        rate_hz: Steps a second.
    """
    apart = max(1, round(_APART_S * rate_hz))
    begins = steps[at] - steps[0] < apart
    others = [to for to in range(at + 1 if begins else 0, len(steps)) if to != at]
    return min(others, key=lambda to: abs(abs(steps[to] - steps[at]) - apart), default=at)


def pack_motion(picture: ByteArray, other: ByteArray, apart_s: float) -> bytes:
    """Velocities of what a picture shows, packed.

    Args:
        picture: ``(H, W, 3)``.
        other: One a moment away.
        apart_s: How much later that was, seconds; negative: earlier. Zero: nothing moves.
    """
    if not apart_s:
        return b""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    search.setFinestScale(_FINEST)
    height, width = picture.shape[:2]
    grey = _grey(picture)
    start = np.zeros((*grey.shape, 2), np.float32)
    flow = np.asarray(search.calc(grey, _grey(other), start), np.float32)[:height, :width]  # pixels
    small = cv2.resize(flow, (width // _HALF, height // _HALF), interpolation=cv2.INTER_AREA)
    velocity = small / np.float32(apart_s * CELL_PX)
    steps = np.rint(np.sign(velocity) * np.sqrt(np.abs(velocity)) * _STEPS).clip(-127, 127)
    return zlib.compress(steps.astype(np.int8).tobytes(), 1)


def _grey(picture: ByteArray) -> ByteArray:
    """In grey; a strip so narrow that OpenCV would fail on it is made wider."""
    height, width = picture.shape[:2]
    least = max(_LEAST_SIDE, max(height, width) // 4)
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    below, beside = max(0, least - height), max(0, least - width)
    if below or beside:
        grey = cv2.copyMakeBorder(grey, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    return np.asarray(grey, np.uint8)


def unpack_motion(packed: bytes, shape: Sequence[int]) -> Floats:
    """Velocity of each pixel, cells a second to the right and down, ``(H, W, 2)``.

    Args:
        packed: From `pack_motion`.
        shape: Height and width of the picture.
    """
    height, width = shape[:2]
    if not packed:
        return np.zeros((height, width, 2), np.float32)
    steps = np.frombuffer(zlib.decompress(packed), np.int8).astype(np.float32) / _STEPS
    velocity = (steps * np.abs(steps)).reshape(height // _HALF, width // _HALF, 2)
    return np.asarray(cv2.resize(velocity, (width, height)), np.float32)
