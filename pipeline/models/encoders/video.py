"""Encoder of pictures: appearance and motion on a grid, by a small convolutional network.

A window is cut into a few sub-steps. Each has maps of the cells of the picture: brightness,
two colour ratios and texture of its mean picture, mean and peak motion. Brightness and motion
have the change of the whole picture taken out, so that clouds and lamps change little. The
network keeps the grid down to a few areas; an area is the mean and the *largest* of its cells,
so that a small thing is not averaged away.
"""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.core.errors import BadReading, ModelError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import Slice, VideoSlice
from pipeline.models.encoders.base import Encoder, EncoderSettings, Tokens, grid_boxes, grid_places
from pipeline.models.encoders.picture_maps import MAPS, picture_maps
from pipeline.models.encoders.scaling import RobustScale
from pipeline.models.picture import CELL_PX, grid_shape, prepare_picture

Floats = npt.NDArray[np.float32]


class VideoEncoderSettings(EncoderSettings):
    """Options of the video encoder."""

    type: Literal["video"] = "video"
    """Kind of encoder."""

    picture_cells: int = Field(default=144, ge=4, le=1024)
    """About how many cells a picture is divided into."""

    steps: int = Field(default=4, ge=1, le=32)
    """Sub-steps of a window."""

    step_frames: int = Field(default=6, ge=2, le=64)
    """Most frames looked at per sub-step; of more, every second, third or n-th is."""

    area_rows: int = Field(default=3, ge=1, le=32)
    """Rows of areas; each area is one token."""

    area_columns: int = Field(default=4, ge=1, le=32)
    """Columns of areas."""

    channels: int = Field(default=24, ge=4, multiple_of=4)
    """Channels of both convolutions."""

    modalities: ClassVar[frozenset[Modality]] = frozenset({Modality.VIDEO})

    def build(self, info: StreamInfo) -> VideoEncoder:
        """Make the network of one camera."""
        return VideoEncoder(self, info)


class VideoEncoder(Encoder):
    """``(B, S, 6, rows, columns)`` to one token per area of the picture."""

    def __init__(self, settings: VideoEncoderSettings, info: StreamInfo) -> None:
        super().__init__()
        if len(info.shape) != 3:
            raise ModelError(
                f"a video stream needs its picture size, got shape {info.shape}", where=info.name
            )
        self.settings = settings
        self.rows, self.columns = grid_shape(info.shape[0], info.shape[1], settings.picture_cells)
        self.shape = (settings.steps, len(MAPS), self.rows, self.columns)
        self.width = settings.width
        self.areas = min(settings.area_rows, self.rows), min(settings.area_columns, self.columns)
        self.places, self.boxes = grid_places(*self.areas), grid_boxes(*self.areas)
        self.scale = RobustScale(self.shape[1:], kind_axes=(0,))
        channels = settings.channels
        self.first = nn.Conv2d(2 * len(MAPS), channels, 3, stride=2, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(4, channels)
        self.mix = nn.Linear(2 * channels * settings.steps, settings.width)
        self.area = nn.Parameter(0.1 * torch.randn(len(self.places), settings.width))
        self.finish = nn.Sequential(
            nn.LayerNorm(settings.width), nn.GELU(), nn.Linear(settings.width, settings.width)
        )

    def fit_scale(self, inputs: Tensor) -> None:
        """Learn centre and width per map and cell from ``(n, S, 6, rows, columns)``."""
        self.scale.fit(inputs)

    def forward(self, inputs: Tensor) -> Tokens:
        """Tokens of the areas; an area is present when a cell of it was seen."""
        values, seen = self.scale(inputs)
        count, steps = values.shape[:2]
        maps = torch.cat([values, seen.to(values.dtype)], dim=2).flatten(0, 1)  # (B * S, 12, R, K)
        maps = F.gelu(self.first(maps))
        maps = F.gelu(self.norm(self.second(maps)))  # (B * S, E, R / 2, K / 2)
        pooled = torch.cat([_pool(maps, self.areas), _peak(maps, self.areas)], dim=1)
        areas = pooled.reshape(count, steps, pooled.shape[1], -1)  # (B, S, 2 E, N)
        tokens = self.finish(self.mix(areas.permute(0, 3, 1, 2).flatten(2)) + self.area)
        present = _peak(seen.flatten(1, 2).any(dim=1, keepdim=True).float(), self.areas) > 0
        present = present.flatten(1)  # (B, N)
        return Tokens(tokens * present[..., None], present)

    def prepare(self, part: Slice) -> Floats | None:
        """Maps ``(S, 6, rows, columns)``; None with fewer than two usable frames."""
        if not isinstance(part, VideoSlice) or part.coverage < self.settings.min_coverage:
            return None
        steps = self.settings.steps
        stride = max(1, len(part.frames) // (steps * self.settings.step_frames))
        places = range(0, len(part.frames), stride)
        found = [(i * steps // len(part.frames), self._picture(part.frames[i])) for i in places]
        frames = [(step, frame) for step, frame in found if frame is not None]
        if len(frames) < max(2, self.settings.min_coverage * len(places)):
            return None
        step = np.array([step for step, _ in frames])
        return picture_maps([frame for _, frame in frames], step, self.shape)

    def _picture(self, frame: Sample | None) -> npt.NDArray[np.uint8] | None:
        if frame is None:
            return None
        try:
            small = prepare_picture(frame, self.settings.picture_cells)
        except BadReading:
            return None  # counts as a frame that is not there; the engine counted it already
        picture = cast("npt.NDArray[np.uint8]", small.data)
        shape = (self.rows * CELL_PX, self.columns * CELL_PX, 3)
        return picture if small.encoding is Encoding.RAW and picture.shape == shape else None


def _pool(maps: Tensor, areas: tuple[int, int]) -> Tensor:
    return F.adaptive_avg_pool2d(maps, areas)


def _peak(maps: Tensor, areas: tuple[int, int]) -> Tensor:
    return F.adaptive_max_pool2d(maps, areas)


PLUGIN = VideoEncoderSettings
