"""Bringing inputs to about unit scale, robustly, and without NaN.

Centre and width come from quantiles of the site's normal, so that a few strange windows move
neither. What is far outside is bent towards a limit instead of cut: a larger outlier stays
larger, and a gradient stays.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_ROWS = 4096  # windows are alike; more do not move a quantile
_TAILS = (0.02, 0.98)
_TAIL_WIDTH = 4.107  # distance of these quantiles in units of a Gaussian's deviation
_LIMIT = 8.0
_SHARE = 0.1  # of the usual width: no column of a kind is magnified more than this allows


class RobustScale(nn.Module):
    """Centre and width per trailing position, ``shape``; leading axes are pooled.

    Args:
        shape: Trailing axes that have a centre and width of their own.
        kind_axes: Axes of `shape` whose positions are not comparable with each other (the
            maps of a picture); over the others a lower bound of the width is shared.
    """

    centre: Tensor
    width: Tensor

    def __init__(self, shape: tuple[int, ...], kind_axes: tuple[int, ...] = ()) -> None:
        super().__init__()
        self._kind_axes = kind_axes
        self.register_buffer("centre", torch.zeros(shape))
        self.register_buffer("width", torch.ones(shape))

    def fit(self, inputs: Tensor) -> None:
        """Learn from ``(..., *shape)``; positions never seen keep centre 0 and width 1."""
        rows = inputs.detach().float().reshape(-1, self.centre.numel())
        step = max(1, len(rows) // _ROWS)
        low, middle, high = _quantiles(rows[::step], (_TAILS[0], 0.5, _TAILS[1]))
        width = ((high - low) / _TAIL_WIDTH).reshape(self.width.shape)
        floor = self._floor(width)
        width = torch.maximum(torch.nan_to_num(width, nan=1.0), floor)
        self.centre.copy_(torch.nan_to_num(middle, nan=0.0).reshape(self.centre.shape))
        self.width.copy_(torch.where(width > 0, width, torch.ones_like(width)))

    def _floor(self, width: Tensor) -> Tensor:
        """Least width: a share of the usual one among comparable positions."""
        comparable = [a for a in range(width.ndim) if a not in self._kind_axes]
        if not comparable:
            return torch.zeros_like(width)
        order = [*self._kind_axes, *comparable]
        kinds = width.permute(order).flatten(len(self._kind_axes))
        usual = torch.nan_to_num(torch.nanmedian(kinds, dim=-1).values, nan=0.0)
        shape = [width.shape[a] if a in self._kind_axes else 1 for a in range(width.ndim)]
        return (_SHARE * usual).reshape(shape).expand_as(width)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled values, zero where missing, and which were seen; both as `inputs`."""
        seen = torch.isfinite(inputs)
        values = (torch.where(seen, inputs, self.centre) - self.centre) / self.width
        return _LIMIT * torch.tanh(values / _LIMIT), seen


def _quantiles(rows: Tensor, shares: tuple[float, ...]) -> list[Tensor]:
    """Quantiles of each column ``(n, K)`` over what is finite; NaN where nothing is."""
    finite = torch.isfinite(rows)
    ordered = torch.where(finite, rows, torch.inf).sort(dim=0).values
    count = finite.sum(dim=0)
    found = []
    for share in shares:
        at = ((count - 1).clamp(min=0) * share).round().long()
        value = ordered.gather(0, at[None])[0] if len(rows) else rows.new_full(count.shape, 0)
        found.append(torch.where(count > 0, value, torch.nan))
    return found
