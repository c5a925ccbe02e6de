"""How far site time is from node time, from four-timestamp exchanges. No socket, no clock.

An exchange gives ``t1`` (asked, node), ``t2`` (received, site), ``t3`` (answered, site) and
``t4`` (heard, node). With ``offset = site - node``::

    forward  = t2 - t1 = offset + delay there
    backward = t4 - t3 = delay back - offset

Delays are never shorter than the line allows, and queues only add, in each direction on its
own. So the lower edge of *forward* and the lower edge of *backward* over a window carry the
offset, which needs one good packet in each direction, not one exchange that was good both
ways. Drift tilts both edges oppositely; it is fitted by least squares through the lowest
points of short stretches, weighted by how near they are to the edge, and taken out first::

    offset      = (lowest forward - lowest backward) / 2
    uncertainty = (lowest forward + lowest backward) / 2 + residual of the edge + drift unknown

The first part of the uncertainty is half the best round trip: whatever the asymmetry of the
line, the truth cannot lie further off.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WINDOW_NS = 60_000_000_000
RECENT_NS = 20_000_000_000
_STRETCHES = 12
_MAX_DRIFT = 500e-6
_WANDER = 0.05e-6  # frequency of a clock moves by about this within a window
_UNKNOWN_DRIFT = 100e-6
_DRIFT_AFTER_NS = 3e9
_SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """Where site time is, seen from this node.

    Attributes:
        offset_ns: ``site_ns = node_ns + offset_ns`` at `measured_ns`.
        uncertainty_ns: The true offset lies within plus or minus this.
        drift_ppm: How fast the offset grows, nanoseconds per millisecond of node time.
        measured_ns: Node time of the estimate.
        source: ``udp``, ``zmq`` or ``same`` (one machine, one clock).
    """

    offset_ns: int
    uncertainty_ns: int
    drift_ppm: float
    measured_ns: int
    source: str

    def at(self, node_ns: int) -> ClockEstimate:
        """The estimate carried on to another node time, a little less sure."""
        age_ns = node_ns - self.measured_ns
        grown = abs(age_ns) * (_WANDER + abs(self.drift_ppm) * 1e-8)
        return ClockEstimate(
            self.offset_ns + round(age_ns * self.drift_ppm * 1e-6),
            self.uncertainty_ns + round(grown),
            self.drift_ppm,
            node_ns,
            self.source,
        )


class ClockEstimator:
    """Takes exchanges, gives estimates; see the module.

    Args:
        source: Name of the way the exchanges went.
        window_ns: How long exchanges count for the drift.
        recent_ns: How long they count for the offset.
    """

    def __init__(self, source: str, window_ns: int = WINDOW_NS, recent_ns: int = RECENT_NS) -> None:
        self._source = source
        self._window_ns = window_ns
        self._recent_ns = recent_ns
        self._exchanges: deque[tuple[int, int, int]] = deque(maxlen=4096)

    def add(self, t1: int, t2: int, t3: int, t4: int) -> bool:
        """Take in an exchange, times in nanoseconds; False when it cannot be true."""
        forward, backward = t2 - t1, t4 - t3
        if t4 < t1 or t3 < t2 or forward + backward < 0:
            return False
        if self._exchanges and t4 < self._exchanges[-1][0]:
            return False
        self._exchanges.append((t4, forward, backward))
        while self._exchanges[0][0] < t4 - self._window_ns:
            self._exchanges.popleft()
        return True

    def clear(self) -> None:
        """Forget all: the other side is another one now."""
        self._exchanges.clear()

    @property
    def newest_ns(self) -> int | None:
        """Node time of the newest exchange."""
        return self._exchanges[-1][0] if self._exchanges else None

    def estimate(self) -> ClockEstimate | None:
        """The offset at the newest exchange; None before the first."""
        if not self._exchanges:
            return None
        now, origin_f, origin_b = self._exchanges[-1]
        table = np.array(self._exchanges, np.int64) - np.array((now, origin_f, origin_b))
        age, forward, backward = (table[:, i].astype(np.float64) for i in range(3))
        drift, drift_error = _drift(age, forward, backward)
        recent = age >= -self._recent_ns
        edge_f = _edge(forward[recent] - drift * age[recent])
        edge_b = _edge(backward[recent] + drift * age[recent])
        round_trip = edge_f[0] + edge_b[0] + origin_f + origin_b
        span = float(-age[recent][0])
        return ClockEstimate(
            round((edge_f[0] - edge_b[0]) / 2 + (origin_f - origin_b) / 2),
            round(
                max(round_trip, 0) / 2
                + (edge_f[1] + edge_b[1]) / 2
                + (drift_error + _WANDER) * span / 2
            )
            + 1,
            drift * 1e6,
            now,
            self._source,
        )


def _edge(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Lower edge of noisy delays, and how sharp it is: the step to the next lowest."""
    if len(values) < 3:
        return float(values.min()), 0.0
    lowest = np.partition(values, 2)[:3]
    return float(lowest[0]), float(lowest[2] - lowest[0]) / 2


def _drift(
    age: npt.NDArray[np.float64],
    forward: npt.NDArray[np.float64],
    backward: npt.NDArray[np.float64],
) -> tuple[float, float]:
    """Drift of the offset and how far it may be off, nanoseconds per nanosecond."""
    if len(age) < 2 * _STRETCHES or age[0] > -_DRIFT_AFTER_NS:
        return 0.0, _UNKNOWN_DRIFT
    slope_f, error_f = _edge_slope(age, forward)
    slope_b, error_b = _edge_slope(age, backward)
    weight_f, weight_b = 1 / error_f**2, 1 / error_b**2
    drift = (slope_f * weight_f - slope_b * weight_b) / (weight_f + weight_b)
    error = _SIGMAS * (weight_f + weight_b) ** -0.5
    return float(np.clip(drift, -_MAX_DRIFT, _MAX_DRIFT)), float(error)


def _edge_slope(
    age: npt.NDArray[np.float64], delay: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Slope of the lower edge and its standard error.

    A line through the lowest point of each stretch of time, fitted again and again with less
    weight on points above it, since queues only add.
    """
    bounds = np.searchsorted(age, np.linspace(age[0], 0.0, _STRETCHES + 1)[1:-1])
    lowest = [p[np.argmin(delay[p])] for p in np.split(np.arange(len(age)), bounds) if len(p)]
    x, y = age[lowest], delay[lowest]
    weight = np.ones(len(x))
    slope = 0.0
    scale = 1.0
    for _ in range(6):
        mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
        spread = float(np.sum(weight * (x - mean_x) ** 2))
        if spread <= 0:
            return 0.0, _UNKNOWN_DRIFT
        slope = float(np.sum(weight * (x - mean_x) * (y - mean_y)) / spread)
        residual = y - mean_y - slope * (x - mean_x)
        above = residual - residual.min()
        scale = max(float(np.median(above)), 100.0)
        weight = 1 / (1 + (above / scale) ** 2)
    return slope, scale / float(np.sqrt(np.sum(weight * (x - np.average(x, weights=weight)) ** 2)))
