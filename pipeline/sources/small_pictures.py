"""Pictures made smaller, and fewer, for the link. The full ones are somebody else's to keep.

A JPEG is decoded at the scale nearest to what is wanted, which costs a fraction of decoding it
whole, and becomes a JPEG again; a raw picture stays raw. Pictures are never enlarged.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from pipeline.core.errors import BadReading
from pipeline.core.jpeg import jpeg_size
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.sources.media_picture import Decimator, PictureFormat
from pipeline.sources.small_settings import SmallSettings


class SmallPictures:
    """Makes the pictures of one stream smaller; used by one thread.

    Args:
        settings: How small, how many.
        jpeg_quality: Of small pictures of a stream that comes as JPEG.
    """

    def __init__(self, settings: SmallSettings, jpeg_quality: int) -> None:
        self._format = PictureFormat(settings.width, None, jpeg_quality)
        self._hz = settings.hz
        self._decimator = Decimator(settings.hz)
        self._quality = jpeg_quality

    def info(self, info: StreamInfo) -> StreamInfo:
        """The stream as it is sent; what is no video stays as it is."""
        if info.modality is not Modality.VIDEO:
            return info
        rate_hz = info.rate_hz
        if self._hz is not None:
            rate_hz = min(self._hz, rate_hz or self._hz)
        shape = info.shape
        if shape:
            width, height = self._format.size(shape[1], shape[0])
            shape = (height, width, shape[2])
        return replace(info, rate_hz=rate_hz, shape=shape)

    def make(self, sample: Sample) -> Sample | None:
        """The small picture; None for one that is not sent. What is no picture stays as it is.

        Raises:
            BadReading: It cannot be decoded.
        """
        if sample.encoding not in (Encoding.RAW, Encoding.JPEG):
            return sample
        if not self._decimator.keep(sample.timestamp_ns):
            return None
        if sample.encoding is Encoding.JPEG:
            return self._from_jpeg(sample)
        return self._from_raw(sample)

    def _from_jpeg(self, sample: Sample) -> Sample:
        size = jpeg_size(sample.data)  # type: ignore[arg-type]
        if size is None:
            raise BadReading("JPEG that cannot be decoded")
        width, height = self._format.size(size[1], size[0])
        if (height, width) == size:
            return sample
        try:
            pixels = simplejpeg.decode_jpeg(
                sample.data, colorspace="BGR", min_height=height, min_width=width, min_factor=1
            )
        except ValueError as error:
            raise BadReading(f"JPEG that cannot be decoded: {error}") from error
        jpeg = simplejpeg.encode_jpeg(
            _scaled(pixels, width, height),
            quality=self._quality,
            colorspace="BGR",
            colorsubsampling="420",
        )
        return replace(sample, data=jpeg)

    def _from_raw(self, sample: Sample) -> Sample:
        pixels = np.asarray(sample.data, np.uint8)
        width, height = self._format.size(pixels.shape[1], pixels.shape[0])
        if (height, width) == pixels.shape[:2]:
            return sample
        small = _scaled(pixels, width, height)
        small.setflags(write=False)
        return replace(sample, data=small)


def _scaled(pixels: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """A picture ``(H, W, 3)`` averaged down to ``(height, width, 3)``."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
