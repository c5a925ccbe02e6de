"""What is wrong and when: anomalies turned from settings into things that happen.

Anomaly *i* of a schedule depends on the seed and *i* alone, or, where the same are to come again
after so many, on what is left of *i*. In a schedule each may begin a little later than its turn:
X1, X2 and X3 wait for a moment with few people about, X4 for one with much going on, since a shift
that nobody could notice is no anomaly.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from pipeline.sources.synthetic.anomalies import Anomaly
from pipeline.sources.synthetic.chance import Chance
from pipeline.sources.synthetic.maker import Maker
from pipeline.sources.synthetic.settings import (
    AnomalySettings,
    Kind,
    ScheduleSettings,
    SiteSettings,
)
from pipeline.sources.synthetic.world import World

_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn of a schedule, before it is made; turns of one index are the same but for the time."""

    index: int
    kind: Kind
    at_s: float
    duration_s: float
    variant: str | None


class Plan:
    """All anomalies of one site.

    Args:
        settings: What was asked for.
        world: What else happens.
        maker: Makes each of them.
    """

    def __init__(self, settings: SiteSettings, world: World, maker: Maker) -> None:
        self._world = world
        self._maker = maker
        self._chance = Chance(settings.seed, "plan")
        self._listed: tuple[AnomalySettings, ...] = ()
        self._schedule: ScheduleSettings | None = None
        self._kinds = tuple(k for k in Kind if settings.possible(k))
        if isinstance(settings.anomalies, ScheduleSettings):
            self._schedule = settings.anomalies
            self._kinds = settings.anomalies.kinds or self._kinds
        elif settings.anomalies != "none":
            self._listed = settings.anomalies
        self._made: OrderedDict[int, Anomaly] = OrderedDict()

    @property
    def endless(self) -> bool:
        """Whether anomalies never stop."""
        return self._schedule is not None

    def between(self, from_s: float, to_s: float) -> list[Anomaly]:
        """Anomalies that overlap ``[from_s, to_s)``, in order of their turns."""
        made = [self._make(turn) for turn in self._turns(from_s, to_s)]
        return [a for a in made if a.end_s > from_s and a.start_s < to_s]

    def _turns(self, from_s: float, to_s: float) -> list[int]:
        if self._schedule is not None:
            first, every = self._schedule.begin_s, self._schedule.every_s
            low = math.floor((from_s - first) / every) - 1
            return list(range(max(low, 0), math.ceil((to_s - first) / every)))
        return [
            i
            for i, one in enumerate(self._listed)
            if one.at_s + one.duration_s > from_s and one.at_s < to_s
        ]

    def _make(self, index: int) -> Anomaly:
        found = self._made.get(index)
        if found is None:
            turn = self._turn(index)
            found = self._made[index] = self._maker.make(
                turn.kind, turn.at_s, turn.duration_s, turn.variant, turn.index
            )
            if len(self._made) > 64:
                self._made.popitem(last=False)
        return found

    def _turn(self, index: int) -> _Turn:
        if self._schedule is not None:
            return self._scheduled(index, self._schedule)
        one = self._listed[index]
        return _Turn(index, one.kind, one.at_s, one.duration_s, one.variant)

    def _scheduled(self, index: int, wanted: ScheduleSettings) -> _Turn:
        same = index % wanted.again_after if wanted.again_after else index
        kind = self._kinds[same % len(self._kinds)]
        rng = self._chance.at(same)
        longest = wanted.longest_s
        duration = wanted.duration_s or float(rng.uniform(min(4.0, longest), longest))
        turn_s = wanted.begin_s + index * wanted.every_s
        at = turn_s + float(rng.uniform(0.0, wanted.spread_s))
        if kind in {Kind.X1, Kind.X2, Kind.X3, Kind.X4}:
            at = self._moment(turn_s, wanted.spread_s, duration, busy=kind is Kind.X4)
        return _Turn(same, kind, at, duration, None)

    def _moment(self, turn_s: float, spread_s: float, duration_s: float, *, busy: bool) -> float:
        sign = -1.0 if busy else 1.0
        starts = turn_s + np.arange(0.0, spread_s + 1e-9, _LOOK_S)
        crowd = [sign * self._company(float(s), float(s) + duration_s) for s in starts]
        return float(starts[int(np.argmin(crowd))])

    def _company(self, from_s: float, to_s: float) -> float:
        total = 0.0
        for visit in self._world.visits.slots.between(from_s, to_s):
            begin, end = visit.present
            total += max(min(end, to_s) - max(begin, from_s), 0.0)
        return total
