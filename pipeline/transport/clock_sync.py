"""How far site time is from node time, from four-timestamp exchanges. No socket, no clock.

An exchange gives ``t1`` (asked, node), ``t2`` (received, site), ``t3`` (answered, site) and
``t4`` (heard, node). No packet arrives before it was sent, so each exchange says two things
about ``offset = site - node`` that are true whatever the line did::

    offset <= t2 - t1        (the delay there is not negative)
    offset >= t3 - t4        (nor is the delay back)

Carried on to now by the drift, and widened by how far the drift may be off times their age,
all of them hold at once (the intersection of Marzullo and Owicki, "Maintaining the Time in a
Distributed System", 1983). The bound needs one good packet in each direction, not one exchange
that was good both ways, and it comes down to half the best round trip: the physical limit,
as the whole delay may be on one side. Two widenings are used:

* `CREEP_PPM` and the error of the drift give the bound. 15 ppm is what RFC 5905 (PHI) allows a
  clock to go astray unseen; it covers a clock that is warmed, or slewed gently.
* What the drift is likely off, a third of what it may be, gives the best guess: the middle of
  what is left.

The drift is fitted by least squares through the lowest delays of short stretches, in each
direction, weighted by how near they are to the edge. Its prior is 0 within `MOST_PPM`, the most
that RFC 5905 lets a clock be off (MAXFREQ); before there is a fit the bound allows for all of
that, the best guess for what two crystals differ by, `CRYSTAL_PPM`. When the last seconds alone
tell of another drift (a clock is being slewed), what came before them is forgotten.

When nothing is left of the intersection, a clock stepped: that is proof. When an exchange
undercuts the edge of its direction by much more than its neighbours lie apart, a clock stepped
by less than the round trip, or the line got faster: that is doubt. Either way all exchanges
before this one are forgotten at once, and counted in `ClockEstimator.forgotten`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

WINDOW_NS = 60_000_000_000
CREEP_PPM = 15.0
CRYSTAL_PPM = 100.0
MOST_PPM = 500.0
DOUBT_NS = 1_500_000_000
"""How far off an estimate may be once it is known that a clock may have moved: a machine that
slept is set by a battery clock, which counts whole seconds."""

_MOST = 2048
_STRETCHES = 12
_WANDER_PPM = 1.0  # the drift moves by less than this within a window
_REFIT_NS = 1_000_000_000
_RECENT_NS = 8_000_000_000  # the last seconds that may tell of another drift
_READING_NS = 1_000  # a clock is read with no better resolution than this
_EDGE = 10  # lowest delays that say how sharp an edge is
_UNDERCUT = 4.0  # how many times as far apart as those are a delay must lie below them
_KNOWN_EDGE = 32  # exchanges from which an edge is known
_SHARP_NS = 20_000.0  # and this much besides, as no edge is sharper

Array: TypeAlias = npt.NDArray[np.float64]
Why: TypeAlias = Literal["step", "doubt", "slew", "suspend", "restart"]


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """Where site time is, seen from this node.

    Attributes:
        offset_ns: ``site_ns = node_ns + offset_ns`` at `measured_ns`.
        uncertainty_ns: The true offset lies within plus or minus this.
        drift_ppm: How fast the offset grows, nanoseconds per millisecond of node time.
        drift_error_ppm: How fast the uncertainty grows.
        measured_ns: Node time of the estimate.
        source: ``udp``, ``zmq`` or ``same`` (one machine, one clock).
    """

    offset_ns: int
    uncertainty_ns: int
    drift_ppm: float
    drift_error_ppm: float
    measured_ns: int
    source: str

    def at(self, node_ns: int) -> ClockEstimate:
        """The estimate carried on to another node time, a little less sure."""
        age_ns = node_ns - self.measured_ns
        return replace(
            self,
            offset_ns=self.offset_ns + round(age_ns * self.drift_ppm * 1e-6),
            uncertainty_ns=self.uncertainty_ns + round(abs(age_ns) * self.drift_error_ppm * 1e-6),
            measured_ns=node_ns,
        )

    def doubted(self, by_ns: int) -> ClockEstimate:
        """The estimate after something that may have moved a clock by so much."""
        return replace(self, uncertainty_ns=self.uncertainty_ns + by_ns)


class ClockEstimator:
    """Takes exchanges, gives estimates; see the module.

    Args:
        source: Name of the way the exchanges went.
        window_ns: How long exchanges count.
    """

    def __init__(self, source: str, window_ns: int = WINDOW_NS) -> None:
        self._source = source
        self._window_ns = window_ns
        self._table = np.empty((_MOST, 3), np.int64)
        self._begin = self._end = 0
        self._drift, self._drift_error = 0.0, MOST_PPM * 1e-6
        self._fitted_ns: int | None = None
        self.forgotten: Counter[Why] = Counter()

    def add(self, t1: int, t2: int, t3: int, t4: int) -> bool:
        """Take in an exchange, times in nanoseconds; False when it cannot be true."""
        forward, backward = t2 - t1, t4 - t3
        if not 0 <= t4 - t1 <= self._window_ns or t3 < t2 or forward + backward < 0:
            return False
        why = self._contradiction(t4, forward, backward)
        if why is not None:
            self.forget(why)
        if self._end == _MOST:
            self._make_room()
        self._table[self._end] = t4, forward, backward
        self._end += 1
        times = self._table[self._begin : self._end, 0]
        self._begin += int(np.searchsorted(times, t4 - self._window_ns))
        self._refit(t4)
        return True

    def forget(self, why: Why) -> None:
        """Forget all that was heard: it may not be true any more."""
        self.forgotten[why] += 1
        self._begin = self._end = 0
        self._fitted_ns = None
        self._drift, self._drift_error = 0.0, MOST_PPM * 1e-6

    @property
    def newest_ns(self) -> int | None:
        """Node time of the newest exchange."""
        return int(self._table[self._end - 1, 0]) if self._end > self._begin else None

    def estimate(self) -> ClockEstimate | None:
        """The offset at the newest exchange; None before the first."""
        if self._end == self._begin:
            return None
        now, forward, backward = self._table[self._end - 1].tolist()
        low, high = self._limits(now, self._likely)
        low_sure, high_sure = self._limits(now, self._growth)
        middle = min(max((low + high) / 2, low_sure), high_sure)
        return ClockEstimate(
            round(middle) + (forward - backward) // 2,
            round(max(high_sure - middle, middle - low_sure)) + _READING_NS,
            self._drift * 1e6,
            self._growth * 1e6,
            now,
            self._source,
        )

    @property
    def _likely(self) -> float:
        """How far off the drift likely is, where `_drift_error` is how far it may be."""
        return min(self._drift_error / 3, CRYSTAL_PPM * 1e-6)

    @property
    def _growth(self) -> float:
        return self._drift_error + CREEP_PPM * 1e-6

    def _limits(self, now: int, growth: float) -> tuple[float, float]:
        """What the offset may be `now`, less half of the newest exchange's difference."""
        age, forward, backward = self._since(now)
        high = float(np.min(forward + (self._drift + growth) * age))
        low = float(np.max(-backward + (self._drift - growth) * age))
        return low, high

    def _since(self, now: int) -> tuple[Array, Array, Array]:
        """Ages, and delays with the newest exchange's middle taken for an offset of 0."""
        rows = self._table[self._begin : self._end]
        _, newest_f, newest_b = self._table[self._end - 1].tolist()
        middle = (newest_f - newest_b) // 2
        table = np.stack((now - rows[:, 0], rows[:, 1] - middle, rows[:, 2] + middle))
        age, forward, backward = table.astype(np.float64)
        return age, forward, backward

    def _contradiction(self, now: int, forward: int, backward: int) -> Why | None:
        """Whether an exchange cannot, or hardly can, be true together with those before."""
        if self._end == self._begin:
            return None
        if now < self._table[self._end - 1, 0]:
            return "step"
        _, newest_f, newest_b = self._table[self._end - 1].tolist()
        middle = (newest_f - newest_b) // 2
        low, high = self._limits(now, self._growth)
        if forward - middle < low - _READING_NS or -(backward + middle) > high + _READING_NS:
            return "step"
        if self._end - self._begin < _KNOWN_EDGE:
            return None
        age, before_f, before_b = self._since(now)
        under_f = _undercut(forward - middle, before_f + (self._drift + self._likely) * age)
        under_b = _undercut(backward + middle, before_b - (self._drift - self._likely) * age)
        return "doubt" if under_f or under_b else None

    def _refit(self, now: int) -> None:
        """Fit the drift again, over the last seconds alone if those tell of another one."""
        if self._fitted_ns is not None and now - self._fitted_ns < _REFIT_NS:
            return
        if self._end - self._begin < 2 * _STRETCHES:
            return
        self._fitted_ns = now
        age, forward, backward = self._since(now)
        self._drift, self._drift_error = _drift(-age, forward, backward)
        recent = age <= _RECENT_NS
        if not 2 * _STRETCHES <= np.count_nonzero(recent) < len(age) // 2:
            return
        drift, error = _drift(-age[recent], forward[recent], backward[recent])
        if abs(drift - self._drift) > error + self._drift_error:
            self.forgotten["slew"] += 1
            newest = age <= _RECENT_NS / 2  # half of what told of it may be older than it
            self._begin = self._end - int(np.count_nonzero(newest))
            self._drift, self._drift_error = _drift(-age[newest], forward[newest], backward[newest])

    def _make_room(self) -> None:
        """Move what counts to the begin of the table, the older half aside if it is full."""
        keep = self._table[max(self._begin, _MOST // 2) : self._end].copy()
        self._table[: len(keep)] = keep
        self._begin, self._end = 0, len(keep)


def _undercut(delay: float, before: Array) -> bool:
    """Whether a delay lies under the edge of those before by more than they are apart."""
    lowest = np.partition(before, _EDGE - 1)[:_EDGE]
    edge = float(lowest.min())
    return delay < edge - _UNDERCUT * (float(lowest.max()) - edge) - _SHARP_NS


def _drift(age: Array, forward: Array, backward: Array) -> tuple[float, float]:
    """Drift of the offset and how far it may be off, nanoseconds per nanosecond."""
    slope_f, error_f = _edge_slope(age, forward)
    slope_b, error_b = _edge_slope(age, backward)
    weight_f, weight_b, prior = 1 / error_f**2, 1 / error_b**2, (MOST_PPM * 1e-6) ** -2
    weight = weight_f + weight_b + prior
    drift = (slope_f * weight_f - slope_b * weight_b) / weight
    return float(drift), float(weight**-0.5) + _WANDER_PPM * 1e-6


def _edge_slope(age: Array, delay: Array) -> tuple[float, float]:
    """Slope of the lower edge, and how far it may be off.

    A line through the lowest point of each stretch of time, fitted again and again with less
    weight on points above it, since queues only add. The error is the standard error times
    what Student's distribution asks for at 99.9 %, as few points may carry all the weight.
    """
    bounds = np.searchsorted(age, np.linspace(age[0], 0.0, _STRETCHES + 1)[1:-1])
    lowest = [p[np.argmin(delay[p])] for p in np.split(np.arange(len(age)), bounds) if len(p)]
    x, y = age[lowest], delay[lowest]
    weight = np.ones(len(x))
    slope = error = 0.0
    for _ in range(6):
        total = float(weight.sum())
        off_x, off_y = x - weight @ x / total, y - weight @ y / total
        spread = float(weight @ off_x**2)
        if spread <= 0:
            return 0.0, MOST_PPM * 1e-6
        slope = float(weight @ (off_x * off_y)) / spread
        residual = off_y - slope * off_x
        above = residual - residual.min()
        scale = max(float(np.median(above)), 100.0)
        carrying = max(total**2 / float(weight @ weight) - 2, 1.0)
        error = (3.0 + 76.0 / carrying**2) * scale / spread**0.5
        weight = 1 / (1 + (above / scale) ** 2)
    return slope, error
