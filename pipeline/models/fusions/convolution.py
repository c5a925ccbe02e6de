"""Fusion by a convolution along the axis of streams.

The streams of a window are a short sequence with Z channels; ``y_i = sum_k W_k z_{i+k}`` sees
each with its neighbours, a second layer the neighbours' neighbours, and the mean and the
largest over present streams come out (TextCNN, Kim 2014, eq. 1 to 3, with streams for words).
What is near depends on the order of streams; with three streams and a kernel of three it does
not matter.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models.fusions.base import Fusion, HiddenSettings


class ConvolutionSettings(HiddenSettings):
    """Options of the convolution."""

    type: Literal["convolution"] = "convolution"
    """Kind of fusion."""

    kernel: int = Field(default=3, ge=1)
    """Streams seen at once; an even number counts as the next odd one."""

    def build(self, streams: int, width: int) -> Convolution:
        """Make the network."""
        return Convolution(self, streams, width)


class Convolution(Fusion):
    """``(B, M, Z)`` to ``(B, hidden)``."""

    def __init__(self, settings: ConvolutionSettings, streams: int, width: int) -> None:
        super().__init__(streams, settings.hidden)
        kernel = settings.kernel + (settings.kernel + 1) % 2
        self.stream = nn.Parameter(0.1 * torch.randn(streams, width))
        self.first = nn.Conv1d(width, settings.hidden, kernel, padding=kernel // 2)
        self.second = nn.Conv1d(settings.hidden, settings.hidden, kernel, padding=kernel // 2)
        self.gather = nn.Linear(2 * settings.hidden, settings.hidden)

    def join(self, z: Tensor, present: Tensor) -> Tensor:
        """Two convolutions, then the mean and the largest of the present positions."""
        here = present[:, None].to(z.dtype)  # (B, 1, M)
        x = (z + self.stream).transpose(1, 2) * here  # (B, Z, M)
        x = F.gelu(self.first(x)) * here
        x = F.gelu(self.second(x)) * here  # (B, hidden, M)
        mean = x.sum(dim=2) / here.sum(dim=2).clamp(min=1)
        fused: Tensor = self.gather(torch.cat([mean, x.amax(dim=2)], dim=1))
        return fused


PLUGIN = ConvolutionSettings
