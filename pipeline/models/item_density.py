"""Density of items, short things of which a window may have any number: how new the newest is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.models.neighbours import choose, kth_distance
from pipeline.models.products import each_alone
from pipeline.models.shrinkage import ledoit_wolf, whitening

_ROUNDING = 1e-12  # of squared lengths; some 30 times what products of 64 numbers lose


@dataclass(frozen=True, slots=True)
class ItemDensity:
    """One density shared by all items of a stream.

    Attributes:
        mean: ``(e,)``.
        whiten: ``(e, e)``.
        memory: ``(M, e)``.
    """

    mean: Tensor
    whiten: Tensor
    memory: Tensor

    def scores(self, items: Tensor, k: int) -> Tensor:
        """Neighbour distance of each item, ``(I, e)`` to ``(I,)``."""
        return kth_distance(self._white(items)[None], self.memory[None], k)[0]

    def furthest(self, items: Tensor, counts: Sequence[int], k: int) -> Tensor:
        """Largest neighbour distance in each window, ``(B,)``; 0 in one without items.

        The largest of `scores`, to the bit, for a fraction of the time: products of matrices,
        which are quick but lose digits, tell which items may be the furthest, and the distances
        of these few are taken exactly.

        Args:
            items: Those of all windows, one window after the other, ``(I, e)``.
            counts: How many each window has, ``B`` numbers.
            k: Which neighbour.
        """
        lengths = torch.tensor(counts, device=items.device)
        parts = torch.split(items, list(counts)) if each_alone(lengths) else [items]
        white = torch.cat([self._white(part.clone()) for part in parts])
        rough, doubt = _rough_square(white, self.memory, k)
        window = torch.repeat_interleave(lengths)  # (I,)
        none = torch.zeros(len(counts), dtype=items.dtype, device=items.device)
        least = none.scatter_reduce(0, window, rough - doubt, "amax")
        likely = ~(rough + doubt < least[window])  # what is not a number is looked at, too
        exact = kth_distance(white[likely][None], self.memory[None], k)[0]
        return none.scatter_reduce(0, window[likely], exact, "amax")

    def _white(self, items: Tensor) -> Tensor:
        return (items - self.mean) @ self.whiten


def fit_items(items: Tensor, memory: int, plain: bool, generator: torch.Generator) -> ItemDensity:
    """Learn the density of items.

    Args:
        items: ``(I, e)``, at least one.
        memory: ``M``; of more than that, half are drawn evenly, half are the furthest.
        plain: Compare as they are (lines of text) instead of whitened; repetitions are
            remembered once.
        generator: Source of the choice.
    """
    dims = items.shape[1]
    if plain:
        items = torch.unique(items, dim=0)
        mean, whiten = torch.zeros(dims, dtype=items.dtype), torch.eye(dims, dtype=items.dtype)
    else:
        means, covariance = ledoit_wolf(items[None])
        mean, whiten = means[0], whitening(covariance)[0]
    white = (items - mean) @ whiten
    chosen = choose(white.square().sum(dim=1)[None], min(memory, len(white)), generator)[0]
    return ItemDensity(mean, whiten, white[chosen].contiguous())


def _rough_square(points: Tensor, memory: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Squared distance to the k-th nearest of `memory` by its binomial, and how far it may be off.

    Args:
        points: ``(I, e)``.
        memory: ``(M, e)``.
        k: Which neighbour.

    Returns:
        Both ``(I,)``.
    """
    lengths, known = points.square().sum(dim=1), memory.square().sum(dim=1)
    part = torch.addmm(known, points, memory.T, alpha=-2.0)  # (I, M)
    kth = part.topk(min(k, len(memory)), dim=1, largest=False).values[:, -1]
    return kth + lengths, _ROUNDING * (lengths + known.max())
