"""The live rate of alarms beside the budget: what was raised, over the time that was watched.

An alarm is counted unless a person said that it was real, for a true alarm spends no budget. Of
those that nobody has judged it is not known, so the figure is an upper bound of the false alarms,
and says most where anomalies are rarer than the budget or every alarm is judged.
Time in which nothing of the scene could be seen spends no budget and is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.budget_text import PERIODS_S as BUDGET_PERIODS_S
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
        raised: Alarms raised in it that nobody said were real.
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


class Standing(StrEnum):
    """How a budget stands."""

    WITHIN = "within the budget"
    USED_UP = "all used up"
    OVER = "over the budget"


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent of a budget in the last one of its periods, up to now.

    Attributes:
        spent: Alarms that nobody said were real.
        allowed: How many may be spent in a period.
        period: ``minute``, ``hour``, ``day`` or ``week``.
        real: Further alarms, which a person said were real.
        watched_s: How much of the period was watched, seconds.
        standing: How the budget stands.
    """

    spent: int
    allowed: float
    period: str
    real: int
    watched_s: float
    standing: Standing

    @property
    def words(self) -> str:
        """As people say it: ``3 of 2 a week, over the budget``."""
        every = "an" if self.period == "hour" else "a"
        return f"{self.spent} of {self.allowed:g} {every} {self.period}, {self.standing}"


def spent_of(
    alarm: AlarmSettings,
    raised_ns: Sequence[int],
    real_ns: Sequence[int],
    watched: Watched,
    now_ns: int,
) -> Spent:
    """What was spent of a scene's budget.

    Args:
        alarm: The scene's alarm, with its budget.
        raised_ns: When each alarm began that nobody said was real.
        real_ns: When each began that a person said was real.
        watched: When the scene was watched.
        now_ns: End of the period, site time.
    """
    from_ns = now_ns - round(BUDGET_PERIODS_S[alarm.period] * SECOND_NS)
    spent, real = (sum(from_ns <= at < now_ns for at in all_) for all_ in (raised_ns, real_ns))
    standing = Standing.WITHIN if spent < alarm.allowed else Standing.USED_UP
    return Spent(
        spent=spent,
        allowed=alarm.allowed,
        period=alarm.period,
        real=real,
        watched_s=watched.seconds(from_ns, now_ns),
        standing=Standing.OVER if spent > alarm.allowed else standing,
    )


def live_rates(
    raised_ns: Sequence[int], watched: Watched, budget_hz: float, now_ns: int
) -> list[LiveRate]:
    """The last hour, day and week.

    Args:
        raised_ns: When each alarm of the scene began that nobody said was real.
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
