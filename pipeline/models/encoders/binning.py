"""A window's time axis cut into a fixed number of steps, whatever its length and rate."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", np.float32, np.float64)


def bin_means(values: npt.NDArray[Number], steps: int) -> npt.NDArray[Number]:
    """Mean of what is finite in each step: ``(T, K)`` to ``(steps, K)``, NaN where nothing is.

    Step ``i`` covers rows from ``floor(i T / steps)`` to ``floor((i + 1) T / steps)``, and at
    least one row: with fewer rows than steps, rows repeat.
    """
    starts = np.arange(steps) * len(values) // steps  # reduceat takes one row where two are equal
    seen = np.isfinite(values)
    count = np.add.reduceat(seen, starts, axis=0, dtype=values.dtype)
    total = np.add.reduceat(np.where(seen, values, 0), starts, axis=0)
    means = np.full_like(total, np.nan)
    return np.divide(total, count, out=means, where=count > 0)
