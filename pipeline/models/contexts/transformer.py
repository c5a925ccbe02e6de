"""Context by a causal Transformer.

A window looks at itself and at windows before it. What is further back counts less by a fixed
slope per head (Press et al. 2022, "Train Short, Test Long", eq. 2): there are no positions to
run out of, and a stretch gives the same wherever it begins.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.models.attention import SelfAttention
from pipeline.models.contexts.base import Context, ContextSettings

_HEADS = 4


class TransformerSettings(ContextSettings):
    """Options of the Transformer."""

    type: Literal["transformer"] = "transformer"
    """Kind of context."""

    hidden: int = Field(default=96, ge=8, multiple_of=_HEADS)
    """Width of what comes out."""

    layers: int = Field(default=2, ge=1, le=24)
    """Layers of attention."""

    reach: int = Field(default=64, ge=1)
    """How many windows back one layer looks at most."""

    def build(self, width: int) -> Transformer:
        """Make the network."""
        return Transformer(self, width)


class Transformer(Context):
    """``(B, T, F)`` to ``(B, T, hidden)``."""

    slopes: Tensor

    def __init__(self, settings: TransformerSettings, width: int) -> None:
        hidden = settings.hidden
        super().__init__(hidden)
        self.reach = settings.reach
        self.enter = nn.Linear(width, hidden)
        self.layers = nn.ModuleList(
            SelfAttention(hidden, _HEADS, 2 * hidden) for _ in range(settings.layers)
        )
        self.finish = nn.LayerNorm(hidden)
        # One head sees the whole past alike; the others forget faster and faster.
        slopes = torch.tensor([0.0, *(0.5 ** (3 - k) for k in range(_HEADS - 1))])
        self.register_buffer("slopes", slopes, persistent=False)

    def run(self, x: Tensor, present: Tensor) -> Tensor:
        """All windows at once; none sees what comes after it."""
        time = torch.arange(x.shape[1], device=x.device)
        back = time[:, None] - time[None, :]  # (T, T)
        visible = ((back >= 0) & (back <= self.reach)) & present[:, None]  # (B, T, T)
        bias = -self.slopes[:, None, None] * back.clamp(min=0)  # (heads, T, T)
        tokens = self.enter(x)
        for layer in self.layers:
            tokens = layer(tokens, visible, bias)
        result: Tensor = self.finish(tokens)
        return result


PLUGIN = TransformerSettings
