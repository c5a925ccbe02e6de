"""Covariance that can be inverted however few windows there are."""

from __future__ import annotations

import torch
from torch import Tensor


def ledoit_wolf(data: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and shrunk covariance of each of a batch of data sets.

    The covariance is drawn towards a multiple of the identity by the amount that minimises
    the expected squared error (Ledoit and Wolf, 2004, *A well-conditioned estimator for
    large-dimensional covariance matrices*, section 3).

    Args:
        data: float64 ``(P, n, d)``.
        weight: 1 for rows that count, 0 for others, ``(P, n)``; None: all count.

    Returns:
        Mean ``(P, d)`` and covariance ``(P, d, d)``.
    """
    weight = torch.ones(data.shape[:2], dtype=data.dtype) if weight is None else weight
    count = weight.sum(dim=1).clamp_min(2.0)  # (P,)
    mean = (data * weight[..., None]).sum(dim=1) / count[:, None]
    away = (data - mean[:, None]) * weight[..., None]
    sample = away.transpose(1, 2) @ away / count[:, None, None]  # (P, d, d)
    dims = data.shape[2]
    level = sample.diagonal(dim1=1, dim2=2).sum(dim=1) / dims
    target = level[:, None, None] * torch.eye(dims, dtype=data.dtype)
    spread = (sample - target).square().sum(dim=(1, 2))
    fourth = away.square().sum(dim=2).square().sum(dim=1)
    error = (fourth / count - sample.square().sum(dim=(1, 2))).clamp_min(0.0) / count
    shrink = torch.where(spread > 0, (error / spread).clamp(0.0, 1.0), 1.0)[:, None, None]
    floor = 1e-6 * torch.eye(dims, dtype=data.dtype)
    return mean, (1 - shrink) * sample + shrink * target + floor


def whitening(covariance: Tensor) -> Tensor:
    """Matrices ``(P, d, d)`` with ``x @ W`` white for data of this covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    white: Tensor = vectors / values.clamp_min(1e-12).sqrt()[:, None, :]
    return white
