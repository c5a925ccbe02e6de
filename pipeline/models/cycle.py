"""What comes back at the same time of day.

A server is busy by day, a room warm in the afternoon: a value that is ordinary at noon may be
strange at night. Once some days were learnt, each column keeps the part of its daily profile
that still holds in a later stretch of time than the one it was learnt from, so that what only
seemed to come back is not expected.

Only the day: a machine's own cycle, however regular, begins anew when the machine does, and
whoever expects it at its old times raises alarms from then on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST_DAYS = 3
_LEAST_BINS, _MOST_BINS = 8, 96
_LEAST_GAIN = 0.2  # share of a column's variance, in time it was not learnt from
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When the rows of a stream were, and how long the cycle is that they may follow.

    Attributes:
        period_s: Length of the cycle, seconds.
        step_s: Time from one window to the next, seconds.
    """

    period_s: float
    step_s: float


@dataclass(frozen=True, slots=True)
class Cycle:
    """Profiles over one cycle. All float64.

    Attributes:
        period_s: Length of the cycle, ``()``.
        profile: What to add to the centre of each column, per part of the cycle, ``(K, P, d)``;
            no parts: nothing comes back.
    """

    period_s: Tensor
    profile: Tensor

    def at(self, times_s: Tensor) -> Tensor:
        """What to expect at some times, ``(B,)`` to ``(B, P, d)``; between parts on a line.

        To be asked only where there is a profile.
        """
        count = len(self.profile)
        place = torch.remainder(times_s / self.period_s, 1.0) * count - 0.5
        low = place.floor()
        share = (place - low)[:, None, None]
        first = low.to(torch.int64) % count
        return self.profile[first] * (1 - share) + self.profile[(first + 1) % count] * share


def daily(first_s: float, last_s: float, step_s: float) -> Rhythm | None:
    """The rhythm of a day, when enough days were learnt to tell one; None otherwise.

    Args:
        first_s: Time of the first row.
        last_s: Time of the last row.
        step_s: Time from one window to the next, seconds.
    """
    enough = last_s - first_s >= (_LEAST_DAYS - 0.1) * _DAY_S
    return Rhythm(_DAY_S, step_s) if enough and step_s <= _DAY_S / _LEAST_BINS else None


def fit_cycle(levels: Tensor, times_s: Tensor, rhythm: Rhythm | None) -> Cycle:
    """Profiles of all columns over a cycle of known length; zero in those where none holds.

    Args:
        levels: float64 ``(n, P, d)`` about their centre, in the order of time; NaN if missing.
        times_s: When each row was, ``(n,)``.
        rhythm: Length of the cycle; None: there is none.
    """
    none = Cycle(torch.zeros((), dtype=torch.float64), levels.new_zeros((0, *levels.shape[1:])))
    if rhythm is None:
        return none
    period_s = rhythm.period_s
    count = int(min(_MOST_BINS, period_s // rhythm.step_s))
    later = times_s > times_s[0] + 0.6 * (times_s[-1] - times_s[0])
    if count < _LEAST_BINS or not later.any() or later.all():
        return none
    period = torch.tensor(period_s, dtype=torch.float64)
    before = Cycle(period, _profile(levels[~later], times_s[~later], period_s, count))
    rest = levels[later] - before.at(times_s[later])
    gain = 1.0 - _power(rest) / _power(levels[later]).clamp_min(1e-12)
    keep = torch.where(gain > _LEAST_GAIN, 1.0, 0.0).nan_to_num(0.0).to(levels.dtype)
    if not keep.any():
        return none
    return Cycle(period, _profile(levels, times_s, period_s, count) * keep)


def _power(levels: Tensor) -> Tensor:
    """Variance, with the far tails cut, ``(P, d)``."""
    away = (levels - levels.nanmedian(dim=0).values).abs()
    most = away.nan_to_num(0.0).quantile(0.98, dim=0)
    return torch.minimum(away, most).square().nanmean(dim=0)


def _profile(levels: Tensor, times_s: Tensor, period_s: float, count: int) -> Tensor:
    """Median per part of the cycle, smoothed over its neighbours, ``(count, P, d)``."""
    part = (torch.remainder(times_s / period_s, 1.0) * count).to(torch.int64).clamp_max(count - 1)
    middle = levels.nanmedian(dim=0).values
    rows = [
        levels[part == number].nanmedian(dim=0).values if (part == number).any() else middle
        for number in range(count)
    ]
    found = torch.stack(rows)
    found = torch.where(found.isnan(), middle, found).nan_to_num(0.0)
    return (found.roll(1, 0) + 2 * found + found.roll(-1, 0)) / 4
