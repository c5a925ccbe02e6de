"""Figures over rows, at limits that come from what was learnt; no point adjustment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.training.metrics import Bools, Floats, at_threshold, auroc, vus_pr

VUS_BUFFER = 20  # rows
_NAME = 34


@dataclass(frozen=True, slots=True)
class Figures:
    """How well scores tell anomalous rows from normal ones.

    Attributes:
        auroc: Area under the ROC curve.
        vus_pr: Volume under the range-based precision-recall surface.
        f1: At the limit.
        far: Share of normal rows over the limit (false-alarm rate).
    """

    auroc: float
    vus_pr: float
    f1: float
    far: float

    def cells(self) -> list[str]:
        """As the columns of `HEAD`."""
        return [_two(value) for value in (self.auroc, self.vus_pr, self.f1, self.far)]


HEAD = ("AUROC", "VUS-PR", "F1", "FAR")


def figures_of(truth: Bools, levels: Floats, limit: float) -> Figures:
    """Figures of one score.

    Args:
        truth: Which rows are anomalous, ``(n,)``.
        levels: Score of each, ``(n,)``.
        limit: From which on a row is called anomalous; never taken from `levels`.
    """
    finite = np.nan_to_num(levels, posinf=1e9)
    found = at_threshold(truth, finite, limit)
    hits, wrong = found.true_positives, found.false_positives
    normal = int((~truth).sum())
    return Figures(
        auroc(truth, finite),
        vus_pr(truth, finite, VUS_BUFFER),
        2 * hits / max(1, hits + wrong + int(truth.sum())),
        wrong / normal if normal else math.nan,
    )


def mean_of(each: Sequence[Figures]) -> Figures:
    """Mean of several."""
    columns = [(f.auroc, f.vus_pr, f.f1, f.far) for f in each]
    return Figures(*(float(value) for value in np.mean(columns, axis=0)))


def line(name: str, cells: Iterable[str]) -> str:
    """One line of a table."""
    return f"{name:{_NAME}}" + "".join(f"{cell:>9}" for cell in cells)


def _two(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}".removeprefix("0")
