"""Encoder of sensors: attention among the pieces of all channels.

Each channel's course is cut into pieces in time (Nie et al. 2023, "A Time Series is Worth 64
Words"); all pieces of all channels look at each other, so that a token already knows whether
its channel fits the others. Pieces that were not seen are not looked at.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.core.sample import StreamInfo
from pipeline.models.attention import SelfAttention, masked_softmax
from pipeline.models.encoders.base import Tokens
from pipeline.models.encoders.sensor_input import MAPS, SensorEncoder, SensorEncoderSettings

_HEADS = 4


class SensorTransformerSettings(SensorEncoderSettings):
    """Options of the sensor Transformer."""

    type: Literal["sensor_transformer"] = "sensor_transformer"
    """Kind of encoder."""

    width: int = Field(default=48, ge=8, le=4096, multiple_of=_HEADS)
    """Numbers per token."""

    piece_steps: int = Field(default=5, ge=1)
    """Time steps per piece."""

    layers: int = Field(default=2, ge=1, le=24)
    """Layers of attention."""

    def build(self, info: StreamInfo) -> SensorTransformer:
        """Make the network of one sensor stream."""
        return SensorTransformer(self, info)


class SensorTransformer(SensorEncoder):
    """``(B, 3, steps, C)`` to one token per channel."""

    def __init__(self, settings: SensorTransformerSettings, info: StreamInfo) -> None:
        super().__init__(settings, info)
        width = settings.width
        self.piece = min(settings.piece_steps, settings.steps)
        self.pieces = -(-settings.steps // self.piece)
        self.enter = nn.Linear((len(MAPS) + 1) * self.piece, width)
        self.time = nn.Parameter(0.1 * torch.randn(self.pieces, width))
        self.layers = nn.ModuleList(
            SelfAttention(width, _HEADS, 2 * width) for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.weigh = nn.Linear(width, 1)

    def forward(self, inputs: Tensor) -> Tokens:
        """Tokens of the channels; a channel is present when a cell of it was seen."""
        maps, seen = self.courses(inputs)  # (B, C, T, 4), (B, C, T)
        missing = self.pieces * self.piece - maps.shape[2]
        maps = F.pad(maps, (0, 0, 0, missing)).unfold(2, self.piece, self.piece).flatten(3)
        there = F.pad(seen, (0, missing)).unfold(2, self.piece, self.piece).any(dim=3)
        pieces = self.enter(maps) + self.channel[:, None] + self.time  # (B, C, pieces, D)
        count, channels = pieces.shape[:2]
        tokens, visible = pieces.flatten(1, 2), there.flatten(1)[:, None]
        for layer in self.layers:
            tokens = layer(tokens, visible)
        tokens = self.norm(tokens).reshape(count, channels, self.pieces, -1)
        share = masked_softmax(self.weigh(tokens), there[..., None], dim=2)
        present = there.any(dim=2)  # (B, C)
        return Tokens((share * tokens).sum(dim=2), present)


PLUGIN = SensorTransformerSettings
