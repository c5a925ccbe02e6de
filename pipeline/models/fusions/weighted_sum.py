"""Fusion by a weighted sum with learned weights.

``v = sum_i w_i z_i`` with ``w = softmax(s)`` over the streams that are present, so the weights
sum to one whatever is missing. The simplest late fusion (Baltrusaitis et al. 2019, "Multimodal
Machine Learning", section 6). It has no product of two streams anywhere and so cannot tell
whether they agree; it is here to be compared with.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.models.attention import masked_softmax
from pipeline.models.fusions.base import Fusion, FusionSettings


class WeightedSumSettings(FusionSettings):
    """No options."""

    type: Literal["weighted_sum"] = "weighted_sum"
    """Kind of fusion."""

    def build(self, streams: int, width: int) -> WeightedSum:
        """Make the network."""
        return WeightedSum(streams, width)


class WeightedSum(Fusion):
    """``(B, M, Z)`` to ``(B, Z)``."""

    def __init__(self, streams: int, width: int) -> None:
        super().__init__(streams, width)
        self.scores = nn.Parameter(torch.zeros(streams))

    def weights(self, present: Tensor) -> Tensor:
        """Share of each stream, ``(B, M)``; sums to one unless nothing is present."""
        return masked_softmax(self.scores.expand(present.shape), present)

    def join(self, z: Tensor, present: Tensor) -> Tensor:
        """The sum."""
        return torch.einsum("bm,bmz->bz", self.weights(present), z)


PLUGIN = WeightedSumSettings
