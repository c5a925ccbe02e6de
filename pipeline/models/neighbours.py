"""Remembered normal rows: which are kept, and how far the nearest of them are."""

from __future__ import annotations

import torch
from torch import Tensor

_DUST = 1e-9  # whitened units; less is rounding
_EXACT = "donot_use_mm_for_euclid_dist"
_MOST_ROWS = 4096  # that one program on a GPU holds


def choose(far: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows to remember: half drawn evenly, half the furthest, none twice.

    Args:
        far: How far each row is from what is usual, negative where it is not present, ``(P, n)``.
        count: How many rows of each place.
        generator: Source of the choice.

    Returns:
        Indices of present rows, ``(P, count)``.
    """
    draw = torch.rand(far.shape, generator=generator, dtype=far.dtype)
    draw = torch.where(far >= 0, draw, -1.0)
    tail = far.topk(count // 2, dim=1).indices
    draw.scatter_(1, tail, -1.0)  # nothing is remembered twice
    chosen = torch.cat([draw.topk(count - count // 2, dim=1).indices, tail], dim=1)
    valid = torch.gather(far, 1, chosen) >= 0
    return torch.where(valid, chosen, far.argmax(dim=1, keepdim=True))


def kth_distance(points: Tensor, memory: Tensor, k: int) -> Tensor:
    """Distance to the k-th nearest of `memory`: ``(P, B, d)``, ``(P, M, d)`` to ``(P, B)``."""
    k = min(k, memory.shape[1])
    if points.is_cuda and memory.shape[1] <= _MOST_ROWS:
        from pipeline.models.nearest_kernel import kth_distance_on_gpu  # Triton: only with CUDA

        kth = kth_distance_on_gpu(points, memory, k)
    else:
        distances = torch.cdist(points, memory, compute_mode=_EXACT)
        kth = distances.topk(k, dim=2, largest=False).values[..., -1]
    # What is known exactly is so whichever way the product before it was rounded.
    return torch.where(kth < _DUST, 0.0, kth)
