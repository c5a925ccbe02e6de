"""What wandered while it was learnt may go on wandering.

Half an hour shows one stretch of a day. A room's temperature moves by a tenth of a degree in
it and by three until the evening; what was seen then says little about where it may be. Such
columns are told by the means of long stretches, which differ more than what happens within
the stretches explains.

A picture's or a sound's columns are widened once, as a random walk would widen until the
horizon. A sensor's limits grow by the clock instead (`Wander`): they are as learnt in the
learnt time, and widen the further a window is from it, as if what moved went on moving at its
pace. So a pump that is watched for a quarter of an hour after it was learnt is held to tight
limits, and a room's temperature in the evening is not held to those of the morning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_SEGMENTS = 8
_STEADY = 0.2  # share of the variance between segments that a steady column may have
_DRIFTING = 0.5  # share from which on a column counts as drifting in full
_MOST = 25.0  # beyond half an hour stretched to half a day, minutes would blind it


@dataclass(frozen=True, slots=True)
class Wander:
    """How limits grow with the time since a stream was learnt. All float64.

    Attributes:
        slow: Variance of the slow changes of each column within the learnt time, in units of
            its scale, ``(P, d)``; 0: it was steady.
        learnt_s: Site time of the first and the last window that were learnt, ``(2,)``.
        longest_s: Time after which limits grow no more, ``()``.
    """

    slow: Tensor
    learnt_s: Tensor
    longest_s: Tensor

    def growth(self, times_s: Tensor) -> Tensor:
        """Factor by which limits have grown at some times, ``(B,)`` to ``(B, P, d)``."""
        share = self.since_s(times_s) / self.span_s().clamp_min(1e-9)
        grown: Tensor = (1.0 + self.slow * share.square()[:, None, None]).sqrt()
        return grown

    def since_s(self, times_s: Tensor) -> Tensor:
        """How far some times ``(B,)`` are from the learnt time, as far as that counts."""
        first, last = self.learnt_s
        away = torch.maximum(first - times_s, times_s - last).clamp_min(0.0)
        return torch.minimum(away, self.longest_s)

    def span_s(self) -> Tensor:
        """How long was learnt, ``()``."""
        first, last = self.learnt_s
        span: Tensor = last - first
        return span

    def widest(self) -> Tensor:
        """How much less a column is to count in what a stream mostly does, ``(P, d)``.

        What wanders furthest would lead there, and says least of what the moment is about.
        """
        horizon = float(self.longest_s / self.span_s().clamp_min(1e-9))
        return _widened(self.slow, horizon)


def steady(places: int, columns: int) -> Wander:
    """Limits that stay as they are."""
    slow = torch.zeros((places, columns), dtype=torch.float64)
    return Wander(slow, torch.zeros(2, dtype=slow.dtype), torch.zeros((), dtype=slow.dtype))


def widening(normal: Tensor, horizon: float) -> Tensor:
    """Factor by which each column's scale is to be widened, ``(P, d)``, at least 1.

    Args:
        normal: Standardised features in the order of time, ``(n, P, d)``; NaN where missing.
        horizon: How many times the learnt time the detector is to last without news.
    """
    return _widened(slow_variance(normal), horizon)


def _widened(slow: Tensor, horizon: float) -> Tensor:
    """Factor by which a random walk widens the scale until the horizon."""
    return (1.0 + slow * min(max(horizon, 1.0), _MOST)).sqrt()


def slow_variance(normal: Tensor, overlap: int = 1) -> Tensor:
    """Variance of what moves slowly in each column, ``(P, d)``; 0 where it is steady.

    The means of stretches differ a little even if nothing is slow, more so when windows
    overlap: means of ``m`` windows of which ``v`` show the same moment have about
    ``v / (m + v)`` of the windows' variance. That share, and one standard error of it, does
    not count as slow.

    Args:
        normal: Standardised features in the order of time, ``(n, P, d)``; NaN where missing.
        overlap: Windows that show the same moment; 1 when they follow one another.
    """
    count = min(_SEGMENTS, len(normal) // 4)
    if count < 3:
        return torch.zeros(normal.shape[1:], dtype=normal.dtype)
    parts = torch.tensor_split(normal, count)
    means = torch.stack([part.nanmean(dim=0) for part in parts])  # (segments, P, d)
    within = torch.stack([_variance(part) for part in parts]).nanmean(dim=0).nan_to_num(0.0)
    between = _variance(means).nan_to_num(0.0)
    chance = overlap / (len(normal) / count + overlap) if overlap > 1 else 0.0
    chance *= 1.0 + math.sqrt(2.0 / (count - 1))
    share = between / (between + within).clamp_min(1e-12)
    share = (share - chance) / (1.0 - chance)
    return ((share - _STEADY) / (_DRIFTING - _STEADY)).clamp(0.0, 1.0) * between


def _variance(values: Tensor) -> Tensor:
    return (values - values.nanmean(dim=0)).square().nanmean(dim=0)
