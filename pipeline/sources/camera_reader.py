"""Reads a camera of this machine with OpenCV.

A frame is stamped right after ``grab()``, which returns when the driver has it, and before
``retrieve()``, which copies or decodes. Where the driver offers Motion JPEG its images pass
through as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from pipeline.core.errors import BadReading, SourceUnavailable
from pipeline.core.jpeg import check_jpeg
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Payload, Sample, StreamInfo
from pipeline.sources.base import SourceContext
from pipeline.sources.camera_options import CameraOptions
from pipeline.sources.video_devices import list_cameras

SECOND_NS = 1_000_000_000
UNKNOWN_PERIOD_NS = 50_000_000
FIRST_TRIES = 5
"""Many cameras give some broken images right after they are switched on."""


class Capture(Protocol):
    """What of OpenCV's ``VideoCapture`` is used."""

    def isOpened(self) -> bool:
        """Whether the device is open."""
        ...

    def set(self, prop: int, value: float) -> bool:
        """Set a property."""
        ...

    def get(self, prop: int) -> float:
        """Read a property."""
        ...

    def grab(self) -> bool:
        """Wait for the next frame."""
        ...

    def retrieve(self) -> tuple[bool, npt.NDArray[Any]]:
        """Give the frame that was grabbed."""
        ...

    def release(self) -> None:
        """Close the device."""
        ...


Opener = Callable[[str], Capture]


def open_v4l2(path: str) -> Capture:
    """Open a device node with OpenCV.

    Raises:
        SourceUnavailable: There is no such node, or it is not ours to open.
    """
    if not Path(path).exists():
        there = ", ".join(f"{c.path} ({c.name})" for c in list_cameras()) or "none at all"
        raise SourceUnavailable(
            f"there is no camera {path}", fix=f"plug it in; video devices here: {there}"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceUnavailable(
            f"no permission to open {path}",
            fix="add this user to the group 'video', or pass the device into the container",
        )
    capture: Capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
    return capture


class CameraSource:
    """Reads a camera; see `CameraOptions`.

    Args:
        settings: Which camera and how.
        context: Clock and where unusable frames go.
        opener: Opens the device; tests put a substitute here.
    """

    def __init__(
        self, settings: CameraOptions, context: SourceContext, opener: Opener = open_v4l2
    ) -> None:
        self._settings = settings
        self._context = context
        self._opener = opener
        self._capture: Capture | None = None
        self._jpeg = False
        self._size = (0, 0)
        self._uncertainty_ns = UNKNOWN_PERIOD_NS

    def open(self) -> tuple[StreamInfo, ...]:
        """See `Source`."""
        capture = self._opener(self._settings.path)
        self._capture = capture
        if not capture.isOpened():
            raise SourceUnavailable(
                f"{self._settings.path} does not open as a camera",
                fix="another program may have it; a camera often has several nodes, try the next",
            )
        self._configure(capture)
        self._size = self._first_size(capture)
        fps = capture.get(cv2.CAP_PROP_FPS)
        rate_hz = fps if 0.1 <= fps <= 500 else None
        if rate_hz is not None:
            self._uncertainty_ns = int(SECOND_NS / rate_hz)
        width, height = self._size
        info = StreamInfo(
            self._settings.stream,
            Modality.VIDEO,
            rate_hz=rate_hz,
            shape=(height, width, 3),
            dtype="uint8",
            stamp="grab",
        )
        return (info,)

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """See `Source`. The driver sets how long it takes: a hang is for the supervisor."""
        del timeout_s
        capture = self._opened()
        if not capture.grab():
            raise SourceUnavailable(f"{self._settings.path} was unplugged or stopped")
        stamp_ns = self._context.clock.now_ns()
        try:
            data, encoding = self._retrieve(capture)
        except BadReading as error:
            self._context.reject(self._settings.stream, DropReason.CORRUPT, error.message)
            return ()
        return (Sample(self._settings.stream, 0, stamp_ns, data, encoding, self._uncertainty_ns),)

    def close(self) -> None:
        """See `Source`."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _opened(self) -> Capture:
        if self._capture is None:
            raise SourceUnavailable(f"{self._settings.path} is closed")
        return self._capture

    def _configure(self, capture: Capture) -> None:
        own = self._settings
        if own.fourcc is not None:
            capture.set(cv2.CAP_PROP_FOURCC, _fourcc(own.fourcc))
        wanted = {
            cv2.CAP_PROP_FRAME_WIDTH: own.width,
            cv2.CAP_PROP_FRAME_HEIGHT: own.height,
            cv2.CAP_PROP_FPS: own.fps,
            cv2.CAP_PROP_BUFFERSIZE: 1,
        }
        for prop, value in wanted.items():
            if value is not None:
                capture.set(prop, float(value))
        offered = int(capture.get(cv2.CAP_PROP_FOURCC)) == _fourcc("MJPG")
        if own.pass_jpeg and offered:
            self._jpeg = capture.set(cv2.CAP_PROP_CONVERT_RGB, 0.0)

    def _first_size(self, capture: Capture) -> tuple[int, int]:
        """Width and height of the first good frame; raw frames if its JPEG cannot be read."""
        for _ in range(FIRST_TRIES):
            if not capture.grab():
                break
            try:
                data, encoding = self._retrieve(capture)
            except BadReading:
                continue
            if encoding is Encoding.RAW and isinstance(data, np.ndarray):
                return data.shape[1], data.shape[0]
            if isinstance(data, bytes) and (size := _jpeg_size(data)):
                return size
        if self._jpeg:
            self._jpeg = False
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 1.0)
            return self._first_size(capture)
        raise SourceUnavailable(
            f"{self._settings.path} gives no picture",
            fix="set 'fourcc: null' and leave width, height and fps to the camera",
        )

    def _retrieve(self, capture: Capture) -> tuple[Payload, Encoding]:
        """The grabbed frame.

        Raises:
            BadReading: It is damaged.
            SourceUnavailable: Its size is no longer what was announced.
        """
        good, frame = capture.retrieve()
        if not good or frame is None or frame.size == 0:
            raise BadReading("the frame could not be retrieved")
        if self._jpeg:
            return check_jpeg(frame.tobytes()), Encoding.JPEG
        if frame.ndim != 3 or frame.shape[2] != 3:
            raise BadReading(f"the frame has shape {frame.shape}, not (height, width, 3)")
        if all(self._size) and (frame.shape[1], frame.shape[0]) != self._size:
            raise SourceUnavailable(f"{self._settings.path} changed the size of its picture")
        return frame, Encoding.RAW


def _fourcc(code: str) -> int:
    return sum(ord(letter) << (8 * place) for place, letter in enumerate(code))


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG that can really be decoded; None when it cannot."""
    try:
        height, width = simplejpeg.decode_jpeg(data, colorspace="GRAY").shape[:2]
    except ValueError:
        return None
    return width, height
