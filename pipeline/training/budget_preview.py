"""What budgets of false alarms would have done on the recording that a scene was learnt from.

Alarms are those that the real alarm raises, over held-out scores of the normal time: every
window judged by a detector that had not seen it. They are counted twice. *Raised* is by the
threshold that goes live; it was set on this very time, so it keeps to the budget almost by
itself. *Apart* judges each half of the time by the threshold that the other half alone would
have set, so normal that changes from one half to the other shows. How often normal will raise an
alarm is told from that count alone, with the interval that so much time supports.

Known events are left out of what is learnt. The finished model scores them as it would live,
and the alarm runs over them and the normal time around them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.core.window import Window
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.calibration import Budget, budget_of
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import calibration_of
from pipeline.models.scene_model import SceneModel
from pipeline.training.event_metrics import (
    SECOND_NS,
    TOLERANCE_S,
    RaisedAlarm,
    alarms_of,
    match_alarms,
)
from pipeline.training.intervals import garwood
from pipeline.training.labels import Label
from pipeline.training.metrics import Floats
from pipeline.training.watched import Watched, watch

BUDGETS = ("1/week", "2/week", "1/day", "6/day", "2/hour", "6/hour")
_CURVE_POINTS = 60


@dataclass(frozen=True, slots=True)
class KnownEvents:
    """What is known to be no normal of a recording, and how the finished model scores it.

    Attributes:
        labels: What was there, seconds from `start_ns`.
        start_ns: Site time of second 0.
        scores: Scores of the recording's windows by the finished model, in order; those of
            windows far from any label are not used.
    """

    labels: tuple[Label, ...] = ()
    start_ns: int = 0
    scores: tuple[WindowScore, ...] = field(default=(), repr=False)

    def near(self, window: Window | WindowScore, margin_s: float = TOLERANCE_S) -> list[Label]:
        """Events that a window lies so near to that it is not learnt as normal.

        Args:
            window: The window.
            margin_s: So much before and after it an event may still show, seconds.
        """
        first = (window.start_ns - self.start_ns) / SECOND_NS - margin_s
        last = (window.end_ns - self.start_ns) / SECOND_NS + margin_s
        return [one for one in self.labels if first < one.end_s and last > one.start_s]

    def holds(self, window: Window | WindowScore) -> bool:
        """Whether a window lies near any of them."""
        return bool(self.near(window))

    def over(self, window: WindowScore) -> bool:
        """Whether a window lies after all events, and near none."""
        first = (window.start_ns - self.start_ns) / SECOND_NS - TOLERANCE_S
        return all(first >= label.end_s for label in self.labels)


NONE_KNOWN = KnownEvents()


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """What one budget would have done.

    Attributes:
        alarm: The alarm with this budget.
        chosen: Whether it is the scene's own.
        threshold: On the anomaly score, ``-log10 p``.
        expected: False alarms that it allows in the normal time of the recording.
        supported: Whether at least one fits, so that the threshold was counted.
        needed_s: Normal time that would do for that, seconds.
        raised: Alarms over held-out normal, by the threshold.
        apart: Likewise, each half by the threshold of the other.
        stood: Share of the time for which those alarms stood.
        low_hz: Lower end of the 90 % interval of the true rate, by `apart`; alarms a second.
        high_hz: Upper end.
        missed: Known events that raised no alarm, by their number.
    """

    alarm: AlarmSettings
    chosen: bool
    threshold: float
    expected: float
    supported: bool
    needed_s: float
    raised: int
    apart: int
    stood: float
    low_hz: float
    high_hz: float
    missed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BudgetPreview:
    """What some budgets would have done.

    Attributes:
        scene: Name of the scene.
        normal_s: Held-out normal time, seconds.
        rows: The budgets, the strictest first.
        events: Known events that the recording shows, by their start.
        heights: Highest score of each.
        outside: Known events that no window shows.
        curve: Budgets between the strictest and the loosest, alarms a second, and how many known
            events each misses; none without events.
    """

    scene: str
    normal_s: float
    rows: tuple[BudgetRow, ...]
    events: tuple[Label, ...]
    heights: tuple[float, ...]
    outside: tuple[Label, ...]
    curve: tuple[tuple[float, int], ...]

    @property
    def chosen(self) -> BudgetRow:
        """The row of the scene's own budget."""
        return next(row for row in self.rows if row.chosen)

    def found_from(self, event: int) -> BudgetRow | None:
        """The strictest budget that finds a known event, by its number; None: none does."""
        return next((row for row in self.rows if event not in row.missed), None)


def preview(
    model: SceneModel, alarm: AlarmSettings, known: KnownEvents = NONE_KNOWN
) -> BudgetPreview:
    """What some budgets, among them an alarm's own, would have done.

    Args:
        model: The finished model, with its held-out scores.
        alarm: Rules and budget of the scene's alarm.
        known: Known events, which the model has not learnt from.
    """
    normal = _Normal(model)
    watched = _beside(normal, known)
    rows = tuple(normal.row(one, one is alarm, watched) for one in _budgets(alarm))
    return BudgetPreview(
        scene=model.scene,
        normal_s=normal.length_s,
        rows=rows,
        events=watched.labels,
        heights=tuple(float(watched.levels[shown].max()) for shown in watched.shows),
        outside=watched.outside,
        curve=tuple(_curve(normal, rows, watched)),
    )


def _budgets(alarm: AlarmSettings) -> list[AlarmSettings]:
    """The usual budgets and the alarm's own, the strictest first."""
    usual = (alarm.model_copy(update={"budget": budget}) for budget in BUDGETS)
    others = [a for a in usual if not np.isclose(a.false_alarms_hz, alarm.false_alarms_hz)]
    return sorted([alarm, *others], key=lambda one: one.false_alarms_hz)


class _Normal:
    """Held-out normal of a model, and the alarms over it."""

    def __init__(self, model: SceneModel) -> None:
        calibration = calibration_of(model)
        self.levels = calibration.held_scores
        self.hop_ns = model.hop_ns
        self.end_ns = model.held.end_ns
        self.length_s = len(self.levels) * model.hop_ns / SECOND_NS
        starts_ns = (self.end_ns - model.length_ns).tolist()
        self.scores = [
            WindowScore(model.scene, at // model.hop_ns, at, at + model.length_ns, 10.0**-level)
            for at, level in zip(starts_ns, self.levels.tolist(), strict=True)
        ]

    def budget(self, alarm: AlarmSettings, part: slice = slice(None)) -> Budget:
        """Threshold by some of the time, and how sure it is."""
        spans = (alarm.min_duration_s, alarm.clear_after_s)
        where = (self.levels[part], self.end_ns[part], self.hop_ns)
        return budget_of(*where, alarm.false_alarms_hz, *spans)

    def row(self, alarm: AlarmSettings, chosen: bool, watched: Watched) -> BudgetRow:
        """What one budget would have done."""
        budget = self.budget(alarm)
        apart = self._apart(alarm)
        low, high = (count / self.length_s for count in garwood(len(apart)))
        return BudgetRow(
            alarm=alarm,
            chosen=chosen,
            threshold=budget.threshold,
            expected=alarm.false_alarms_hz * self.length_s,
            supported=budget.supported,
            needed_s=1 / alarm.false_alarms_hz,
            raised=len(self._raised(alarm, budget.threshold)),
            apart=len(apart),
            stood=sum(one.end_s - one.start_s for one in apart) / self.length_s,
            low_hz=low,
            high_hz=high,
            missed=_missed(alarm, budget.threshold, watched),
        )

    def _apart(self, alarm: AlarmSettings) -> list[RaisedAlarm]:
        """Alarms when each half of the time is judged by the threshold of the other."""
        middle = len(self.levels) // 2
        halves = (slice(middle), slice(middle, None))
        found = []
        for one, other in zip(halves, halves[::-1], strict=True):
            found += self._raised(alarm, self.budget(alarm, other).threshold, one)
        return found

    def _raised(
        self, alarm: AlarmSettings, threshold: float, part: slice = slice(None)
    ) -> list[RaisedAlarm]:
        scores, levels = self.scores[part], self.levels[part]
        return alarms_of(scores, alarm, threshold, self.hop_ns, levels=levels)


def _beside(normal: _Normal, known: KnownEvents) -> Watched:
    """Normal time and known events on one time axis."""
    if not known.labels:
        return watch((), (), normal.hop_ns)
    found = {score.end_ns: score for score in filter(known.holds, known.scores)}
    found.update((score.end_ns, score) for score in normal.scores)
    scores = [found[end_ns] for end_ns in sorted(found)]
    return watch(scores, known.labels, normal.hop_ns, known.start_ns)


def _missed(alarm: AlarmSettings, threshold: float, watched: Watched) -> tuple[int, ...]:
    where = watched.hop_ns, watched.start_ns, watched.levels
    alarms = alarms_of(watched.scores, alarm, threshold, *where)
    match = match_alarms(watched.labels, alarms, alarm.clear_after_s)
    return tuple(number for number, (_, by) in enumerate(match.found) if by is None)


def _curve(
    normal: _Normal, rows: Sequence[BudgetRow], watched: Watched
) -> Iterable[tuple[float, int]]:
    """How many known events budgets miss, between the strictest and the loosest row."""
    if not watched.labels:
        return
    least, most = (row.alarm.false_alarms_hz for row in (rows[0], rows[-1]))
    rates: Floats = np.geomspace(least, most, _CURVE_POINTS)
    for rate in rates.tolist():
        alarm = rows[0].alarm.model_copy(update={"budget": f"{rate * 604800:.6f}/week"})
        missed = _missed(alarm, normal.budget(alarm).threshold, watched)
        yield rate, len(missed)


def without(windows: Iterable[Window], known: KnownEvents) -> Iterable[Window]:
    """The windows that lie near no known event."""
    return (window for window in windows if not known.holds(window))
