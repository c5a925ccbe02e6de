"""From events of two sides to what a scene gained and lost, by moment, by day and by week."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nodes.backtest.matching import Moment, match
from nodes.backtest.piece import DAY_NS
from nodes.backtest.result import Change, Day, EventRow, MomentRow, Rate, SceneResult
from pipeline.core.event import Event, Phase
from pipeline.detection.alarm import AlarmSettings
from pipeline.recording.coverage import Coverage
from pipeline.training.event_metrics import TOLERANCE_S, hits_of
from pipeline.training.intervals import garwood
from pipeline.training.labels import Label

SECOND_NS = 1_000_000_000
WEEK_S = 604_800.0


@dataclass(frozen=True, slots=True)
class Told:
    """What one side told of a scene.

    Attributes:
        events: By when they began.
        alarm: Its alarm.
        threshold: Of the alarm; None: not known.
    """

    events: Sequence[Event]
    alarm: AlarmSettings
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """Labels of a scene, and the time that was recorded.

    Attributes:
        labels: By their start, in seconds since `origin_ns`; None: there are none.
        origin_ns: Site time of second 0.
        recorded: The time of which anything was recorded; not the time of its arrival, which is
            another after an outage.
    """

    labels: Sequence[Label] | None
    origin_ns: int
    recorded: Coverage

    @property
    def judged(self) -> list[Label]:
        """The labels that were recorded."""
        found = self.labels or ()
        return [one for one in found if self.recorded.holds(*self._span_ns(one, 0.0))]

    def labelled_s(self) -> float:
        """Recorded time within labels and their tolerance, seconds."""
        spans = Coverage(self._span_ns(label, TOLERANCE_S) for label in self.judged).spans
        inside = (
            (max(start, begin), min(end, stop))
            for start, end in spans
            for begin, stop in self.recorded.spans
        )
        return Coverage(inside).total_ns / SECOND_NS

    def found_by(self, told: Told) -> tuple[dict[int, str], int]:
        """Kind of the label that each event found, by its place, and how many labels were found."""
        if self.labels is None:
            return {}, 0
        spans = [
            ((e.start_ns - self.origin_ns) / SECOND_NS, (e.end_ns - self.origin_ns) / SECOND_NS)
            for e in told.events
        ]
        kinds: dict[int, str] = {}
        found = 0
        labels = self.judged
        for label, own in zip(
            labels, hits_of(labels, spans, told.alarm.clear_after_s), strict=True
        ):
            kinds.update(dict.fromkeys(own, label.kind))
            found += bool(own)
        return kinds, found

    def _span_ns(self, label: Label, wider_s: float) -> tuple[int, int]:
        return (
            self.origin_ns + round((label.start_s - wider_s) * SECOND_NS),
            self.origin_ns + round((label.end_s + wider_s) * SECOND_NS),
        )


def scene_result(
    scene: str,
    old: Told,
    new: Told,
    watched: Mapping[int, int],
    hop_s: float,
    truth: Truth,
    outside: int = 0,
) -> SceneResult:
    """What changes in a scene.

    Args:
        scene: Name of the scene.
        old: What the old side told.
        new: What the new side told.
        watched: Windows that the new side could judge, by day since the epoch.
        hop_s: Step from one window to the next.
        truth: Its labels.
        outside: Alarms of the old side at times that were not recorded.
    """
    watched_s = sum(watched.values()) * hop_s
    normal_s = max(0.0, watched_s - truth.labelled_s())
    (old_kinds, old_found), (new_kinds, new_found) = truth.found_by(old), truth.found_by(new)
    kinds = {
        (side, event.id): by_place[place]
        for side, told, by_place in (("old", old, old_kinds), ("new", new, new_kinds))
        for place, event in enumerate(told.events)
        if place in by_place
    }
    moments = [_moment(moment, kinds) for moment in match(scene, old.events, new.events)]
    known = truth.labels is not None
    return SceneResult(
        scene=scene,
        watched_s=watched_s,
        normal_s=normal_s,
        old=_rate(old, len(old_kinds), old_found if known else None, normal_s),
        new=_rate(new, len(new_kinds), new_found if known else None, normal_s),
        moments=moments,
        days=_days(moments, watched, hop_s),
        labels=[
            (
                truth.origin_ns / SECOND_NS + label.start_s,
                truth.origin_ns / SECOND_NS + label.end_s,
                label.kind,
            )
            for label in truth.judged
        ]
        if known
        else None,
        outside=outside,
    )


def _rate(told: Told, useful: int, found: int | None, normal_s: float) -> Rate:
    false, weeks = len(told.events) - useful, normal_s / WEEK_S
    bounds = (false, *garwood(false))
    per_week, low, high = (n / weeks if weeks else float("nan") for n in bounds)
    budget_per_week = told.alarm.false_alarms_hz * WEEK_S
    return Rate(
        len(told.events), false, per_week, low, high, told.alarm.budget, budget_per_week,
        told.threshold, found,
    )  # fmt: skip


def _moment(moment: Moment, kinds: Mapping[tuple[str, str], str]) -> MomentRow:
    change: Change = "kept" if moment.old and moment.new else "gained" if moment.new else "lost"
    return MomentRow(
        change,
        moment.start_ns,
        moment.end_ns,
        [_row(event, kinds.get(("old", event.id))) for event in moment.old],
        [_row(event, kinds.get(("new", event.id))) for event in moment.new],
    )


def _row(event: Event, label: str | None) -> EventRow:
    return EventRow(
        event.id, event.start_ns, event.end_ns, event.severity.value, event.score, event.summary,
        event.phase is Phase.CLEARED, label,
    )  # fmt: skip


def _days(moments: Sequence[MomentRow], watched: Mapping[int, int], hop_s: float) -> list[Day]:
    """A row for each day that was watched or in which anything was told."""
    changes = {
        change: Counter(m.start_ns // DAY_NS for m in moments if m.change == change)
        for change in ("gained", "lost", "kept")
    }
    old = Counter(e.start_ns // DAY_NS for m in moments for e in m.old)
    new = Counter(e.start_ns // DAY_NS for m in moments for e in m.new)
    days = {*watched, *old, *new, *(day for counts in changes.values() for day in counts)}
    return [
        Day(
            day_name(day), watched.get(day, 0) * hop_s, old[day], new[day],
            changes["gained"][day], changes["lost"][day], changes["kept"][day],
        )
        for day in sorted(days)
    ]  # fmt: skip


def day_name(day: int) -> str:
    """A day since the epoch as ``2026-01-31``."""
    return datetime.fromtimestamp(day * DAY_NS // SECOND_NS, UTC).strftime("%Y-%m-%d")
