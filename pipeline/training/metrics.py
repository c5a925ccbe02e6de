"""How well scores tell anomalous windows from normal ones. numpy only, no point adjustment.

A score is higher where something is more anomalous; equal scores are never put in an order
of luck: they are taken together. Where a figure has no meaning (nothing is anomalous, or
everything is), it is NaN, never a flattering number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Curve:
    """What each threshold gives, from the highest to the lowest.

    Attributes:
        thresholds: Distinct scores, falling, ``(t,)``.
        true: Anomalous windows at or over each, ``(t,)``.
        false: Normal windows at or over each, ``(t,)``.
        positives: Anomalous windows in all.
        negatives: Normal windows in all.
    """

    thresholds: Floats
    true: Ints
    false: Ints
    positives: int
    negatives: int

    @property
    def recall(self) -> Floats:
        """Share of the anomalous windows found, ``(t,)``."""
        return _share(self.true, self.positives)

    @property
    def fall_out(self) -> Floats:
        """Share of the normal windows hit (false-positive rate), ``(t,)``."""
        return _share(self.false, self.negatives)

    @property
    def precision(self) -> Floats:
        """Share of the windows hit that are anomalous, ``(t,)``."""
        return np.asarray(self.true / (self.true + self.false), np.float64)


@dataclass(frozen=True, slots=True)
class Binary:
    """Windows at one threshold; NaN where a share would be one of nothing."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def accuracy(self) -> float:
        """Share of all windows that are judged rightly."""
        right = self.true_positives + self.true_negatives
        return ratio(right, right + self.false_positives + self.false_negatives)

    @property
    def precision(self) -> float:
        """Share of the hits that are anomalous."""
        return ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the anomalous that are hit."""
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when nothing anomalous was hit."""
        wrong = self.false_positives + self.false_negatives
        return ratio(2 * self.true_positives, 2 * self.true_positives + wrong)


def curve(truth: npt.ArrayLike, scores: npt.ArrayLike) -> Curve:
    """Counts over and under each threshold.

    Args:
        truth: Whether each window is anomalous, ``(n,)``.
        scores: Score of each, ``(n,)``; no NaN.

    Raises:
        ValueError: The lengths differ, or a score is NaN.
    """
    positive, level = _checked(truth, scores)
    order = np.argsort(-level, kind="stable")
    ends = _last_of_ties(level[order])
    true = np.cumsum(positive[order])[ends].astype(np.int64)
    total = int(positive.sum())
    false = (ends + 1 - true).astype(np.int64)
    return Curve(level[order][ends], true, false, total, len(level) - total)


def auroc(truth: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve; a tie counts half (Mann-Whitney); NaN without both classes."""
    found = curve(truth, scores)
    if not found.positives or not found.negatives:
        return float("nan")
    rise = np.diff(found.fall_out, prepend=0.0)
    mean = found.recall - np.diff(found.recall, prepend=0.0) / 2
    return float((rise * mean).sum())


def partial_auroc(truth: npt.ArrayLike, scores: npt.ArrayLike, most: float) -> float:
    """Area under the ROC curve where few normal ones are hit, .5 by chance and 1 at best.

    McClish, 1989, *Analyzing a portion of the ROC curve*, Medical Decision Making 9(3): the area
    up to a false-positive rate, stretched from what chance gives to what is perfect.

    Args:
        truth: Whether each item is anomalous, ``(n,)``.
        scores: Score of each, ``(n,)``; no NaN.
        most: The highest false-positive rate, over 0 and at most 1.

    Returns:
        The figure; NaN without both classes, or where the rate allows not even one to be hit.
    """
    found = curve(truth, scores)
    if not found.positives or found.negatives * most < 1:
        return float("nan")
    false = np.concatenate([[0.0], found.fall_out])
    recall = np.concatenate([[0.0], found.recall])
    inside = false <= most
    x = np.append(false[inside], most)
    y = np.append(recall[inside], np.interp(most, false, recall))
    area = float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())
    chance = most**2 / 2
    return 0.5 * (1 + (area - chance) / (most - chance))


def average_precision(truth: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the precision-recall curve as average precision; NaN without positives.

    Each step of recall counts with the precision at its end, without interpolation, which
    would flatter (Davis and Goadrich, 2006). A random score gives the share of positives.
    """
    found = curve(truth, scores)
    if not found.positives:
        return float("nan")
    return float((np.diff(found.recall, prepend=0.0) * found.precision).sum())


def at_threshold(truth: npt.ArrayLike, scores: npt.ArrayLike, threshold: float) -> Binary:
    """Counts when every score at or over the threshold is a hit."""
    positive, level = _checked(truth, scores)
    hit = level >= threshold
    return Binary(
        int((hit & positive).sum()),
        int((hit & ~positive).sum()),
        int((~hit & positive).sum()),
        int((~hit & ~positive).sum()),
    )


def vus_pr(
    truth: npt.ArrayLike, scores: npt.ArrayLike, buffer: int, *, keep: npt.ArrayLike | None = None
) -> float:
    """Volume under the range-based precision-recall surface (VUS-PR).

    Paparrizos, Boniol, Palpanas, Tsay, Elmore and Franklin: Volume Under the Surface, PVLDB
    15(11), 2022, in the form of the authors' published code. For each buffer length ``l`` from
    0 to `buffer`, each run of anomalous windows is continued on both sides by ``l // 2``
    windows whose label falls as ``sqrt(1 - d / l)`` with the distance ``d``; near a label is
    then nearly as good as on it. At a threshold, with ``H`` anomalous windows and a soft label
    of ``B`` beside them among the hits, ``P`` anomalous windows in all,

    - precision is ``(H + B) / hits``;
    - recall is ``min(1, (H + B) / (P + B / 2))`` times the share of runs hit at all.

    The area is the sum of steps of recall by precision; the volume its mean over ``l``. Here
    every distinct score is a threshold; the authors' code takes 250 of them.

    Args:
        truth: Whether each window is anomalous, ``(n,)``, in order of time.
        scores: Score of each, ``(n,)``.
        buffer: Longest buffer, windows.
        keep: Windows that count, ``(n,)``; the others are as if they had never been scored.

    Raises:
        ValueError: The lengths differ, or a score is NaN.
    """
    positive, level = _checked(truth, scores)
    counted = np.ones(len(level), np.bool_) if keep is None else np.asarray(keep, np.bool_)
    ranges = [r for r in _runs(positive) if counted[r[0] : r[1] + 1].any()]
    if not ranges:
        return float("nan")
    order = np.argsort(-level, kind="stable")
    order = order[counted[order]]
    quiet = np.where(counted, level, -np.inf)
    areas = [_range_area(positive, quiet, order, ranges, length) for length in range(buffer + 1)]
    return float(np.mean(areas))


def _range_area(
    positive: Bools, level: Floats, order: Ints, ranges: Sequence[tuple[int, int]], length: int
) -> float:
    """Range-based area under precision and recall at one buffer length."""
    ends = _last_of_ties(level[order])
    beside = np.cumsum(_soft_labels(positive, ranges, length)[order])[ends]
    inside = np.cumsum(positive[order])[ends]
    total = int(positive[order].sum())
    highest = np.sort([level[a : b + 1].max() for a, b in _widened(ranges, length, len(level))])
    hit = len(highest) - np.searchsorted(highest, level[order][ends], side="left")
    recall = np.minimum(1.0, (inside + beside) / (total + beside / 2)) * (hit / len(highest))
    precision = (inside + beside) / (ends + 1)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def _soft_labels(positive: Bools, ranges: Sequence[tuple[int, int]], length: int) -> Floats:
    """What stands beside the runs, 0 within them, ``(n,)``."""
    beside = np.zeros(len(positive))
    steps = np.arange(1, length // 2 + 1)
    worth = np.sqrt(1 - steps / max(length, 1))
    for first, last in ranges:
        for at in (first - steps, last + steps):
            there = (at >= 0) & (at < len(positive))
            beside[at[there]] += worth[there]
    return np.where(positive, 0.0, np.minimum(beside, 1.0))


def _widened(ranges: Sequence[tuple[int, int]], length: int, count: int) -> list[tuple[int, int]]:
    """Runs with their buffers, joined where these overlap; both ends inclusive."""
    joined: list[tuple[int, int]] = []
    for first, last in ranges:
        low, high = max(0, first - length // 2), min(count - 1, last + length // 2)
        if joined and low <= joined[-1][1]:
            low = joined.pop()[0]
        joined.append((low, high))
    return joined


def _runs(positive: Bools) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.diff(np.concatenate([[0], positive.astype(np.int8), [0]]))
    first, after = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [(int(a), int(b) - 1) for a, b in zip(first, after, strict=True)]


def _checked(truth: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Bools, Floats]:
    positive, level = np.asarray(truth, np.bool_), np.asarray(scores, np.float64)
    if positive.ndim != 1 or positive.shape != level.shape:
        raise ValueError(f"truth has shape {positive.shape}, scores {level.shape}")
    if np.isnan(level).any():
        raise ValueError("a score is NaN")
    return positive, level


def _last_of_ties(falling: Floats) -> Ints:
    """Index of the last of each group of equal values."""
    return np.flatnonzero(np.diff(falling, append=np.nan) != 0).astype(np.int64)


def _share(part: Ints, whole: int) -> Floats:
    return np.asarray(part / whole if whole else np.full(len(part), np.nan), np.float64)


def ratio(part: int, whole: int) -> float:
    """A share; NaN of nothing."""
    return part / whole if whole else float("nan")
