"""How a cost grows with what is varied: a line, and how far it bends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.benchmarks.fleet_point import Cost


@dataclass(frozen=True, slots=True)
class Step:
    """What a fusion node took that was driven by hand.

    Attributes:
        total: Processor seconds of its thread, a second of its clock.
        stages: Those of each stage.
        windows_hz: Windows scored a second.
    """

    total: float
    stages: dict[str, float]
    windows_hz: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """Points of one sweep.

    Attributes:
        title: What is varied.
        unit: Of what is varied.
        points: What was varied, and the cost.
    """

    title: str
    unit: str
    points: list[tuple[int, Cost]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Line:
    """How a cost grows.

    Attributes:
        fixed: Processor seconds a second without any scene.
        each: And for each.
        bend: What one more costs in the upper half of the sweep over that in the lower half.
        unit: Cost of one at the largest point over that at the smallest.
    """

    fixed: float
    each: float
    bend: float
    unit: float


def line_of(counts: Sequence[int], costs: Sequence[float]) -> Line:
    """The line through points, and how far they bend from it.

    Args:
        counts: What was varied, at least three, ascending.
        costs: Processor seconds a second at each.
    """
    x, y = np.asarray(counts, float), np.asarray(costs, float)
    each, fixed = np.polyfit(x, y, 1, w=1 / np.sqrt(x))
    middle = int(np.argmin(np.abs(x - x[-1] / 2)))
    lower = (y[middle] - y[0]) / (x[middle] - x[0])
    upper = (y[-1] - y[middle]) / (x[-1] - x[middle])
    return Line(float(fixed), float(each), float(upper / lower), float(y[-1] / x[-1] / y[0] * x[0]))
