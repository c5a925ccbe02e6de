"""What comes back at the same time of day, or of any shorter cycle.

A server is busy by day, a room warm in the afternoon, a plant runs its programme: a value that
is ordinary at noon may be strange at night. The length of the cycle is read from the
autocorrelation of the learnt values, and each column keeps the part of its profile that still
holds in a later stretch of time than the one it was learnt from, so that what only seemed to
come back is not expected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_LEAST_CYCLES = 3
_MOST_BINS = 96
_LEAST_CONTRAST = 0.15
_LEAST_GAIN = 0.2  # share of a column's variance, in time it was not learnt from
_CLIP = 4.0  # robust units
_DAY_S = 86_400.0
_NEAR_A_DAY = 0.02
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When the rows of a stream were, and how long the cycle is that they may follow.

    Attributes:
        period_s: Length of the cycle, seconds; see `period_of`.
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
        """What to expect at some times, ``(B,)`` to ``(B, P, d)``; between parts on a line."""
        count = len(self.profile)
        if not count:
            return torch.zeros((len(times_s), *self.profile.shape[1:]), dtype=self.profile.dtype)
        place = torch.remainder(times_s / self.period_s, 1.0) * count - 0.5
        low = place.floor()
        share = (place - low)[:, None, None]
        first = low.to(torch.int64) % count
        return self.profile[first] * (1 - share) + self.profile[(first + 1) % count] * share


def period_of(levels: Tensor, times_s: Tensor, step_s: float, length_s: float) -> float:
    """Length of the cycle that the columns share, seconds; 0 when none is seen.

    A cycle is told from slow wandering by contrast: values a whole and two whole cycles apart
    are more alike than values half a cycle off.

    Args:
        levels: One column a place, ``(n, P)``, in the order of time; NaN where missing.
        times_s: When each row was, ``(n,)``.
        step_s: Time from one window to the next, seconds.
        length_s: Length of a window, seconds; a cycle is several of them.
    """
    steps = np.rint((times_s - times_s[0]).numpy() / step_s).astype(np.int64)
    alike = _autocorrelation(_robust(levels.numpy()), steps)
    longest = len(alike) // _LEAST_CYCLES
    shortest = max(8, round(4 * length_s / step_s))
    if longest <= shortest:
        return 0.0
    lags = np.arange(shortest, longest)
    whole = (alike[lags] + alike[2 * lags]) / 2
    half = (alike[lags // 2] + alike[lags + lags // 2]) / 2
    contrast = whole - half
    best = int(contrast.argmax())
    if contrast[best] < _LEAST_CONTRAST:
        return 0.0
    period_s = _refined(alike, float(lags[best])) * step_s
    return _DAY_S if abs(period_s / _DAY_S - 1) < _NEAR_A_DAY else period_s


def _refined(alike: Array, lag: float) -> float:
    """The lag to a fraction of a step, by the peak near the furthest of its multiples."""
    times = 1
    while (times + 1) * lag < 0.7 * len(alike):
        times += 1
        reach = max(1, round(lag / 8 / times))
        centre = round(lag * times)
        near = np.arange(max(centre - reach, 1), min(centre + reach + 1, len(alike)))
        lag = float(near[alike[near].argmax()]) / times
    return lag


def _robust(levels: Array) -> Array:
    seen = np.isfinite(levels).any(axis=0)
    levels = levels[:, seen]
    away = levels - np.nanmedian(levels, axis=0)
    size = np.sqrt(np.nanmean(away**2, axis=0))
    moving = size > 0
    return np.asarray(np.clip(away[:, moving] / size[moving], -_CLIP, _CLIP), np.float64)


def _autocorrelation(values: Array, steps: npt.NDArray[np.int64]) -> Array:
    """How alike rows are that lie so many steps apart, mean over the columns, ``(steps,)``."""
    length = int(steps[-1]) + 1
    grid = np.zeros((length, values.shape[1]))
    there = np.zeros((length, values.shape[1]))
    grid[steps], there[steps] = np.nan_to_num(values), np.isfinite(values)
    size = 1 << (2 * length - 1).bit_length()
    found = np.zeros(length)
    for column in range(values.shape[1]):
        both = np.fft.irfft(np.abs(np.fft.rfft(grid[:, column], size)) ** 2, size)[:length]
        pairs = np.fft.irfft(np.abs(np.fft.rfft(there[:, column], size)) ** 2, size)[:length]
        found += both / np.maximum(pairs, 1.0) / max(both[0] / max(pairs[0], 1.0), 1e-12)
    return np.asarray(found / max(values.shape[1], 1))


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
    if count < 8 or not later.any() or later.all():
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
