"""Pictures at the size the detector looks at, made once when a frame arrives.

The size follows from the picture's own size alone: about as many cells of ten pixels a side
as asked for, in the picture's aspect, never larger than the picture needs. Preparing a
prepared picture changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from pipeline.core.errors import BadReading
from pipeline.core.jpeg import MAX_PIXELS
from pipeline.core.sample import Encoding, Sample

CELL_PX = 10


def grid_shape(height: int, width: int, cells: int) -> tuple[int, int]:
    """Rows and columns of cells for a picture of this size."""
    scale = min(1.0, (cells * CELL_PX**2 / (height * width)) ** 0.5)
    rows = max(1, round(height * scale / CELL_PX))
    columns = max(1, round(width * scale / CELL_PX))
    if height == rows * CELL_PX and width == columns * CELL_PX:
        return rows, columns
    # Rounding up both sides may overshoot; a second pass would then shrink again.
    while rows * columns > cells and max(rows, columns) > 1:
        rows, columns = (rows - 1, columns) if rows > columns else (rows, columns - 1)
    return rows, columns


def prepare_picture(sample: Sample, cells: int) -> Sample:
    """A video sample as a small RAW picture; any other sample as it is.

    Args:
        sample: Frame as RAW ``(H, W, 3)`` BGR or as JPEG.
        cells: As in `pipeline.models.settings.DetectorSettings.picture_cells`.

    Raises:
        BadReading: The JPEG is damaged or the array is not a picture.
    """
    if sample.encoding is Encoding.JPEG:
        picture = _decode(sample, cells)
    elif sample.encoding is Encoding.RAW:
        picture = _checked(sample)
    else:
        return sample
    rows, columns = grid_shape(picture.shape[0], picture.shape[1], cells)
    small = _fit(picture, rows * CELL_PX, columns * CELL_PX)
    if small is sample.data:
        return sample
    return replace(sample, data=small, encoding=Encoding.RAW)


def _decode(sample: Sample, cells: int) -> npt.NDArray[np.uint8]:
    # An exotic colour space or damage both end in ValueError or RuntimeError in libjpeg.
    try:
        data = cast("bytes", sample.data)
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > MAX_PIXELS:
            raise BadReading(f"a JPEG of {width} x {height} pixels", where=sample.stream)
        rows, columns = grid_shape(height, width, cells)
        picture = simplejpeg.decode_jpeg(
            data,
            colorspace="BGR",
            fastdct=True,
            fastupsample=True,
            min_height=rows * CELL_PX,
            min_width=columns * CELL_PX,
        )
    except (ValueError, RuntimeError, TypeError) as error:
        raise BadReading(f"JPEG cannot be decoded: {error}", where=sample.stream) from error
    return _fit(picture, rows * CELL_PX, columns * CELL_PX)


def _checked(sample: Sample) -> npt.NDArray[np.uint8]:
    data: Any = sample.data
    if not isinstance(data, np.ndarray) or data.ndim != 3 or data.shape[2] != 3 or not data.size:
        raise BadReading("not a picture of shape (H, W, 3)", where=sample.stream)
    if data.dtype != np.uint8:
        raise BadReading(f"picture of {data.dtype} instead of uint8", where=sample.stream)
    return data


def _fit(picture: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    if picture.shape[:2] == (height, width):
        return picture
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return cast("npt.NDArray[np.uint8]", small)
