"""One-class head: how far is a window from where the normal ones lie?

Deep SVDD (Ruff et al. 2018, "Deep One-Class Classification", eq. 4): a network ``phi`` draws
normal windows towards a fixed centre ``c``; the score is the squared distance to it. Layers
have no bias and the activation no upper bound, because otherwise the network could give the
centre for anything (their propositions 2 and 3). Windows known to be anomalous, if there are
any, are pushed away by the inverse of their distance (Deep SAD, Ruff et al. 2020, eq. 7).
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.models.heads.base import Head, HeadSettings, masked_mean

_NEAR_ZERO = 0.1  # a centre's coordinate nearer to zero could be met with zero weights
_LEAST = 1e-6


class AnomalySettings(HeadSettings):
    """Options of the one-class head."""

    type: Literal["anomaly"] = "anomaly"
    """Kind of head."""

    dims: int = Field(default=32, ge=1)
    """Dimensions of the space in which distances are taken."""

    known_weight: float = Field(default=1.0, ge=0)
    """Weight of a window known to be anomalous, against a normal one."""

    def build(self, width: int) -> AnomalyHead:
        """Make the network."""
        return AnomalyHead(self, width)


class AnomalyHead(Head):
    """``(B, F)`` to a score ``(B,)``; about 1 is usual, higher is more anomalous."""

    mean: Tensor
    spread: Tensor
    centre: Tensor
    usual: Tensor

    def __init__(self, settings: AnomalySettings, width: int) -> None:
        super().__init__()
        self.known_weight = settings.known_weight
        self.net = nn.Sequential(
            nn.Linear(width, settings.hidden, bias=False),
            nn.LeakyReLU(0.1),
            nn.Linear(settings.hidden, settings.dims, bias=False),
        )
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.register_buffer("centre", torch.ones(settings.dims))
        self.register_buffer("usual", torch.ones(()))

    @torch.no_grad()
    def fit_centre(self, features: Tensor) -> None:
        """Fix the centre from normal windows ``(n, F)``, before training; not moved by it."""
        self.mean.copy_(features.mean(dim=0))
        self.spread.copy_(features.std(dim=0, correction=0).clamp(min=_LEAST))
        centre = self._map(features).mean(dim=0)
        away = torch.where(centre < 0, -_NEAR_ZERO, _NEAR_ZERO)
        self.centre.copy_(torch.where(centre.abs() < _NEAR_ZERO, away, centre))

    @torch.no_grad()
    def fit_scale(self, features: Tensor) -> None:
        """Let the median score of normal windows ``(n, F)`` be 1, after training."""
        self.usual.copy_(self._distance(features).median().clamp(min=_LEAST))

    def loss(self, features: Tensor, target: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """Mean squared distance; `target` ``(B,)`` is 1 where known to be anomalous, else 0."""
        distance = self._distance(features)
        if target is not None:
            apart = self.known_weight / (distance + _LEAST)
            distance = torch.where(target > 0, apart, distance)
        return masked_mean(distance, mask)

    def predict(self, features: Tensor) -> Tensor:
        """Score ``(B,)``: squared distance in units of the usual one."""
        return self._distance(features) / self.usual

    def _map(self, features: Tensor) -> Tensor:
        mapped: Tensor = self.net((features - self.mean) / self.spread)
        return mapped

    def _distance(self, features: Tensor) -> Tensor:
        return (self._map(features) - self.centre).square().mean(dim=-1)


PLUGIN = AnomalySettings
