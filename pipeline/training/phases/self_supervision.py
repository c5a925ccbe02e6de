"""Phase 1: each stream by itself learns what tells its moments apart.

Two views of the same moment, each changed in its own way, shall have nearly the same vector;
every number of the vector shall vary from moment to moment, and no two say the same. That is
VICReg (Bardes, Ponce and LeCun 2022, "VICReg: Variance-Invariance-Covariance Regularization for
Self-Supervised Learning", eq. 1 to 6). Unlike a contrast with other moments it never pushes
apart two moments that really were alike, of which a quiet scene is full. The second view may
be of a window shortly after: what stays over so short a time is what matters (Sermanet et al.
2018, "Time-Contrastive Networks"). As in the paper, views are compared after an expander that
is thrown away.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from pipeline.training.phases.base import Ground, Phase, PhaseSettings, pick
from pipeline.training.prepared import Rows, spread

_HELD = 256  # held-out windows that are judged
_FEWEST = 8  # windows of a stream: fewer have no variance worth the name
_EPS = 1e-4


class SelfSupervisionSettings(PhaseSettings):
    """Options of self-supervision."""

    type: Literal["self_supervision"] = "self_supervision"
    """Kind of phase."""

    near_s: float = Field(default=0.5, ge=0)
    """The second view is of a window up to this much later, seconds; 0: of the same window."""

    expander: int = Field(default=128, ge=8)
    """Width of the network after which views are compared."""

    invariance: float = Field(default=25.0, ge=0)
    """Weight of the difference of two views."""

    variance: float = Field(default=25.0, ge=0)
    """Weight of the lack of variance."""

    covariance: float = Field(default=1.0, ge=0)
    """Weight of what is said twice."""

    def build(self, ground: Ground) -> SelfSupervision:
        """Make the phase."""
        return SelfSupervision(self, ground)


class SelfSupervision(Phase):
    """Trains encoders and mappers of all streams, each on its own."""

    def __init__(self, settings: SelfSupervisionSettings, ground: Ground) -> None:
        self._settings, self._ground = settings, ground
        model = ground.model
        width, wide = model.width, settings.expander
        self._expanders = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, wide), nn.LayerNorm(wide), nn.GELU(), nn.Linear(wide, wide)
            )
            for _ in model.names
        )
        self._expanders.to(next(model.parameters()).device)
        self.network = nn.ModuleList([model.encoders, model.mappers, self._expanders])
        self._near = int(settings.near_s * 1e9) // ground.normal.hop_ns
        self._judged = spread(ground.split.held, _HELD)

    def loss(self, step: int, generator: Generator) -> Tensor:
        """VICReg of a batch, the mean over streams."""
        del step
        learn = self._ground.split.learn
        return self._compared(pick(learn, self._settings.batch, generator), learn, generator)

    @torch.no_grad()
    def held_out(self) -> float:
        """The same of held-out windows, always with the same changes."""
        generator = torch.Generator().manual_seed(0)
        return float(self._compared(self._judged, self._ground.split.held, generator))

    def _compared(self, rows: Rows, among: Rows, generator: Generator) -> Tensor:
        normal = self._ground.normal
        later = torch.randint(self._near + 1, (len(rows),), generator=generator).numpy()
        after = normal.find(normal.index[rows] + later)
        after = np.where(np.isin(after, among), after, rows)
        views = [
            self._ground.placed(self._ground.changed(normal.batch(chosen), generator))
            for chosen in (rows, after)
        ]
        vectors = [self._ground.model.embed(*view) for view in views]
        present = views[0].present & views[1].present
        losses = []
        for stream, expander in enumerate(self._expanders):
            here = present[:, stream]
            if int(here.sum()) >= _FEWEST:
                first, second = (expander(z[here, stream]) for z in vectors)
                losses.append(vicreg(first, second, self._settings))
        return torch.stack(losses).mean() if losses else vectors[0].sum() * 0.0


def vicreg(first: Tensor, second: Tensor, settings: SelfSupervisionSettings) -> Tensor:
    """Invariance, variance and covariance of two views ``(n, D)``, a scalar."""
    invariance = F.mse_loss(first, second)
    variance = (_flat(first) + _flat(second)) / 2
    covariance = _redundancy(first) + _redundancy(second)
    return (
        settings.invariance * invariance
        + settings.variance * variance
        + settings.covariance * covariance
    )


def _flat(vectors: Tensor) -> Tensor:
    """How far each number's deviation falls short of one."""
    return F.relu(1 - (vectors.var(dim=0) + _EPS).sqrt()).mean()


def _redundancy(vectors: Tensor) -> Tensor:
    """Squared covariances off the diagonal, summed, per number."""
    apart = vectors - vectors.mean(dim=0)
    covariance = apart.T @ apart / (len(vectors) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / vectors.shape[1]


PLUGIN = SelfSupervisionSettings
