"""What the operator does not want anybody to see or hear is taken out here, before all else.

`PrivateOutlet` stands between a source and whoever takes its samples, on the capture node:
nothing that is recorded, spooled, sent or kept as evidence has not come through it. Pictures are
decoded if they are JPEG, masked, made coarse, and encoded again, so that nothing of the original
file is left (a JPEG may hold a small picture of itself). Sound becomes band levels.

What cannot be made private does not go on: a damaged picture is ``corrupt``, a sample of another
kind than the setting is meant for is ``not_private``. Both are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import simplejpeg

from pipeline.core.errors import BadReading, DependencyMissing
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Sample, StreamInfo
from pipeline.sources.privacy_settings import Privacy
from pipeline.sources.sound_bands import SoundBands, band_info
from pipeline.sources.supervision import Outlet, SourceStatus

if TYPE_CHECKING:
    from pipeline.sources.masks import Pixels


class _Treatment(Protocol):
    """What is done to each sample of one stream."""

    def __call__(self, sample: Sample) -> Sequence[Sample]: ...


class PrivateOutlet:
    """Passes on what a source gives, less what is private; see the module.

    Args:
        outlet: Who takes it.
        privacy: What is asked of a stream, by its name.
    """

    def __init__(self, outlet: Outlet, privacy: Callable[[str], Privacy]) -> None:
        self._outlet = outlet
        self._privacy = privacy
        self._treatments: dict[str, _Treatment | None] = {}
        self._infos: dict[str, StreamInfo] = {}

    def opened(self, infos: tuple[StreamInfo, ...]) -> None:
        """See `Outlet`; sound that becomes levels is announced as these."""
        self._outlet.opened(tuple(self._opened(info) for info in infos))

    def samples(self, samples: Sequence[Sample]) -> None:
        """See `Outlet`."""
        passed: list[Sample] = []
        for sample in samples:
            try:
                passed += self._treated(sample)
            except BadReading as error:
                self._outlet.rejected(sample.stream, DropReason.CORRUPT, error.message)
            except _NotPrivate as error:
                self._outlet.rejected(sample.stream, DropReason.NOT_PRIVATE, str(error))
        if passed:
            self._outlet.samples(passed)

    def rejected(self, stream: str, reason: DropReason, detail: str) -> None:
        """See `Outlet`."""
        self._outlet.rejected(stream, reason, detail)

    def status(self, status: SourceStatus) -> None:
        """See `Outlet`."""
        self._outlet.status(status)

    def ended(self) -> None:
        """See `Outlet`."""
        self._outlet.ended()

    def _opened(self, info: StreamInfo) -> StreamInfo:
        privacy = self._privacy(info.name)
        if privacy.modality is None:
            return info
        if self._infos.get(info.name) != info:
            self._infos[info.name] = info
            self._treatments[info.name] = _treatment(privacy, info)
        heard = privacy.features and privacy.modality is info.modality
        levels = band_info(info) if heard else info
        return levels if levels.shape != (0,) else info

    def _treated(self, sample: Sample) -> Sequence[Sample]:
        """What goes on of a sample."""
        if sample.stream not in self._treatments:
            asked = self._privacy(sample.stream).modality is not None
            refusal = _Refusal("its stream was not announced") if asked else None
            self._treatments[sample.stream] = refusal
        treatment = self._treatments[sample.stream]
        return (sample,) if treatment is None else treatment(sample)


class _NotPrivate(Exception):
    """A sample that cannot be made private."""


class _Refusal:
    """Lets nothing through."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __call__(self, sample: Sample) -> Sequence[Sample]:
        raise _NotPrivate(self._why)


def _treatment(privacy: Privacy, info: StreamInfo) -> _Treatment:
    if privacy.modality is not info.modality:
        return _Refusal(f"its privacy settings are not for a stream of {info.modality.value}")
    if privacy.features:
        few = not band_info(info).channels
        return _Refusal("too few samples a second for any band") if few else _Bands(info)
    try:
        return _Pictures(privacy)
    except DependencyMissing as error:
        return _Refusal(str(error))


class _Bands:
    """Sound to levels."""

    def __init__(self, info: StreamInfo) -> None:
        self._bands = SoundBands(info)

    def __call__(self, sample: Sample) -> Sequence[Sample]:
        return list(self._bands.take(sample))


class _Pictures:
    """Pictures without their zones, and coarse where something is hidden."""

    def __init__(self, privacy: Privacy) -> None:
        # OpenCV is a sixth of what a capture node weighs, and few streams hide anything.
        from pipeline.sources.masks import Masks
        from pipeline.sources.mosaic import Mosaic

        self._masks = Masks(privacy.zones) if privacy.zones else None
        self._mosaic = None if privacy.blur is None else Mosaic(privacy.blur)
        self._quality = privacy.jpeg_quality

    def __call__(self, sample: Sample) -> Sequence[Sample]:
        pixels = _pixels(sample)
        if self._masks is not None:
            pixels = self._masks.apply(pixels)
        if self._mosaic is not None:
            pixels = self._mosaic.apply(pixels, sample.timestamp_ns)
        if sample.encoding is Encoding.RAW:
            pixels.setflags(write=False)
            return (replace(sample, data=pixels),)
        jpeg = simplejpeg.encode_jpeg(
            pixels, quality=self._quality, colorspace="BGR", colorsubsampling="420"
        )
        return (replace(sample, data=jpeg),)


def _pixels(sample: Sample) -> Pixels:
    """A picture's pixels ``(H, W, 3)``, blue, green, red."""
    data = sample.data
    if sample.encoding is Encoding.JPEG:
        try:
            decoded: Pixels = simplejpeg.decode_jpeg(data, colorspace="BGR")
        except ValueError as error:
            raise BadReading(f"JPEG that cannot be decoded: {error}") from error
        return decoded
    if sample.encoding is not Encoding.RAW or not isinstance(data, np.ndarray):
        raise _NotPrivate(f"{sample.encoding.value} is no picture")
    if data.dtype != np.uint8 or data.ndim != 3 or data.shape[2] != 3:
        raise _NotPrivate("a picture that is not (height, width, 3) of bytes")
    return np.ascontiguousarray(data, np.uint8)
