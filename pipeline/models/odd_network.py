"""The network that tells the odd one out, see `pipeline.models.odd`: mappers, fusion, context."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models.odd_settings import OddSettings

_BEND = 4.0  # standard units: what is further out is told by the stream's own detector


class OddNetwork(nn.Module):
    """From components of all streams to how likely each is the odd one.

    Args:
        settings: What it is made of.
        widths: Components of each stream, ``(M,)``.
    """

    def __init__(self, settings: OddSettings, widths: Sequence[int]) -> None:
        super().__init__()
        self.mappers = nn.ModuleList(_mapper(settings, width) for width in widths)
        self.fusion = settings.fusion.build(len(widths), settings.width)
        self.context = settings.context.build(self.fusion.width)
        self.dropout = nn.Dropout(settings.dropout)
        self.answer = nn.Linear(self.context.width, 1 + len(widths))

    def embed(self, components: Sequence[Tensor]) -> Tensor:
        """Map each stream into Z: per stream ``(B, E)`` to ``(B, M, Z)``."""
        pairs = zip(self.mappers, bent(components), strict=True)
        return torch.stack([net(x) for net, x in pairs], dim=1)

    def forward(self, z: Tensor, present: Tensor) -> Tensor:
        """Logits of *none* and of each stream, ``(B, T, 1 + M)``.

        A stream that is not there is never the odd one.

        Args:
            z: ``(B, T, M, Z)``, oldest first.
            present: Which streams are there, bool ``(B, T, M)``.
        """
        fused = self.fusion(z.flatten(0, 1), present.flatten(0, 1)).unflatten(0, z.shape[:2])
        told = self.context(self.dropout(fused), present.any(dim=-1))  # (B, T, F)
        logits: Tensor = self.answer(self.dropout(told))
        possible = F.pad(present, (1, 0), value=True)  # none is
        return logits.masked_fill(~possible, torch.finfo(logits.dtype).min)


def bent(components: Sequence[Tensor]) -> list[Tensor]:
    """Components with what is far out drawn in, as the networks see them."""
    return [_BEND * torch.tanh(one / _BEND) for one in components]


def _mapper(settings: OddSettings, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, settings.hidden),
        nn.GELU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.hidden, settings.width),
        nn.LayerNorm(settings.width),
    )
