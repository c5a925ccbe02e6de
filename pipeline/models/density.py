"""Densities of normal: shrinkage Mahalanobis distance and distance to the nearest neighbours.

One density per place, one over a whole stream (or all streams jointly); one shared by any number
of items is in `pipeline.models.item_density`. All are float64 tensors with distances summed element
by element, so that a window's score does not depend on what else is scored.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.models.neighbours import choose, kth_distance
from pipeline.models.products import one_by_one, row_by_row
from pipeline.models.shrinkage import ledoit_wolf, whitening

_CLIP = 10.0  # standard units; rarer values do not stretch the covariance further


@dataclass(frozen=True, slots=True)
class PlaceDensity:
    """One density per place.

    Attributes:
        mean: ``(P, d)``.
        whiten: ``(P, d, d)``.
        memory: Whitened normal windows, ``(P, M, d)``.
        alive: Places that were ever seen, bool ``(P,)``.
    """

    mean: Tensor
    whiten: Tensor
    memory: Tensor
    alive: Tensor

    def scores(self, places: Tensor, present: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Mahalanobis and neighbour distance, each ``(B, P)``; NaN where not present.

        Args:
            places: Normalised, ``(B, P, d)``.
            present: ``(B, P)``.
            k: Which neighbour.
        """
        white = self._white(places)  # (P, B, d)
        seen = present & self.alive
        far = white.square().sum(dim=-1).sqrt().T
        near = kth_distance(white, self.memory, k).T
        return torch.where(seen, far, torch.nan), torch.where(seen, near, torch.nan)

    def _white(self, places: Tensor) -> Tensor:
        return one_by_one(places - self.mean, lambda row: row.transpose(0, 1) @ self.whiten, dim=1)


def fit_places(
    places: Tensor, present: Tensor, slack: Tensor, memory: int, generator: torch.Generator
) -> PlaceDensity:
    """Learn a density per place.

    Half of the memory is drawn evenly, half from the windows furthest from the mean: people
    cross a cell rarely, and these few windows are what tells normal from new.

    Args:
        places: Normalised, ``(n, P, d)``.
        present: ``(n, P)``.
        slack: Variance that drift may add, ``(P, d)``.
        memory: ``M``.
        generator: Source of the choice.
    """
    data = places.transpose(0, 1)  # (P, n, d)
    weight = present.T.to(data.dtype)
    mean, covariance = ledoit_wolf(data.clamp(-_CLIP, _CLIP), weight)
    whiten = whitening(covariance + torch.diag_embed(slack))
    white = (data - mean[:, None]) @ whiten
    far = torch.where(present.T, white.square().sum(dim=-1), -1.0)  # (P, n)
    chosen = choose(far, min(memory, len(places)), generator)
    kept = torch.gather(white, 1, chosen[..., None].expand(-1, -1, white.shape[2]))
    return PlaceDensity(mean, whiten, kept.contiguous(), present.any(dim=0))


@dataclass(frozen=True, slots=True)
class PooledDensity:
    """One density over many columns, through their leading principal components.

    Attributes:
        mean: ``(D,)``.
        project: Whitening projection, ``(D, E)``.
        basis: Orthonormal principal directions, ``(D, E)``.
        rest: Variance per discarded direction, ``()``.
        memory: Whitened normal windows, ``(M, E)``.
    """

    mean: Tensor
    project: Tensor
    basis: Tensor
    rest: Tensor
    memory: Tensor

    def scores(self, data: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Mahalanobis and neighbour distance, each ``(B,)``."""
        away = data - self.mean
        white = row_by_row(away, self.project)
        residual = away - row_by_row(row_by_row(away, self.basis), self.basis.T)
        far = white.square().sum(dim=1) + residual.square().sum(dim=1) / self.rest
        return far.sqrt(), kth_distance(white[None], self.memory[None], k)[0]


def fit_pooled(
    data: Tensor, slack: Tensor | None, dims: int, memory: int, generator: torch.Generator
) -> PooledDensity:
    """Learn one density over all columns.

    Args:
        data: Normalised, ``(n, D)``.
        slack: Variance that drift may add, ``(D,)``; None: none.
        dims: Most principal components, ``E``.
        memory: ``M``.
        generator: Source of the choice of remembered windows.
    """
    mean, covariance = ledoit_wolf(data.clamp(-_CLIP, _CLIP)[None])
    if slack is not None:
        covariance = covariance + torch.diag(slack)
    values, vectors = torch.linalg.eigh(covariance[0])
    count = min(dims, len(values))
    basis = vectors[:, len(values) - count :].contiguous()
    kept = values[len(values) - count :].clamp_min(1e-9)
    rest = values[: len(values) - count].mean() if count < len(values) else values.mean()
    project = basis / kept.sqrt()
    rows = torch.randperm(len(data), generator=generator)[:memory].sort().values
    remembered = (data[rows] - mean[0]) @ project
    return PooledDensity(mean[0], project, basis, rest.clamp_min(1e-9), remembered)


@dataclass(frozen=True, slots=True)
class Axes:
    """Leading principal axes: what a stream mostly does, in few numbers.

    Attributes:
        mean: ``(D,)``.
        project: Whitening projection, ``(D, E)``, the leading axis last.
    """

    mean: Tensor
    project: Tensor

    def embed(self, data: Tensor) -> Tensor:
        """Whitened principal components, ``(B, D)`` to ``(B, E)``."""
        return row_by_row(data.clamp(-_CLIP, _CLIP) - self.mean, self.project)


def fit_axes(data: Tensor, dims: int, wider: Tensor | None = None) -> Axes:
    """Learn the leading axes.

    No slack for drift here: it would lift the columns that drift among the leading ones.

    Args:
        data: Normalised, ``(n, D)``.
        dims: Most axes, ``E``.
        wider: How much less each column is to count than the others, ``(D,)``; None: all alike.
    """
    less = torch.ones_like(data[0]) if wider is None else 1.0 / wider
    mean, covariance = ledoit_wolf(data.clamp(-_CLIP, _CLIP)[None] * less)
    values, vectors = torch.linalg.eigh(covariance[0])
    project = vectors[:, -dims:] / values[-dims:].clamp_min(1e-9).sqrt()
    return Axes(mean[0] / less, (less[:, None] * project).contiguous())
