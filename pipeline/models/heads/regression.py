"""Regression head: numbers with the Huber loss (Huber 1964), which outliers cannot dominate."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models.heads.base import Head, HeadSettings, masked_mean


class RegressionSettings(HeadSettings):
    """Options of the regression."""

    type: Literal["regression"] = "regression"
    """Kind of head."""

    outputs: tuple[str, ...] = Field(default=("value",), min_length=1)
    """Names of the numbers."""

    delta: float = Field(default=1.0, gt=0)
    """Errors beyond this many standard deviations count by their size, not its square."""

    def build(self, width: int) -> RegressionHead:
        """Make the network."""
        return RegressionHead(self, width)


class RegressionHead(Head):
    """``(B, F)`` to ``(B, R)`` in the targets' own units."""

    centre: Tensor
    spread: Tensor

    def __init__(self, settings: RegressionSettings, width: int) -> None:
        super().__init__()
        self.outputs = settings.outputs
        self.delta = settings.delta
        self.net = nn.Sequential(
            nn.Linear(width, settings.hidden),
            nn.GELU(),
            nn.Linear(settings.hidden, len(settings.outputs)),
        )
        self.register_buffer("centre", torch.zeros(len(settings.outputs)))
        self.register_buffer("spread", torch.ones(len(settings.outputs)))

    @torch.no_grad()
    def fit_scale(self, target: Tensor) -> None:
        """Learn the targets' centre and spread from ``(n, R)``; NaN where unknown."""
        known = torch.isfinite(target)
        count = known.sum(dim=0).clamp(min=1)
        centre = torch.where(known, target, 0.0).sum(dim=0) / count
        square = torch.where(known, target - centre, 0.0).square().sum(dim=0) / count
        self.centre.copy_(centre)
        self.spread.copy_(torch.where(square > 0, square.sqrt(), torch.ones_like(square)))

    def loss(self, features: Tensor, target: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """Huber loss in units of the spread; `target` is ``(B, R)``, NaN where unknown."""
        if target is None:
            return features.sum() * 0.0
        known = torch.isfinite(target)
        wanted = (torch.where(known, target, self.centre) - self.centre) / self.spread
        errors = F.huber_loss(self.net(features), wanted, reduction="none", delta=self.delta)
        count = known.sum(dim=-1)
        losses = (errors * known).sum(dim=-1) / count.clamp(min=1)
        useful = count > 0
        return masked_mean(losses, useful if mask is None else mask & useful)

    def predict(self, features: Tensor) -> Tensor:
        """Numbers ``(B, R)``."""
        values: Tensor = self.net(features) * self.spread + self.centre
        return values


PLUGIN = RegressionSettings
