"""How well classes were told: accuracy, precision, recall, confusion. numpy only.

Where a share would be one of nothing it is NaN.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.training.metrics import Floats, Ints, ratio


@dataclass(frozen=True, slots=True)
class Classified:
    """How well one of several classes was told.

    Attributes:
        classes: The classes, sorted.
        confusion: Count of each true class (row) told as each class (column), ``(k, k)``.
    """

    classes: tuple[Hashable, ...]
    confusion: Ints

    @property
    def accuracy(self) -> float:
        """Share told rightly."""
        return ratio(int(np.trace(self.confusion)), int(self.confusion.sum()))

    @property
    def precision(self) -> Floats:
        """Per class: share of what was told as it that is it; NaN when never told, ``(k,)``."""
        return _shares(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def recall(self) -> Floats:
        """Per class: share of it that was told as it; NaN when there is none, ``(k,)``."""
        return _shares(np.diag(self.confusion), self.confusion.sum(axis=1))

    @property
    def f1(self) -> Floats:
        """Per class: harmonic mean of both; NaN when it neither is there nor was told, ``(k,)``."""
        either = self.confusion.sum(axis=0) + self.confusion.sum(axis=1)
        return _shares(2 * np.diag(self.confusion), either)

    @property
    def macro_precision(self) -> float:
        """Mean over the classes there are; one that is there and never told counts as 0."""
        return self._macro(self.precision)

    @property
    def macro_recall(self) -> float:
        """Mean over the classes there are."""
        return self._macro(self.recall)

    @property
    def macro_f1(self) -> float:
        """Mean over the classes there are."""
        return self._macro(self.f1)

    def _macro(self, values: Floats) -> float:
        there = self.confusion.sum(axis=1) > 0
        return float(np.nan_to_num(values[there]).mean()) if there.any() else float("nan")


def classified(truth: Sequence[Hashable], told: Sequence[Hashable]) -> Classified:
    """Confusion of single-label classification.

    Args:
        truth: True class of each, ``(n,)``.
        told: Class as told, ``(n,)``.

    Raises:
        ValueError: The lengths differ.
    """
    classes = tuple(sorted({*truth, *told}, key=str))
    place = {name: at for at, name in enumerate(classes)}
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    for true, said in zip(truth, told, strict=True):
        confusion[place[true], place[said]] += 1
    return Classified(classes, confusion)


def mutual_information(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """How much of what two groupings tell they share, 0 to 1; 0 where either tells nothing.

    Mutual information over the mean of both entropies (Strehl and Ghosh 2002, "Cluster
    Ensembles", with the arithmetic mean as it is usual today).

    Args:
        one: Group of each sample, ``(n,)``.
        other: The same by another grouping.
    """
    _, rows = np.unique(np.array([*map(str, one)]), return_inverse=True)
    _, columns = np.unique(np.array([*map(str, other)]), return_inverse=True)
    joint = np.zeros((rows.max(initial=0) + 1, columns.max(initial=0) + 1))
    np.add.at(joint, (rows, columns), 1.0 / max(1, len(rows)))
    parts = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0))
    mean = sum(parts) / 2
    return max(0.0, float((sum(parts) - _entropy(joint)) / mean)) if mean > 0 else 0.0


def _entropy(shares: Floats) -> float:
    there = shares[shares > 0]
    return float(-(there * np.log(there)).sum())


def _shares(part: Ints, whole: Ints) -> Floats:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
