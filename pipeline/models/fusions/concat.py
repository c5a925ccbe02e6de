"""Fusion by concatenation, with the products of every pair of streams, and a small network.

``v = MLP([z_1; ...; z_M; p; z_i * z_j for i < j])`` with flags ``p`` of what is present.
Concatenation is the usual early fusion (Ngiam et al. 2011, "Multimodal Deep Learning"); the
element-wise products are a low-rank bilinear pooling (Kim et al. 2017, "Hadamard Product for
Low-rank Bilinear Pooling"). A small network finds "do these agree?" hard to learn from sums;
products hand it over.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pipeline.models.fusions.base import Fusion, HiddenSettings, mlp, pairs


class ConcatSettings(HiddenSettings):
    """Options of the concatenation."""

    type: Literal["concat"] = "concat"
    """Kind of fusion."""

    products: bool = True
    """Add the element-wise product of each pair of streams."""

    def build(self, streams: int, width: int) -> Concat:
        """Make the network."""
        return Concat(self, streams, width)


class Concat(Fusion):
    """``(B, M, Z)`` to ``(B, hidden)``."""

    def __init__(self, settings: ConcatSettings, streams: int, width: int) -> None:
        super().__init__(streams, settings.hidden)
        self.left, self.right = pairs(streams) if settings.products else ([], [])
        size = streams * (width + 1) + len(self.left) * width
        self.net = mlp(size, settings.hidden)

    def join(self, z: Tensor, present: Tensor) -> Tensor:
        """The small network on everything side by side."""
        parts = [z.flatten(1), present.to(z.dtype)]
        # Not normalised: the mean of a product is how well the two agree.
        parts += [z[:, i] * z[:, j] for i, j in zip(self.left, self.right, strict=True)]
        fused: Tensor = self.net(torch.cat(parts, dim=1))
        return fused


PLUGIN = ConcatSettings
