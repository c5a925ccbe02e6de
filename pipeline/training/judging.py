"""What evaluation, comparison and plots share: which windows count, and what thresholds give."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.score import WindowScore
from pipeline.training import metrics
from pipeline.training.event_metrics import (
    EventFigures,
    alarms_of,
    figures,
    levels_of,
    match_alarms,
    sweep,
)
from pipeline.training.metrics import Bools, Floats
from pipeline.training.watched import Watched

RATES_PER_HOUR = (1.0, 2.0, 6.0, 12.0, 60.0)
VUS_BUFFER_S = 10.0
UNNAMED = "(no kind)"
_CURVE_TO_PER_HOUR = 120.0


def kinds_of(watched: Watched) -> dict[str, list[int]]:
    """Numbers of the labels of each kind, kinds sorted."""
    return grouped([label.kind or UNNAMED for label in watched.labels])


def grouped(names: Sequence[str]) -> dict[str, list[int]]:
    """Places of each name, names sorted."""
    groups: dict[str, list[int]] = {name: [] for name in sorted(set(names))}
    for number, name in enumerate(names):
        groups[name].append(number)
    return groups


def judged(watched: Watched, labels: Sequence[int] | None = None) -> tuple[Floats, Bools]:
    """Merged scores and truth of the windows that count for some labels (None: all)."""
    keep, truth = counted(watched, labels)
    return watched.levels[keep], truth[keep]


def counted(watched: Watched, labels: Sequence[int] | None) -> tuple[Bools, Bools]:
    """Windows that show these labels or are normal; and which show these labels."""
    truth = watched.truth(labels)
    return truth | ~(watched.truth() | watched.unclear), truth


def volume(watched: Watched, levels: Floats, labels: Sequence[int] | None) -> float:
    """VUS-PR of some labels (None: all); windows that hold any of the others are left out."""
    truth = watched.truth(labels)
    chosen = range(len(watched.labels)) if labels is None else labels
    others = set(range(len(watched.labels))) - set(chosen)
    buffer = round(VUS_BUFFER_S / watched.hop_s)
    return metrics.vus_pr(truth, levels, buffer, keep=truth | ~watched.touched(others))


def curve_over(
    watched: Watched,
    scores: Sequence[WindowScore],
    settings: AlarmSettings,
    normal_s: float,
    points: int,
    also: Sequence[float] = (),
) -> list[EventFigures]:
    """Figures over thresholds, from one that raises nothing until false alarms are past any use.

    Args:
        watched: The labels, and the axis of time.
        scores: The scores that alarms are raised from.
        settings: Rules of the alarm.
        normal_s: Time scored outside of labels, seconds.
        points: About how many thresholds.
        also: Thresholds to be among them.
    """
    found: list[EventFigures] = []
    levels = levels_of(scores)
    over_all = float(levels.max()) + 1.0
    for threshold in sorted({over_all, *sweep(levels, points), *also}, reverse=True):
        alarms = alarms_of(scores, settings, threshold, watched.hop_ns, watched.start_ns, levels)
        match = match_alarms(watched.labels, alarms, settings.clear_after_s)
        found.append(figures(float(threshold), match, len(alarms), normal_s))
        if found[-1].per_hour > _CURVE_TO_PER_HOUR:
            break
    return found


def best_within(curve: Sequence[EventFigures], rate_per_hour: float) -> EventFigures:
    """The point that found most with no more false alarms an hour; the fewer of equals.

    The first point of a curve raises nothing, so there is always one.
    """
    allowed = [point for point in curve if not point.per_hour > rate_per_hour]
    return max(allowed, key=lambda p: (p.recall.found, -p.false_alarms))
