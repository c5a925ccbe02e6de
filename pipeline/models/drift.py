"""How much further a feature may drift than it did while it was learnt.

Half an hour shows one stretch of a day. A room's temperature moves by a tenth of a degree in
it and by three until the evening; what was seen then says little about where it may be. Such
columns are told by their segment means, which differ more than what happens within segments
explains, and their scale is widened as a random walk would widen until the horizon.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SEGMENTS = 8
_STEADY = 0.2  # share of the variance between segments that a steady column may have
_DRIFTING = 0.5  # share from which on a column counts as drifting in full
_MOST = 25.0  # beyond half an hour stretched to half a day, minutes would blind it


def widening(normal: Tensor, horizon: float) -> Tensor:
    """Factor by which each column's scale is to be widened, ``(P, d)``, at least 1.

    Args:
        normal: Standardised features in the order of time, ``(n, P, d)``; NaN where missing.
        horizon: How many times the learnt time the detector is to last without news.
    """
    count = min(_SEGMENTS, len(normal) // 4)
    if count < 3:
        return torch.ones(normal.shape[1:], dtype=normal.dtype)
    parts = torch.tensor_split(normal, count)
    means = torch.stack([part.nanmean(dim=0) for part in parts])  # (segments, P, d)
    within = torch.stack([_variance(part) for part in parts]).nanmean(dim=0).nan_to_num(0.0)
    between = _variance(means).nan_to_num(0.0)
    share = between / (between + within).clamp_min(1e-12)
    weight = ((share - _STEADY) / (_DRIFTING - _STEADY)).clamp(0.0, 1.0)
    growth = weight * between * min(max(horizon, 1.0), _MOST)
    return (1.0 + growth).sqrt()


def _variance(values: Tensor) -> Tensor:
    return (values - values.nanmean(dim=0)).square().nanmean(dim=0)
