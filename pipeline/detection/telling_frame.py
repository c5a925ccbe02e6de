"""Which frame of a window shows what a box is drawn around.

A box says where something is unusual in a window of seconds. What moves is there for a part of
them only, so the box around it in any other frame holds an empty floor.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.errors import BadReading
from pipeline.core.explanation import Box
from pipeline.core.sample import Sample
from pipeline.detection.evidence_encoding import pixels_of

_SIDE = 32
_CLEARLY = 1.25
"""How much more unlike a frame must be to be shown in place of the latest."""


def telling(frames: Sequence[Sample], box: Box) -> Sample | None:
    """The frame that is most unlike the others within a box.

    Args:
        frames: Of one camera, in order of time.
        box: Around what is unusual in them.

    Returns:
        The latest where no other is clearly more unlike; None: there is none that can be read.
    """
    read = [(frame, part) for frame in frames if (part := _within(frame, box)) is not None]
    if not read:
        return None
    parts = np.stack([part for _, part in read])  # (T, side, side)
    unlike = np.abs(parts - np.median(parts, axis=0)).mean(axis=(1, 2))
    most = int(unlike.argmax())
    return read[most if unlike[most] > _CLEARLY * unlike[-1] else -1][0]


def _within(frame: Sample, box: Box) -> npt.NDArray[np.float32] | None:
    try:
        pixels = pixels_of(frame)
    except BadReading:
        return None
    height, width = pixels.shape[:2]
    rows, columns = _span(box.top, box.bottom, height), _span(box.left, box.right, width)
    small = cv2.resize(pixels[rows, columns], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small.reshape(_SIDE, _SIDE, -1).mean(axis=2), np.float32)


def _span(first: float, last: float, length: int) -> slice:
    """At least one of `length` places, from share to share."""
    start = min(int(first * length), length - 1)
    return slice(start, max(start + 1, round(last * length)))
