"""Views: a few of a window's pictures and how what they show moves, small enough to be kept."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import simplejpeg

from pipeline.models.recent import Recent
from pipeline.models.video_motion import moment_beside, pack_motion, unpack_motion

Picture = npt.NDArray[np.uint8]

VIEWS = 4
"""Pictures of a window in which things are looked for."""

_QUALITY = 95
_LENGTH = struct.Struct("<I")


def pack_views(
    frames: Sequence[Picture],
    rate_hz: float,
    recent: Recent[bytes],
    steps: Sequence[int] | None = None,
) -> tuple[bytes, ...]:
    """A few of a window's pictures and how what they show moves, small enough to be kept.

    Args:
        frames: The window's pictures, ``(H, W, 3)``.
        rate_hz: Steps of the window's grid a second.
        recent: The views of the windows before.
        steps: Where on the grid each picture is, ascending; None: none is missing.
    """
    steps = steps or range(len(frames))
    chosen = [(2 * i + 1) * len(frames) // (2 * VIEWS) for i in range(VIEWS)]
    pairs = [(at, moment_beside(at, steps, rate_hz)) for at in chosen]

    def make(frame: Picture, other: Picture, before: int) -> bytes:
        return _packed(frame, other, -before / rate_hz)

    # Small numbers that are not negative are one object wherever they come, as `Recent` asks.
    things = [(frames[at], frames[to], steps[at] - steps[to]) for at, to in pairs]
    return tuple(recent.each(things, make))


def _packed(frame: Picture, other: Picture, apart_s: float) -> bytes:
    shown = np.ascontiguousarray(frame)
    picture = bytes(
        simplejpeg.encode_jpeg(shown, quality=_QUALITY, colorspace="BGR", colorsubsampling="444")
    )
    return _LENGTH.pack(len(picture)) + picture + pack_motion(frame, other, apart_s)


def unpack_view(view: bytes) -> Picture:
    """The picture that `pack_views` packed, ``(H, W, 3)``."""
    (length,) = _LENGTH.unpack_from(view)
    picture = view[_LENGTH.size : _LENGTH.size + length]
    return np.asarray(simplejpeg.decode_jpeg(picture, colorspace="BGR"), np.uint8)


def unpack_velocity(view: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """How what a view shows moves, see `pipeline.models.video_motion`.

    Args:
        view: The view.
        shape: Of its picture, ``(H, W)`` or more.
    """
    (length,) = _LENGTH.unpack_from(view)
    return unpack_motion(view[_LENGTH.size + length :], shape)
