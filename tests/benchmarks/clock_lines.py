"""Simulated lines between two clocks whose true offset is known at every moment.

A line delays probes by a base in each direction, by queues (exponential, each packet its own)
and by bursts that hold for several packets, and loses some. Clocks differ by a frequency that
walks at random. What is taken, and from where:

* 40 ppm between two machines: crystals are sold as +-20 to +-50 ppm each.
* Wander 2e-8 per square root of a second. Veitch, Ridoux and Korada ("Robust Synchronization
  of Absolute and Difference Clocks over Networks", 2009) saw the rate of PC clocks stay within
  1e-7 over all scales up to a day, which a random walk of 3e-9 reaches in 1000 s; ours is
  about six times as much, for a device that is warmed and cooled.
* A frequency that jumps by 20 ppm, or by 500 ppm for ten seconds: an NTP daemon that begins
  to slew gently, or as fast as RFC 5905 lets it.
* Delays of LAN, Wi-Fi and DSL are round numbers of what such lines usually show, not a
  recording of one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

START = 1_700_000_000_000_000_000
S = 1_000_000_000
MS = 1_000_000
US = 1_000
HOUR = 3600 * S
TURN_NS = 30 * US  # the responder's, between taking a probe and answering
_GRID_NS = 10 * MS


@dataclass(frozen=True)
class Event:
    """Something that happens to a clock.

    Attributes:
        at_s: When, seconds from the begin.
        node_ns: By how much node time steps.
        site_ns: By how much site time steps.
        asleep_s: How long the node is suspended; its time stands still, as a monotonic clock.
        slew_ppm: By how much the frequency of the offset changes.
        told: The node knows about it (a suspend that its operating system shows).
    """

    at_s: float
    node_ns: int = 0
    site_ns: int = 0
    asleep_s: float = 0.0
    slew_ppm: float = 0.0
    told: bool = False


@dataclass(frozen=True)
class Line:
    """A line and the clocks at its ends; see the module."""

    name: str
    there_ns: float
    back_ns: float
    queue_ns: float
    burst_ns: float = 0.0
    loss: float = 0.02
    drift_ppm: float = 40.0
    wander: float = 2e-8
    events: tuple[Event, ...] = ()

    @property
    def best_ns(self) -> float:
        """Half the best round trip: nobody can bound the offset better."""
        return (self.there_ns + self.back_ns) / 2


LAN = Line("LAN", 80 * US, 80 * US, 20 * US, 500 * US)
WIFI = Line("busy Wi-Fi", 1.2 * MS, 1.2 * MS, 2 * MS, 30 * MS)
DSL = Line("DSL, 5 ms down, 20 ms up", 20 * MS, 5 * MS, 3 * MS, 60 * MS)
ONE_SIDED = Line("all delay one way", 20 * MS, 20 * US, 500 * US)


def _with(line: Line, name: str, *events: Event) -> Line:
    return replace(line, name=f"{line.name}, {name}", events=events)


LINES = (
    LAN,
    WIFI,
    DSL,
    ONE_SIDED,
    _with(LAN, "site +1 h", Event(200, site_ns=HOUR)),
    _with(WIFI, "node -1 h", Event(200, node_ns=-HOUR)),
    _with(WIFI, "node +1 h", Event(200, node_ns=HOUR)),
    _with(LAN, "site -3 ms, +3 ms", Event(200, site_ns=-3 * MS), Event(400, site_ns=3 * MS)),
    _with(WIFI, "node +3 ms, -3 ms", Event(200, node_ns=3 * MS), Event(400, node_ns=-3 * MS)),
    _with(WIFI, "site +2 ms, -2 ms", Event(200, site_ns=2 * MS), Event(400, site_ns=-2 * MS)),
    _with(DSL, "site -6 ms", Event(200, site_ns=-6 * MS)),
    _with(LAN, "NTP slews by 20 ppm", Event(200, slew_ppm=20), Event(400, slew_ppm=-20)),
    _with(ONE_SIDED, "NTP slews by 20 ppm", Event(200, slew_ppm=20), Event(400, slew_ppm=-20)),
    _with(LAN, "NTP slews by 500 ppm", Event(200, slew_ppm=500), Event(210, slew_ppm=-500)),
    _with(LAN, "node time stands still for 5 min", Event(200, asleep_s=300)),
    _with(
        WIFI, "suspend, node time off by 0.4 s", Event(200, -int(0.4 * S), asleep_s=300, told=True)
    ),
)


class Clocks:
    """Both clocks of a line over true time, which is counted from 0 in nanoseconds.

    Args:
        line: Drift, wander and events.
        seconds: How long both run, the time asleep included.
        rng: Where the wander comes from.
    """

    def __init__(self, line: Line, seconds: float, rng: np.random.Generator) -> None:
        self._at = np.arange(0.0, seconds * S + 10 * S, _GRID_NS)
        walk = np.cumsum(rng.normal(0, line.wander * (_GRID_NS / S) ** 0.5, len(self._at)))
        rate = line.drift_ppm * 1e-6 + walk
        for event in line.events:
            rate[self._at >= event.at_s * S] += event.slew_ppm * 1e-6
        self._behind = np.concatenate(([0.0], np.cumsum(rate * _GRID_NS)))[:-1]
        self._events = line.events

    def node_ns(self, at: Array) -> npt.NDArray[np.int64]:
        """What the node's clock shows."""
        shown = np.asarray(at) - np.interp(at, self._at, self._behind)
        for event in self._events:
            since = np.asarray(at) - event.at_s * S
            asleep = event.asleep_s * S
            shown = shown - (np.clip(since, 0, asleep) if not event.told else 0)
            shown = shown + np.where(since >= asleep, event.node_ns, 0)
        return START + np.round(shown).astype(np.int64)

    def site_ns(self, at: Array) -> npt.NDArray[np.int64]:
        """What the site's clock shows."""
        shown = np.asarray(at, np.float64) + 3.7 * S
        for event in self._events:
            shown = shown + np.where(np.asarray(at) >= event.at_s * S, event.site_ns, 0)
        return START + np.round(shown).astype(np.int64)

    def awake(self, at: Array) -> npt.NDArray[np.bool_]:
        """Whether the node is not suspended."""
        found = np.ones(np.shape(at), np.bool_)
        for event in self._events:
            since = np.asarray(at) - event.at_s * S
            found &= (since < 0) | (since >= event.asleep_s * S) | (event.asleep_s == 0)
        return found


class Delays:
    """Delays of one probe after the other.

    Args:
        line: The line.
        rng: Where queues come from.
    """

    def __init__(self, line: Line, rng: np.random.Generator) -> None:
        self._line = line
        self._rng = rng
        self._held = 0

    def next(self) -> tuple[float, float] | None:
        """Nanoseconds there and back; None when the probe or its answer is lost."""
        rng, line = self._rng, self._line
        self._held = int(rng.integers(1, 20)) if rng.random() < 0.01 else max(0, self._held - 1)
        burst = line.burst_ns if self._held else 0.0
        there, back = (
            base + rng.exponential(line.queue_ns) + rng.exponential(burst)
            for base in (line.there_ns, line.back_ns)
        )
        return None if rng.random() < line.loss else (there, back)
