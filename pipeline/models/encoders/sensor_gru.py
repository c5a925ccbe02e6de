"""Encoder of sensors: one recurrent network goes along every channel.

The network is shared by all channels, so any number of them costs no more weights than one;
an embedding per channel tells it which one it reads. Cho et al. 2014, "Learning Phrase
Representations using RNN Encoder-Decoder".
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.core.sample import StreamInfo
from pipeline.models.encoders.base import Tokens
from pipeline.models.encoders.sensor_input import MAPS, SensorEncoder, SensorEncoderSettings

_KERNEL = 3


class SensorGruSettings(SensorEncoderSettings):
    """Options of the recurrent sensor encoder."""

    type: Literal["sensor_gru"] = "sensor_gru"
    """Kind of encoder."""

    def build(self, info: StreamInfo) -> SensorGru:
        """Make the network of one sensor stream."""
        return SensorGru(self, info)


class SensorGru(SensorEncoder):
    """``(B, 3, steps, C)`` to one token per channel."""

    def __init__(self, settings: SensorGruSettings, info: StreamInfo) -> None:
        super().__init__(settings, info)
        width = settings.width
        self.stem = nn.Linear(_KERNEL * (len(MAPS) + 1), width)
        self.recur = nn.GRU(width, width, batch_first=True)
        self.finish = nn.Sequential(nn.LayerNorm(2 * width), nn.Linear(2 * width, width))

    def forward(self, inputs: Tensor) -> Tokens:
        """Tokens of the channels; a channel is present when a cell of it was seen."""
        maps, seen = self.courses(inputs)  # (B, C, T, 4)
        count, channels = maps.shape[:2]
        # A convolution with stride 2; as a linear layer it is faster on inputs this small.
        pieces = F.pad(maps.flatten(0, 1), (0, 0, 1, 1)).unfold(1, _KERNEL, 2).flatten(2)
        steps = F.gelu(self.stem(pieces))  # (B * C, T / 2, D)
        which = self.channel.repeat(count, 1)  # (B * C, D)
        states, _ = self.recur(steps + which[:, None])  # (B * C, T / 2, D)
        both = torch.cat([states[:, -1], states.amax(dim=1)], dim=-1)
        tokens = (self.finish(both) + which).unflatten(0, (count, channels))
        present = seen.any(dim=2)  # (B, C)
        return Tokens(tokens * present[..., None], present)


PLUGIN = SensorGruSettings
