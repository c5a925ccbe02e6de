"""How the levels of a stream's places stand to each other, and for how long that holds.

Levels are held to what was learnt, however narrow that is, while it is fresh: what a pump did for
minutes it does for minutes more. Then each level may also have gone its own way, by what it
wandered and by what is never unusual, and so far the others need not have followed: a covariance of
half an hour in a room says that its temperature and its humidity move together, to a hundredth of a
degree, and in the next hour they do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.models.drift import Wander
from pipeline.models.products import one_by_one, row_by_row
from pipeline.models.shrinkage import ledoit_wolf, whitening

_CLIP = 10.0  # standard units; rarer values do not stretch the covariance further
_ALONE_S = 1800.0  # after which each level may have gone its own way in full
_FRESH_S = 2700.0  # or as long as was learnt: after which it may be as far as is never unusual
_STALE = 2.0  # times that long: after which it may be no further


@dataclass(frozen=True, slots=True)
class LevelDensity:
    """How the levels of all places stand to each other.

    Attributes:
        column: The column that holds the level, int64 ``()``.
        mean: ``(P,)``.
        whiten: ``(P, P)``.
        tolerance: Variance of each level that is never unusual, ``(P,)``; None: of a model of
            before, which holds levels to what was learnt for ever.
    """

    column: Tensor
    mean: Tensor
    whiten: Tensor
    tolerance: Tensor | None

    def scores(self, places: Tensor, wander: Wander, times_s: Tensor) -> Tensor:
        """Mahalanobis distance, ``(B, P, d)`` to ``(B,)``.

        Args:
            places: Normalised, with limits that `wander` has widened, ``(B, P, d)``.
            wander: How limits grow.
            times_s: Site time of each window, ``(B,)``.
        """
        level = int(self.column)
        if self.tolerance is None:
            away = places[..., level] - self.mean
            return row_by_row(away, self.whiten).square().sum(dim=1).sqrt()
        growth = wander.growth(times_s)[..., level].to(places.dtype)
        away = row_by_row(places[..., level] * growth - self.mean, self.whiten)
        since_s = wander.since_s(times_s)
        alone = (since_s / _ALONE_S).clamp_max(1.0).square()
        fresh_s = wander.span_s().clamp_min(_FRESH_S)
        stale = (since_s / fresh_s).clamp_max(_STALE).pow(4)
        alone, stale = (share[:, None].to(places.dtype) for share in (alone, stale))
        more = alone * (growth.square() - 1.0) + stale * self.tolerance
        return one_by_one(torch.cat([away, more], dim=1), self._distance)

    def _distance(self, rows: Tensor) -> Tensor:
        """Distance of whitened levels by their covariance and a variance more for each.

        With ``W`` whitening the covariance ``C``, ``a' (C + D)^-1 a = y' (I + W'DW)^-1 y`` for
        ``y = W'a``, which needs no inverse of ``C`` (Woodbury's identity).

        Args:
            rows: ``y`` and the diagonal of ``D`` of each window, ``(B, 2 P)``.
        """
        away, more = rows.chunk(2, dim=1)
        spread = self.whiten.T @ (more[:, :, None] * self.whiten)  # (B, P, P)
        unit = torch.diag_embed(torch.ones_like(away))  # made where it is needed
        return _squared_distance(away, spread + unit).sqrt()


def _squared_distance(away: Tensor, covariance: Tensor) -> Tensor:
    """``a' C^-1 a`` of each row, ``(B, P)`` and ``(B, P, P)`` to ``(B,)``.

    On a GPU one column is eliminated after the other: a solver asks the device whether it went
    well, and cannot be part of a run that is recorded (`pipeline.models.stack_graph`).
    """
    if not away.is_cuda:
        solved: Tensor = torch.linalg.solve(covariance, away[..., None])[..., 0]
        return (away * solved).sum(dim=1)
    return eliminated(away, covariance)


def eliminated(away: Tensor, covariance: Tensor) -> Tensor:
    """As `_squared_distance`, by plain steps."""
    total = torch.zeros_like(away[:, 0])
    while away.shape[1]:
        first, pivot = away[:, :1], covariance[:, :1, 0]
        total = total + (first.square() / pivot)[:, 0]
        share = covariance[:, 1:, 0] / pivot
        covariance = covariance[:, 1:, 1:] - share[:, :, None] * covariance[:, :1, 1:]
        away = away[:, 1:] - share * first
    return total


def fit_level(places: Tensor, column: int, tolerance: Tensor) -> LevelDensity:
    """Learn how the levels stand to each other.

    Args:
        places: Normalised, ``(n, P, d)``.
        column: The column that holds the level.
        tolerance: Variance of each column that is never unusual, ``(P, d)``.
    """
    mean, covariance = ledoit_wolf(places[None, ..., column].clamp(-_CLIP, _CLIP))
    white = whitening(covariance)[0]
    return LevelDensity(torch.tensor(column), mean[0], white, tolerance[:, column].contiguous())
