"""Regular grids of points in time, hung on the Unix epoch.

Point *m* of a grid lies at ``m / rate`` seconds, rounded down to a nanosecond. Rates are
held in millihertz and the arithmetic is exact, so two engines never disagree on a point.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_SCALE = 10**12  # millihertz times nanoseconds
_KEPT = 64


class Grid:
    """Points of one rate.

    Args:
        rate_hz: Points a second; rounded to a millihertz.
    """

    def __init__(self, rate_hz: float) -> None:
        self._milli_hz = max(1, round(rate_hz * 1000))
        self.period_ns = _SCALE // self._milli_hz
        self._steps: dict[tuple[int, int], npt.NDArray[np.int64]] = {}

    def time_ns(self, index: int) -> int:
        """Time of point `index`, ns."""
        return index * _SCALE // self._milli_hz

    def nearest(self, time_ns: int) -> int:
        """Index of the point nearest to `time_ns`; halfway: the later one."""
        return (2 * time_ns * self._milli_hz + _SCALE) // (2 * _SCALE)

    def count(self, span_ns: int) -> int:
        """Points in a span, rounded, at least one."""
        return max(1, self.nearest(span_ns))

    def points(self, start_ns: int, count: int) -> npt.NDArray[np.int64]:
        """`count` points from the one nearest `start_ns` on, int64 ``(count,)`` ns.

        The first lies at most half a period before `start_ns`; with `count` points for a
        span none lies after the end of the span.
        """
        whole, rest = divmod(self.nearest(start_ns) * _SCALE, self._milli_hz)
        steps = self._steps.get((rest, count))
        if steps is None:
            steps = (np.arange(count, dtype=np.int64) * _SCALE + rest) // self._milli_hz
            if len(self._steps) < _KEPT:  # windows begin in few phases of the grid
                self._steps[rest, count] = steps
        return steps + whole

    def last_ns(self, start_ns: int, count: int) -> int:
        """The last of `points`."""
        return self.time_ns(self.nearest(start_ns) + count - 1)
