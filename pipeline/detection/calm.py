"""Which windows are calm enough to learn from, known only once what follows them is known.

A window is *loud* when its height is at or over the threshold: an alarm, or a candidate for
one. Within the guard time before and after a loud window nothing is calm; the time after it
is drawn out while heights stay where a raised alarm would go on standing. What is left counts
when its height is below the calm level.

Scores are gathered in steps of time, aligned to the epoch. A step waits in quarantine until
the guard time after it is over, and is thrown away whole when something loud comes before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

STEP_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Levels:
    """Heights on the merged score, and the guard time.

    Attributes:
        loud: From here on it is an alarm or a candidate.
        standing: From here on a raised alarm goes on standing.
        calm: Below this a window may be learnt from.
        guard_ns: Nothing is calm this close to something loud.
    """

    loud: float
    standing: float
    calm: float
    guard_ns: int


class Sum(msgspec.Struct, array_like=True):
    """Scores of one detector, added up."""

    count: int = 0
    total: float = 0.0

    def add(self, count: int, total: float) -> None:
        """Add some more."""
        self.count += count
        self.total += total

    @property
    def mean(self) -> float:
        """Their mean; NaN of none."""
        return self.total / self.count if self.count else float("nan")


class Step(msgspec.Struct, array_like=True):
    """What a step of time gave, by detector; `number` counts steps from the epoch."""

    number: int
    sums: dict[str, Sum]


class CalmState(msgspec.Struct, array_like=True):
    """What a `Quarantine` remembers."""

    loud_ns: int | None = None
    waiting: list[Step] = []


class Quarantine:
    """Gathers the calm windows of one scene.

    Args:
        levels: What is calm.
        state: Where another one stopped.
    """

    def __init__(self, levels: Levels, state: CalmState | None = None) -> None:
        self._levels = levels
        self.state = state or CalmState()

    def take(self, end_ns: int, height: float, scores: Mapping[str, float]) -> list[Step]:
        """Take in the next window; the steps that turned out to be calm.

        Args:
            end_ns: End of the window, growing.
            height: Merged score, the highest that anybody gives it.
            scores: Score of each detector that may be learnt from.
        """
        passed = self._passed(end_ns)
        state = self.state
        if height >= self._levels.loud:
            state.loud_ns = end_ns
            state.waiting.clear()
        elif self._shadowed(end_ns):
            if height >= self._levels.standing:
                state.loud_ns = end_ns
        elif height < self._levels.calm:
            self._gather(end_ns // STEP_NS, scores)
        return passed

    def _shadowed(self, end_ns: int) -> bool:
        loud_ns = self.state.loud_ns
        return loud_ns is not None and end_ns - loud_ns <= self._levels.guard_ns

    def _passed(self, end_ns: int) -> list[Step]:
        last = (end_ns - self._levels.guard_ns) // STEP_NS  # ended before the guard time began
        passed = [step for step in self.state.waiting if step.number < last]
        self.state.waiting = self.state.waiting[len(passed) :]
        return passed

    def _gather(self, number: int, scores: Mapping[str, float]) -> None:
        waiting = self.state.waiting
        if not waiting or waiting[-1].number != number:
            waiting.append(Step(number, {}))
        for name, score in scores.items():
            waiting[-1].sums.setdefault(name, Sum()).add(1, score)
