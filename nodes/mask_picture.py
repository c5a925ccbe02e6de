"""A picture of a stream with its zones drawn in, so that an operator can place them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from pipeline.config.deployment import Deployment
from pipeline.core.clock import Clock
from pipeline.core.errors import BadReading, ConfigError, SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Sample, StreamInfo
from pipeline.sources.base import SourceSettings
from pipeline.sources.masks import SUBPIXEL_BITS, Masks, Pixels, in_pixels
from pipeline.sources.privacy_settings import Point
from pipeline.sources.runner import SourceRunner, SourceStatus

_RED, _WHITE, _BLACK = (40, 40, 255), (255, 255, 255), (0, 0, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
TENTHS = 10
WIDEST_LINE = 360


def picture_of(deployment: Deployment, stream: str, clock: Clock, timeout_s: float) -> Pixels:
    """The first picture that a stream's own source gives, as it is, nothing taken out.

    Raises:
        ConfigError: No source gives the stream.
        SourceUnavailable: No picture came in time.
    """
    source = _source_of(deployment, stream)
    outlet = _FirstPicture(stream)
    runner = SourceRunner(source.type, source, clock, outlet)
    runner.start()
    try:
        return outlet.wait(timeout_s)
    finally:
        runner.stop()


def read_picture(file: Path) -> Pixels:
    """The pixels ``(H, W, 3)`` of a picture file.

    Raises:
        BadReading: It cannot be read as a picture.
    """
    picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if picture is None:
        raise BadReading("not a picture that can be read", where=str(file))
    return np.asarray(picture, np.uint8)


def drawn(picture: Pixels, zones: Mapping[str, list[Point]]) -> Pixels:
    """A copy of a picture with what is masked in red, zones outlined and named, and a scale."""
    shown = picture.copy()
    height, width = shown.shape[:2]
    covered = Masks(zones).covered(height, width) > 0
    shown[covered] = shown[covered] // 2 + np.array(_RED, np.uint8) // 2
    thick = max(1, height // WIDEST_LINE)
    _draw_scale(shown)
    for name, zone in zones.items():
        corners = in_pixels(zone, height, width)
        cv2.polylines(shown, [corners], True, _RED, thick, cv2.LINE_AA, SUBPIXEL_BITS)
        _write(shown, name, tuple(np.mean(corners, axis=0).astype(int) >> SUBPIXEL_BITS))
    return shown


def _draw_scale(picture: Pixels) -> None:
    """Tenths of the width and the height along the edges, as zones are written."""
    height, width = picture.shape[:2]
    for tenth in range(1, TENTHS):
        x, y = width * tenth // TENTHS, height * tenth // TENTHS
        for at, to in (((x, 0), (x, height)), ((0, y), (width, y))):
            line = picture[at[1] : to[1] + 1, at[0] : to[0] + 1]
            line[...] = line // 2 + 64
        _write(picture, f".{tenth}", (x + 2, height // 30))
        _write(picture, f".{tenth}", (2, y - 2))


def _write(picture: Pixels, text: str, at: tuple[int, ...]) -> None:
    size = picture.shape[0] / 900
    thick = max(1, picture.shape[0] // WIDEST_LINE)
    for colour, wide in ((_BLACK, 3 * thick), (_WHITE, thick)):
        cv2.putText(picture, text, at, _FONT, max(size, 0.35), colour, wide, cv2.LINE_AA)


def _source_of(deployment: Deployment, stream: str) -> SourceSettings:
    sources = [s for node in deployment.nodes.values() for s in node.sources]
    for source in sources:
        if stream in source.stream_names():
            return source
    known = sorted(name for source in sources for name in source.stream_names())
    raise ConfigError(f"no source gives a stream {stream!r}", fix=f"one of: {', '.join(known)}")


class _FirstPicture:
    """Waits for one picture of one stream."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._came = threading.Event()
        self._sample: Sample | None = None
        self._trouble = ""

    def wait(self, timeout_s: float) -> Pixels:
        self._came.wait(timeout_s)
        if self._sample is None:
            why = self._trouble or f"no picture came in {timeout_s:g} s"
            raise SourceUnavailable(why, where=f"stream {self._stream}")
        return _decoded(self._sample)

    def opened(self, infos: tuple[StreamInfo, ...]) -> None:
        pass

    def samples(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            if sample.stream == self._stream and self._sample is None:
                self._sample = sample
                self._came.set()

    def rejected(self, stream: str, reason: DropReason, detail: str) -> None:
        if stream == self._stream:
            self._trouble = f"{reason.value}: {detail}"

    def status(self, status: SourceStatus) -> None:
        self._trouble = status.trouble or self._trouble

    def ended(self) -> None:
        self._came.set()


def _decoded(sample: Sample) -> npt.NDArray[np.uint8]:
    if sample.encoding is Encoding.RAW:
        return np.array(sample.data, np.uint8)
    if sample.encoding is not Encoding.JPEG:
        raise SourceUnavailable(
            f"it gives no pictures but {sample.encoding.value}", where=f"stream {sample.stream}"
        )
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(sample.data, colorspace="BGR")
    except (ValueError, TypeError) as error:
        raise SourceUnavailable(f"no picture: {error}", where=f"stream {sample.stream}") from error
    return pixels
