"""What the sensor encoders see: each channel's level, course and roughness in a few steps.

The level of a channel may be a million times its movement (an air pressure in pascals), so the
movement about the window's own mean is taken in float64 and handed over beside the level.
Roughness, the size of the steps from reading to reading, keeps what is faster than the steps:
a vibration, or that it stopped.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import SensorSlice, Slice
from pipeline.models.encoders.base import Encoder, EncoderSettings
from pipeline.models.encoders.binning import bin_means
from pipeline.models.encoders.scaling import RobustScale

MAPS = ("level", "course", "roughness")
_LARGEST = 1e30  # float32 holds no more than 3e38, and differences must fit too


class SensorEncoderSettings(EncoderSettings):
    """Settings that both sensor encoders have."""

    steps: int = Field(default=20, ge=4, le=512)
    """Time steps that a window is divided into, whatever its length and rate."""

    modalities: ClassVar[frozenset[Modality]] = frozenset({Modality.SENSOR})


class SensorEncoder(Encoder):
    """What the sensor encoders share: preparing, scaling, and one token per channel."""

    def __init__(self, settings: SensorEncoderSettings, info: StreamInfo) -> None:
        super().__init__()
        count = info.shape[0] if info.shape else max(1, len(info.channels))
        self.places = info.channels or tuple(f"channel {i}" for i in range(count))
        self.width = settings.width
        self.shape = (len(MAPS), settings.steps, count)
        self.min_coverage = settings.min_coverage
        self.scale = nn.ModuleList(RobustScale((count,)) for _ in MAPS)
        self.channel = nn.Parameter(0.1 * torch.randn(count, settings.width))

    def fit_scale(self, inputs: Tensor) -> None:
        """Learn centre and width per map and channel from ``(n, 3, steps, C)``."""
        for index, scale in enumerate(self.scale):
            if isinstance(scale, RobustScale):
                scale.fit(inputs[:, index])

    def courses(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled maps with a flag of presence, ``(B, C, steps, 4)``, and which cells were seen."""
        pairs = [scale(inputs[:, index]) for index, scale in enumerate(self.scale)]
        seen = pairs[0][1]  # (B, steps, C)
        maps = torch.stack([*(values for values, _ in pairs), seen.to(inputs.dtype)], dim=-1)
        return maps.transpose(1, 2), seen.transpose(1, 2)

    def prepare(self, part: Slice) -> npt.NDArray[np.float32] | None:
        """Maps ``(3, steps, C)``; channels seen too little are NaN."""
        if not isinstance(part, SensorSlice) or part.values.shape[1:] != self.shape[2:]:
            return None
        good = part.present & np.isfinite(part.values)  # (T, C)
        if not len(good):
            return None
        usable = good & (good.mean(axis=0) >= self.min_coverage)
        if not usable.any():
            return None
        values = np.where(usable, np.clip(part.values, -_LARGEST, _LARGEST), np.nan)
        return _maps(values, self.shape[1]).astype(np.float32)


def _maps(values: npt.NDArray[np.float64], steps: int) -> npt.NDArray[np.float64]:
    """Level, course about the window's mean, and roughness: ``(T, C)`` to ``(3, steps, C)``."""
    seen = np.isfinite(values)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, values, 0.0).sum(axis=0) / count
    change = np.abs(np.diff(values, axis=0, prepend=values[:1]))
    # A first reading has nothing before it; a gap has nothing beside it.
    rough = bin_means(change, steps)
    level = bin_means(values, steps)
    rough = np.where(np.isfinite(level), np.nan_to_num(rough), np.nan)
    return np.stack([level, bin_means(values - mean, steps), rough])
