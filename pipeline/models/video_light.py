"""Light that nobody has learnt: when most of a picture looks new, that says little about a part.

Half an hour shows one light. When the lamps are lit in the evening, shadows fall elsewhere and
every cell of the picture has a brightness and a texture that it never had; nothing happened to
any of them. How far the cells of a window are from what was learnt is therefore compared with
how far those of normal windows are: by so much as most of them are further, all of them are
drawn in, and what is left must stand out from the others to count. A thing in some cells does
not move the others, and is judged as ever. A lens that was covered makes most cells far newer than
any light does: then nothing is drawn in.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MOST = 0.75  # share of the cells that must look new
_USUAL = 0.99  # share of the normal windows in which they look less new
_NO_LIGHT = 50.0  # times as restless as normal: no light does that
_STANDS_OUT = 4.0  # times as far as most of the cells, in an unknown light


def usual_unrest(levels: Tensor) -> Tensor:
    """How far most cells are from what is usual in a restless normal window, ``(c,)``.

    Args:
        levels: Standardised appearance of normal windows, ``(n, P, c)``.
    """
    if not levels.numel():
        return levels.new_zeros(levels.shape[2])
    return _unrest(levels).quantile(_USUAL, dim=0)


def calmed(levels: Tensor, usual: Tensor) -> Tensor:
    """Appearance without what all cells of the picture share in being new, ``(B, P, c)``.

    Args:
        levels: Standardised appearance, ``(B, P, c)``.
        usual: From `usual_unrest`.
    """
    factor = (_unrest(levels) / usual.clamp_min(1e-9)).clamp_min(1.0)  # (B, c)
    hidden = (factor > _NO_LIGHT).any(dim=1, keepdim=True)
    factor = torch.where(hidden, 1.0, factor)[:, None]  # (B, 1, c)
    least = _STANDS_OUT * usual * (1.0 - 1.0 / factor)
    drawn = levels / factor
    return torch.sign(drawn) * (drawn.abs() - least).clamp_min(0.0)


def _unrest(levels: Tensor) -> Tensor:
    """Distance that most of the cells do not exceed, ``(B, c)``."""
    count = levels.shape[1]
    return levels.abs().kthvalue(max(1, round(_MOST * count)), dim=1).values
