"""Clustering head: which of the usual situations is this?

Deep embedded clustering (Xie et al. 2016): a vector belongs to a centre by a Student-t kernel,
``q_ij = (1 + |e_i - mu_j|^2)^-1 / sum_j'`` (eq. 1); the network and the centres learn to be
surer of what they already think by ``KL(P || Q)`` with ``p_ij = (q_ij^2 / f_j) / sum_j'`` and
``f_j = sum_i q_ij`` (eq. 2 and 3). Centres begin by k-means++ (Arthur and Vassilvitskii 2007).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models.heads.base import Head, HeadSettings, masked_mean

_ROUNDS = 25
_LEAST = 1e-8


class ClusteringSettings(HeadSettings):
    """Options of the clustering."""

    type: Literal["clustering"] = "clustering"
    """Kind of head."""

    clusters: int = Field(default=8, ge=2)
    """Number of centres."""

    dims: int = Field(default=16, ge=1)
    """Dimensions of the space in which distances are taken."""

    seed: int = 0
    """Choice of the first centres."""

    def build(self, width: int) -> ClusteringHead:
        """Make the network."""
        return ClusteringHead(self, width)


class ClusteringHead(Head):
    """``(B, F)`` to how much each belongs to each centre, ``(B, K)``."""

    likelihood: ClassVar[str] = "categorical"
    mean: Tensor
    spread: Tensor

    def __init__(self, settings: ClusteringSettings, width: int) -> None:
        super().__init__()
        self.seed = settings.seed
        self.outputs = tuple(f"situation {k + 1}" for k in range(settings.clusters))
        # Close to a random projection at first, which keeps distances; the rest is learnt.
        self.direct = nn.Linear(width, settings.dims, bias=False)
        self.bend = nn.Sequential(
            nn.Linear(width, settings.hidden), nn.GELU(), nn.Linear(settings.hidden, settings.dims)
        )
        self.centres = nn.Parameter(torch.randn(settings.clusters, settings.dims))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(()))

    @torch.no_grad()
    def fit_centres(self, features: Tensor) -> None:
        """Place the centres by k-means on ``(n, F)``, n at least the number of centres."""
        self.mean.copy_(features.mean(dim=0))
        self.spread.copy_((features - self.mean).square().mean().sqrt().clamp(min=_LEAST))
        choice = torch.Generator().manual_seed(self.seed)
        self.centres.copy_(_kmeans(self.embed(features), len(self.centres), choice))

    def embed(self, features: Tensor) -> Tensor:
        """The space of the clusters, ``(B, dims)``."""
        scaled = (features - self.mean) / self.spread
        embedded: Tensor = self.direct(scaled) + self.bend(scaled)
        return embedded

    def loss(self, features: Tensor, target: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """``KL(P || Q)``; P is taken from Q itself, or is `target` ``(B, K)`` when given."""
        q = self.predict(features)
        if target is None:
            target = _sharpened(q.detach(), mask)
        return masked_mean((target * ((target + _LEAST) / (q + _LEAST)).log()).sum(dim=-1), mask)

    def predict(self, features: Tensor) -> Tensor:
        """Memberships ``(B, K)``, summing to one."""
        away = (self.embed(features)[:, None] - self.centres).square().sum(dim=-1)
        return F.normalize(1.0 / (1.0 + away), p=1.0, dim=-1)


def _sharpened(q: Tensor, mask: Tensor | None) -> Tensor:
    counted = q if mask is None else q * mask[:, None]
    weight = q.square() / counted.sum(dim=0).clamp(min=_LEAST)
    return F.normalize(weight, p=1.0, dim=-1)


def _kmeans(points: Tensor, count: int, choice: torch.Generator) -> Tensor:
    """Centres ``(K, d)`` of ``(n, d)``: k-means++ and Lloyd's rounds."""
    centres = _first_centres(points, count, choice)
    for _ in range(_ROUNDS):
        nearest = torch.cdist(points, centres).argmin(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        size = torch.bincount(nearest, minlength=count)[:, None]
        centres = torch.where(size > 0, sums / size.clamp(min=1), centres)
    return centres


def _first_centres(points: Tensor, count: int, choice: torch.Generator) -> Tensor:
    chosen = [int(torch.randint(len(points), (1,), generator=choice))]
    for _ in range(count - 1):
        away = torch.cdist(points, points[chosen]).square().amin(dim=1).cpu() + _LEAST
        chosen.append(int(torch.multinomial(away, 1, generator=choice)))
    return points[chosen].clone()


PLUGIN = ClusteringSettings
