"""How rare a score is: ranks where there are enough normal scores, a Pareto tail beyond.

The tail is a generalised Pareto distribution over the highest tenth, fitted by probability-
weighted moments (Hosking and Wallis, 1987), which stay stable on a few dozen values. Its
shape is kept between exponential and heavy: a light tail with an end would call everything
beyond the end impossible.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

TAIL_SHARE = 0.1
MIN_EXCESSES = 10
HEAVIEST = 0.5
LIGHTEST = 1e-6  # a shape below this is exponential
SMALLEST_P = 1e-15
LEAST_SCALE = 1e-3  # of a place's tail, standard units
DECIMALS = 9  # of a place's score; what is behind them is rounding
_DUST = 1e-9  # of the largest normal score
_ATOM_SHARE = 0.1  # of the normal scores that are the same, to the last digit
_ATOM_WIDTH = 0.05  # of such a score, by which the parts of the normal may have it otherwise


@dataclass(frozen=True, slots=True)
class Pareto:
    """A tail: ``P(score > start + y | score > start) = (1 + shape * y / scale)^(-1/shape)``."""

    start: float
    shape: float
    scale: float

    def survival(self, scores: Array) -> Array:
        """Probability of a score at least as high, given that it is beyond `start`."""
        over = np.maximum(scores - self.start, 0.0) / self.scale
        if self.shape < LIGHTEST:
            return np.asarray(np.exp(-over))
        return np.asarray((1.0 + self.shape * over) ** (-1.0 / self.shape))


def fit_pareto(excesses: Array, start: float, least_scale: float) -> Pareto:
    """Fit a tail to sorted excesses over `start` (``(n,)``, at least one)."""
    count = len(excesses)
    mean = float(excesses.mean())
    if count < MIN_EXCESSES:
        return Pareto(start, 0.0, max(mean, least_scale))
    below = (np.arange(1, count + 1) - 0.35) / count
    moment = float(((1.0 - below) * excesses).mean())
    shape = 2.0 - mean / (mean - 2.0 * moment) if mean > 2.0 * moment else HEAVIEST
    shape = float(np.clip(shape, 0.0, HEAVIEST))
    # The mean of the distribution is scale / (1 - shape): keep it where the data have it.
    return Pareto(start, shape, max(mean * (1.0 - shape), least_scale))


class Tail:
    """p-values of one kind of score against its normal values.

    A score counts as no higher than a normal one that only rounding keeps from being its
    equal: where a thousand normal windows score exactly 0, as lines of a log that all were
    heard before do, 1e-15 would be the rarest of them all. And where many normal windows have
    one score (an *atom*: a window without a line, a contact that is shut), what lies just above is
    that score: normal windows are held out from detectors that learnt from a part of the normal,
    which give them a few hundredths more or less than the one that learnt all, and all of what is
    live would be rarer than all of them.

    Args:
        normal: Scores of normal windows; those that are not finite are left out.
    """

    def __init__(self, normal: Array) -> None:
        self.normal = np.sort(normal[np.isfinite(normal)])
        count = len(self.normal)
        self._dust = _DUST * (1.0 + float(np.abs(self.normal).max(initial=0.0)))
        self._atoms = _atoms_of(self.normal)
        self._pareto: Pareto | None = None
        if count < 2 * MIN_EXCESSES:
            return
        start = float(self.normal[-max(MIN_EXCESSES, round(TAIL_SHARE * count)) - 1])
        excesses = self.normal[self.normal > start + self._dust] - start
        middle = float(np.median(self.normal))
        width = float(self.normal[-1]) - middle
        least = 0.02 * width + 1e-3 * abs(middle) + 1e-9
        if len(excesses):
            self._pareto = fit_pareto(excesses, start, least)
        else:
            self._pareto = Pareto(start, 0.0, least)
        self._share = (1 + len(excesses)) / (count + 1)

    def p_of(self, score: float) -> float:
        """p-value of one score; as `p`, at a fraction of its cost."""
        if math.isnan(score):
            return math.nan
        score -= self._dust
        for atom, reach in self._atoms:
            if atom < score <= reach:
                score = atom
        pareto = self._pareto
        if pareto is None or score <= pareto.start:
            known = self.normal.data  # a view, quicker to look into than the array itself
            higher = len(known) - bisect_left(known, score)
            return (1.0 + higher) / (len(known) + 1.0)
        over = (score - pareto.start) / pareto.scale
        if pareto.shape < LIGHTEST:
            survival = math.exp(-over)
        else:
            survival = (1.0 + pareto.shape * over) ** (-1.0 / pareto.shape)
        return max(self._share * survival, SMALLEST_P)

    def p(self, scores: Array) -> Array:
        """p-values; NaN where the score is NaN, 1 when nothing normal is known."""
        count = len(self.normal)
        scores = scores - self._dust
        for atom, reach in self._atoms:
            scores = np.where((atom < scores) & (scores <= reach), atom, scores)
        higher = count - np.searchsorted(self.normal, scores, side="left")
        ranks = (1.0 + higher) / (count + 1.0)
        if self._pareto is not None:
            beyond = self._share * self._pareto.survival(scores)
            ranks = np.where(scores > self._pareto.start, beyond, ranks)
        result = np.clip(ranks, SMALLEST_P, 1.0)
        return np.where(np.isnan(scores), np.nan, result)


def _atoms_of(normal: Array) -> tuple[tuple[float, float], ...]:
    """Scores that many of the normal ones (rising) are, and up to where a score is one of them.

    No further than half of the way to the next normal score that is another.
    """
    values, counts = np.unique(normal, return_counts=True)
    widths = _ATOM_WIDTH * np.abs(values)
    widths[:-1] = np.minimum(widths[:-1], np.diff(values) / 2.0)
    often = (counts >= _ATOM_SHARE * len(normal)) & (counts > 1) & (widths > 0)
    return tuple(zip(values[often].tolist(), (values + widths)[often].tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class PlaceTails:
    """Tails of many places at once, all float64.

    Attributes:
        start: Score at which the tail begins, ``(P,)``.
        scale: Scale of the exponential or Pareto tail, ``(P,)``.
        shape: One shape for all places: one place alone has too little to tell it, ``()``.
        levels: Scores at evenly spaced ranks below the tail, ``(P, Q)``.
    """

    start: Array
    scale: Array
    shape: Array
    levels: Array

    def surprise(self, scores: Array) -> Array:
        """``-log10 p`` of each place, at most that of `SMALLEST_P`, ``(B, P)``; 0 for NaN."""
        scores = _settled(scores)
        over = np.maximum(scores - self.start, 0.0) / self.scale
        shape = float(self.shape)
        tail = np.log1p(shape * over) / shape if shape >= LIGHTEST else over
        body = (scores[..., None] >= self.levels).mean(axis=-1) * (1.0 - TAIL_SHARE)
        below = -np.log10(np.maximum(1.0 - body, TAIL_SHARE))
        inside = scores <= self.start
        result = np.where(inside, below, -np.log10(TAIL_SHARE) + tail / np.log(10.0))
        return np.asarray(np.minimum(np.nan_to_num(result, nan=0.0), -np.log10(SMALLEST_P)))


def fit_place_tails(scores: Array, quantiles: int = 16) -> PlaceTails:
    """Fit the tails of all places from held-out scores ``(n, P)``; NaN where not present."""
    scores = _settled(scores)
    dead = ~np.isfinite(scores).any(axis=0)
    known = np.where(dead, 0.0, scores)
    start = np.nanquantile(known, 1.0 - TAIL_SHARE, axis=0)
    grid = np.arange(quantiles) / quantiles * (1.0 - TAIL_SHARE)
    levels = np.nanquantile(known, grid, axis=0).T
    middle = np.nanmedian(known, axis=0)
    least = 0.05 * (start - middle) + 1e-3 * np.abs(middle) + LEAST_SCALE
    tails = [_tail_of(known[:, place], start[place], least[place]) for place in range(len(start))]
    shape = float(np.median([t.shape for t in tails]))
    means = np.array([t.scale / (1.0 - t.shape) for t in tails])
    scale = np.maximum(means * (1.0 - shape), least)
    return PlaceTails(start, scale, np.asarray(shape), np.ascontiguousarray(levels))


def _tail_of(scores: Array, start: float, least: float) -> Pareto:
    excesses = np.sort(scores[scores > start]) - start
    if not len(excesses):
        return Pareto(start, 0.0, least)
    return fit_pareto(excesses, start, least)


def _settled(scores: Array) -> Array:
    return np.asarray(np.round(scores, DECIMALS))
