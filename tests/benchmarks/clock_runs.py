"""Estimators of the clock offset let loose on simulated lines."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.transport.clock_probe import FAST_PROBES, FAST_S, INTERVAL_S, PAIR
from pipeline.transport.clock_sync import DOUBT_NS, ClockEstimate, ClockEstimator
from tests.benchmarks.clock_lines import MS, TURN_NS, US, Clocks, Delays, Line, S

CHECK_NS = 20 * MS
PAIR_GAP_NS = 20 * US  # the second of a pair meets the same queues as the first
_LSL_EVERY_S, _LSL_PROBES, _LSL_GAP_S, _LSL_RTT_S, _LSL_LEAST = 2.0, 8, 0.064, 0.128, 6

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """One estimator on one line, looked at every `CHECK_NS` while the node is awake.

    Attributes:
        at_s: True time of each look, seconds ``(T,)``.
        error_ns: Estimate less truth ``(T,)``, NaN before the first estimate.
        bound_ns: What the estimator said it would be at most ``(T,)``.
        forgotten: Times it forgot what it had heard, by reason.
        first_s: When the first estimate was there.
    """

    at_s: Array
    error_ns: Array
    bound_ns: Array
    forgotten: Counter[str]
    first_s: float

    @property
    def covered(self) -> float:
        """Share of time in which the true offset lay within the bound."""
        known = ~np.isnan(self.error_ns)
        return float(np.mean(np.abs(self.error_ns[known]) <= self.bound_ns[known]))


class _Session:
    """Our estimator with our prober's timing, over true time."""

    def __init__(self, line: Line, seed: int, seconds: float) -> None:
        rng = np.random.default_rng(seed)
        self.clocks, self._delays = Clocks(line, seconds, rng), Delays(line, rng)
        self.estimator = ClockEstimator("udp")
        self.said: list[tuple[float, ClockEstimate]] = []
        self._told = [(e.at_s + e.asleep_s) * S for e in line.events if e.told]
        self._under_way: list[tuple[float, tuple[int, int, int, int]]] = []
        self._fast = FAST_PROBES

    def run(self, until: float) -> None:
        at = 0.0
        while at < until:
            self._hear(at)
            if self._told and at >= self._told[0]:
                self.estimator.forget("suspend")
                self.said.append((self._told.pop(0), self.said[-1][1].doubted(DOUBT_NS)))
                self._fast = FAST_PROBES
            if self.clocks.awake(np.float64(at)) and (found := self._delays.next()) is not None:
                for number in range(PAIR):
                    later = number * PAIR_GAP_NS
                    heapq.heappush(self._under_way, _exchange(self.clocks, at + later, *found))
            at += (FAST_S if self._fast > 1 else INTERVAL_S) * S
            self._fast = max(0, self._fast - 1)
        self._hear(until)

    def _hear(self, now: float) -> None:
        """Take in the answers that came until now."""
        while self._under_way and self._under_way[0][0] <= now:
            arrived, times = heapq.heappop(self._under_way)
            before = self.estimator.forgotten.total()
            self.estimator.add(*times)
            if (estimate := self.estimator.estimate()) is not None:
                self.said.append((arrived, estimate))
            if self.estimator.forgotten.total() > before:
                self._fast = FAST_PROBES


def run_ours(line: Line, seed: int, seconds: float = 600.0) -> Run:
    """Our estimator with our prober's timing."""
    session = _Session(line, seed, seconds)
    session.run(seconds * S)
    return _looked_at(session.clocks, seconds, session.said, session.estimator)


def _exchange(
    clocks: Clocks, at: float, there: float, back: float
) -> tuple[float, tuple[int, int, int, int]]:
    """When the answer arrives, and the four stamps."""
    moments = np.array((at, at + there, at + there + TURN_NS, at + there + TURN_NS + back))
    (t1, t4), (t2, t3) = clocks.node_ns(moments[[0, 3]]), clocks.site_ns(moments[1:3])
    return float(moments[3]), (int(t1), int(t2), int(t3), int(t4))


def _looked_at(
    clocks: Clocks,
    seconds: float,
    said: list[tuple[float, ClockEstimate]],
    estimator: ClockEstimator,
) -> Run:
    looks = np.arange(0.0, seconds * S, CHECK_NS)
    looks = looks[clocks.awake(looks)]
    said.sort(key=lambda item: item[0])
    which = np.searchsorted([when for when, _ in said], looks, "right") - 1
    node, truth = clocks.node_ns(looks), clocks.site_ns(looks) - clocks.node_ns(looks)
    error, bound = np.full(len(looks), np.nan), np.full(len(looks), np.nan)
    for index in np.flatnonzero(which >= 0):
        carried = said[which[index]][1].at(int(node[index]))
        error[index] = carried.offset_ns - truth[index]
        bound[index] = carried.uncertainty_ns
    return Run(looks / S, error, bound, Counter(estimator.forgotten), said[0][0] / S)


def run_lsl(line: Line, seed: int, seconds: float = 600.0) -> Run:
    """A clean-room model of LSL's estimator with its default timing.

    Every 2 s eight probes 64 ms apart; 640 ms later, when six were answered, the offset of the
    one with the shortest round trip holds until the next burst. Its bound is that round trip
    (liblsl, ``api_config.cpp`` and ``time_receiver.cpp``, defaults).
    """
    rng = np.random.default_rng(seed)
    clocks, delays = Clocks(line, seconds, rng), Delays(line, rng)
    said: list[tuple[float, float, float]] = []
    for begin in np.arange(0.0, seconds, _LSL_EVERY_S) * S:
        late = begin + (_LSL_RTT_S + _LSL_GAP_S * _LSL_PROBES) * S
        found = [
            _plain(clocks, at, *delay)
            for at in begin + np.arange(_LSL_PROBES) * _LSL_GAP_S * S
            if clocks.awake(np.float64(at)) and (delay := delays.next()) is not None
        ]
        heard = [(trip, offset) for trip, offset, arrived in found if arrived <= late]
        if len(heard) >= _LSL_LEAST:
            trip, offset = min(heard)
            said.append((late, offset, trip))
    looks = np.arange(0.0, seconds * S, CHECK_NS)
    looks = looks[clocks.awake(looks)]
    truth = clocks.site_ns(looks) - clocks.node_ns(looks)
    table = np.array([(np.nan, np.nan, np.nan), *said])
    which = np.searchsorted(table[1:, 0], looks, "right")
    return Run(looks / S, table[which, 1] - truth, table[which, 2], Counter(), said[0][0] / S)


def _plain(clocks: Clocks, at: float, there: float, back: float) -> tuple[float, float, float]:
    arrived, (t1, t2, t3, t4) = _exchange(clocks, at, there, back)
    return float((t4 - t1) - (t3 - t2)), float((t2 - t1) + (t3 - t4)) / 2, arrived
