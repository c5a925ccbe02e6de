"""Decoded pictures to what goes on: scaled down, thinned out, as JPEG or as BGR.

JPEG is made from the decoder's YUV planes, without the way over RGB. A medium that is MJPEG
already passes through untouched when nothing has to be scaled.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
import simplejpeg
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from pipeline.core.sample import Encoding, Payload


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """What pictures are to be.

    Attributes:
        width: Widest, pixels; None: as it comes. Pictures are never enlarged.
        height: Highest, pixels; None: as it comes. With one of both, the aspect stays.
        jpeg_quality: JPEG of this quality; None: raw BGR.
    """

    width: int | None
    height: int | None
    jpeg_quality: int | None

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that a picture of `width` by `height` becomes; even, for YUV."""
        across = min(self.width or width, width)
        down = min(self.height or height, height)
        if self.width and not self.height:
            down = height * across // width
        elif self.height and not self.width:
            across = width * down // height
        if (across, down) == (width, height):
            return width, height
        return max(across // 2 * 2, 2), max(down // 2 * 2, 2)

    def make(self, frame: av.VideoFrame) -> tuple[Payload, Encoding]:
        """The payload of a decoded picture."""
        width, height = self.size(frame.width, frame.height)
        if self.jpeg_quality is None:
            picture = frame.reformat(width, height, "bgr24", interpolation=Interpolation.AREA)
            return picture.to_ndarray(), Encoding.RAW
        picture = frame.reformat(
            width,
            height,
            "yuvj420p",
            dst_colorspace=Colorspace.ITU601,  # what JFIF prescribes
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.AREA,
        )
        luma, blue, red = (_plane(p) for p in picture.planes)
        jpeg = simplejpeg.encode_jpeg_yuv_planes(luma, blue, red, self.jpeg_quality)
        return jpeg, Encoding.JPEG


def _plane(plane: av.video.plane.VideoPlane) -> npt.NDArray[np.uint8]:
    """A plane as a packed array ``(height, width)``; rows of a frame may be padded."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return np.ascontiguousarray(rows[:, : plane.width])


class Decimator:
    """Chooses pictures so that no more than a rate of them goes on, evenly spaced.

    Args:
        limit_hz: The rate; None: every picture.
    """

    def __init__(self, limit_hz: float | None) -> None:
        self._period_ns = 0 if limit_hz is None else int(1e9 / limit_hz)
        self._due_ns: int | None = None

    def keep(self, time_ns: int) -> bool:
        """Whether the picture of this time goes on."""
        if not self._period_ns:
            return True
        far = self._due_ns is None or abs(time_ns - self._due_ns) > 2 * self._period_ns
        if self._due_ns is None or far:
            self._due_ns = time_ns + self._period_ns
            return True
        if time_ns < self._due_ns - self._period_ns // 20:
            return False
        self._due_ns += self._period_ns
        return True
