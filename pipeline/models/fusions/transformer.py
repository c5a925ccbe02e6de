"""Fusion by a small Transformer over the streams.

Each stream's vector is a token with an embedding that says which stream it is; one more token
belongs to none and gathers the others (Vaswani et al. 2017; the gathering token is BERT's,
Devlin et al. 2019; all modalities in one sequence as in Nagrani et al. 2021, "Attention
Bottlenecks for Multimodal Fusion", section 3.2). What is missing is not looked at.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models.attention import SelfAttention
from pipeline.models.fusions.base import Fusion, FusionSettings

_HEADS = 4


class TransformerSettings(FusionSettings):
    """Options of the Transformer."""

    type: Literal["transformer"] = "transformer"
    """Kind of fusion."""

    hidden: int = Field(default=64, ge=8, multiple_of=_HEADS)
    """Width of the tokens and of what comes out."""

    layers: int = Field(default=2, ge=1, le=24)
    """Layers of attention."""

    def build(self, streams: int, width: int) -> Transformer:
        """Make the network."""
        return Transformer(self, streams, width)


class Transformer(Fusion):
    """``(B, M, Z)`` to ``(B, hidden)``."""

    def __init__(self, settings: TransformerSettings, streams: int, width: int) -> None:
        hidden = settings.hidden
        super().__init__(streams, hidden)
        self.enter = nn.Linear(width, hidden)
        self.stream = nn.Parameter(0.1 * torch.randn(streams, hidden))
        self.gatherer = nn.Parameter(0.1 * torch.randn(1, 1, hidden))
        self.layers = nn.ModuleList(
            SelfAttention(hidden, _HEADS, 2 * hidden) for _ in range(settings.layers)
        )
        self.finish = nn.LayerNorm(hidden)

    def join(self, z: Tensor, present: Tensor) -> Tensor:
        """What the gathering token holds after the last layer."""
        tokens = self.enter(z) + self.stream  # (B, M, hidden)
        tokens = torch.cat([self.gatherer.expand(len(z), -1, -1), tokens], dim=1)
        visible = F.pad(present, (1, 0), value=True)[:, None]  # (B, 1, 1 + M)
        for layer in self.layers:
            tokens = layer(tokens, visible)
        fused: Tensor = self.finish(tokens[:, 0])
        return fused


PLUGIN = TransformerSettings
