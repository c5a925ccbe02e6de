"""What the scenes of a fusion node cost it, in seconds of its time.

Costs are forgotten over `MEMORY_NS`. A scene's *demand* is how much of the node's time it needs to
be watched in real time: what its arrivals cost per second of the scene, and what its windows cost
by how far they are apart. More than 1 for all scenes together is more than the node has. It says
nothing of how much is done: a node that catches up works all the time and has time to spare.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MEMORY_NS = 10_000_000_000
IDLE_NS = 2 * MEMORY_NS
"""A scene of which no window was cut for so long needs nothing now."""


@dataclass(slots=True)
class _Cost:
    """One scene, all but `cut_ns` forgetting.

    Attributes:
        hop_s: Its hop as set, seconds.
        arrivals: Arrivals taken.
        arrivals_s: What they took.
        scored: Windows scored.
        scored_s: What they took.
        site_s: Time of the scene that went by, by the windows cut.
        cut_ns: When the last was cut.
        at_ns: Until when all that is forgotten. Only ratios count, so a scene of which nothing
            comes need not be touched.
    """

    hop_s: float
    arrivals: float = 0.0
    arrivals_s: float = 0.0
    scored: float = 0.0
    scored_s: float = 0.0
    site_s: float = 0.0
    cut_ns: int | None = None
    at_ns: int | None = None

    def forget(self, now_ns: int) -> None:
        since_ns, self.at_ns = (self.at_ns or now_ns), now_ns
        keep = math.exp(-max(now_ns - since_ns, 0) / MEMORY_NS)
        self.arrivals *= keep
        self.arrivals_s *= keep
        self.scored *= keep
        self.scored_s *= keep
        self.site_s *= keep


class Workload:
    """Costs of the scenes; see the module.

    Args:
        hops_s: Hop of each scene as set, seconds.
    """

    def __init__(self, hops_s: Mapping[str, float]) -> None:
        self._costs = {name: _Cost(hop_s) for name, hop_s in hops_s.items()}
        self._now_ns = 0

    def arrived(self, scenes: Iterable[str], seconds: float) -> None:
        """An arrival for these scenes was taken."""
        costs = [self._costs[name] for name in scenes]
        for cost in costs:
            cost.arrivals += 1
            cost.arrivals_s += seconds / len(costs)

    def turned(
        self,
        cut: Mapping[str, int],
        scored: Mapping[str, int],
        scoring_s: Mapping[str, float],
        rest_s: float,
        now_ns: int,
    ) -> None:
        """A turn of the loop is over.

        Args:
            cut: Windows that were cut in it, by scene.
            scored: How many of them were scored.
            scoring_s: What that took, by scene.
            rest_s: What the turn took beside arrivals and scores, which all windows scored share.
            now_ns: Node time.
        """
        self._now_ns = now_ns
        for name, count in cut.items():
            self._costs[name].forget(now_ns)
            self._costs[name].site_s += count * self._costs[name].hop_s
            self._costs[name].cut_ns = now_ns
        each_s = rest_s / max(sum(scored.values()), 1)
        for name, count in scored.items():
            self._costs[name].scored += count
            self._costs[name].scored_s += scoring_s.get(name, 0.0) + count * each_s

    def of_arrival(self, scenes: Iterable[str]) -> float | None:
        """What an arrival of some scenes costs with all that comes of it, seconds.

        Returns:
            None while nothing of them has come.
        """
        costs = [self._costs[name] for name in scenes if name in self._costs]
        arrivals = sum(cost.arrivals for cost in costs)
        spent_s = sum(cost.arrivals_s + cost.scored_s for cost in costs)
        return spent_s / arrivals if arrivals else None

    def demand(self, scene: str, times: int) -> float:
        """Share of the node's time that a scene needs when its hop is so many times as wide."""
        cost = self._costs[scene]
        if cost.cut_ns is None or self._now_ns - cost.cut_ns > IDLE_NS or not cost.site_s:
            return 0.0
        per_window = cost.scored_s / cost.scored if cost.scored else 0.0
        return cost.arrivals_s / cost.site_s + per_window / (cost.hop_s * times)
