"""The live rate of alarms beside the budget: what was raised, over the time that was watched.

An alarm is counted whether it was false or not: nobody has said yet which. So the figure is
an upper bound of the false alarms, and says most where anomalies are rarer than the budget.
Time in which nothing of the scene could be seen spends no budget and is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.detection.calibration import poisson_interval

Span = tuple[int, int]

SECOND_NS = 1_000_000_000
PERIODS_S = {"hour": 3600, "day": 86400, "week": 604800}
LONGEST_NS = max(PERIODS_S.values()) * SECOND_NS
MOST_SPANS = 512
"""Spans kept; a scene that comes and goes more often in a week forgets its oldest ones."""


class Watched:
    """When a scene was watched in the last week, as half-open spans of site time.

    Args:
        spans: Spans from `spans` of before.
    """

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans = [(start, end) for start, end in spans]

    @property
    def spans(self) -> list[Span]:
        """The spans, growing, apart from each other."""
        return list(self._spans)

    @property
    def until_ns(self) -> int:
        """End of the last span; 0 without any."""
        return self._spans[-1][1] if self._spans else 0

    def add(self, start_ns: int, end_ns: int) -> None:
        """Take in a further stretch; what lies before the end of the last is known already."""
        start_ns = max(start_ns, self.until_ns)
        if end_ns <= start_ns:
            return
        if self._spans and start_ns == self.until_ns:
            start_ns = self._spans.pop()[0]
        self._spans.append((start_ns, end_ns))
        while self._spans[0][1] <= end_ns - LONGEST_NS or len(self._spans) > MOST_SPANS:
            del self._spans[0]

    def seconds(self, from_ns: int, to_ns: int) -> float:
        """How much of ``[from_ns, to_ns)`` was watched."""
        parts = (min(end, to_ns) - max(start, from_ns) for start, end in self._spans)
        return sum(max(0, part) for part in parts) / SECOND_NS


@dataclass(frozen=True, slots=True)
class LiveRate:
    """Alarms of one period beside the budget.

    Attributes:
        period: ``hour``, ``day`` or ``week``, up to now.
        watched_s: Time watched in it, seconds.
        raised: Alarms raised in it.
        budgeted: False alarms that the budget allows in the time watched.
        ratio: Raised over budgeted; NaN when nothing was watched.
        low: Lower end of its 90 % interval.
        high: Upper end.
    """

    period: str
    watched_s: float
    raised: int
    budgeted: float
    ratio: float
    low: float
    high: float


def live_rates(
    raised_ns: Sequence[int], watched: Watched, budget_hz: float, now_ns: int
) -> list[LiveRate]:
    """The last hour, day and week.

    Args:
        raised_ns: When each alarm of the scene began.
        watched: When the scene was watched.
        budget_hz: False alarms that may be spent, per second.
        now_ns: End of the periods, site time.
    """
    return [
        _rate(period, raised_ns, watched, budget_hz, now_ns - length_s * SECOND_NS, now_ns)
        for period, length_s in PERIODS_S.items()
    ]


def _rate(
    period: str,
    raised_ns: Sequence[int],
    watched: Watched,
    budget_hz: float,
    from_ns: int,
    to_ns: int,
) -> LiveRate:
    raised = sum(from_ns <= at < to_ns for at in raised_ns)
    watched_s = watched.seconds(from_ns, to_ns)
    budgeted = budget_hz * watched_s
    bounds = (raised, *poisson_interval(raised))
    ratio, low, high = (n / budgeted if budgeted else float("nan") for n in bounds)
    return LiveRate(period, watched_s, raised, budgeted, ratio, low, high)
