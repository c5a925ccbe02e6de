"""How sure a count is: exact intervals for rates, Wilson's for shares. numpy and math only."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

CONFIDENCE = 0.9
_Z = 1.6448536269514722  # of the two-sided 90 % interval
_STEPS = 80


def garwood(count: int) -> tuple[float, float]:
    """Exact central 90 % interval of a Poisson mean of which `count` were counted.

    Garwood, Fiducial limits for the Poisson distribution, Biometrika 28, 1936: the mean that
    would give as many or more with a chance of 5 %, and the one that would give as many or
    fewer. Of no events the lower end is 0 and the upper about 3.

    Raises:
        ValueError: The count is negative.
    """
    if count < 0:
        raise ValueError(f"a count of {count}")
    tail = (1 - CONFIDENCE) / 2
    most = count + 10 + 6 * math.sqrt(count + 1)
    low = _falls_to(1 - tail, lambda mean: at_most(count - 1, mean), most) if count else 0.0
    return low, _falls_to(tail, lambda mean: at_most(count, mean), most)


def at_most(count: int, mean: float) -> float:
    """Chance that a Poisson count of this mean is `count` or fewer, summed in logarithms."""
    if mean <= 0:
        return 1.0
    number = np.arange(count + 1)
    falls = np.cumsum(np.log(np.maximum(number, 1)))
    logs = number * math.log(mean) - mean - falls
    top = float(logs.max())
    return float(np.exp(logs - top).sum() * math.exp(top))


def wilson(part: int, whole: int) -> tuple[float, float]:
    """90 % interval of a share (Wilson, 1927); NaN of nothing."""
    if not whole:
        return float("nan"), float("nan")
    share, square = part / whole, _Z**2 / whole
    middle = (share + square / 2) / (1 + square)
    width = _Z / (1 + square) * math.sqrt(share * (1 - share) / whole + square / whole / 4)
    return max(0.0, middle - width), min(1.0, middle + width)


def _falls_to(wanted: float, falling: Callable[[float], float], most: float) -> float:
    """Where a falling function of 0 to `most` reaches a value, by halving."""
    low, high = 0.0, most
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > wanted else (low, middle)
    return (low + high) / 2
