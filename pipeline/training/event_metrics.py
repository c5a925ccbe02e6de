"""Alarms against labels: what an operator would have seen. No point adjustment.

The alarms are those of the real `pipeline.detection.alarm.Alarm`, run over the scores.

*Found.* An alarm finds a label when it was raised, overlaps the label within `TOLERANCE_S`
either way, and began with it: not earlier than the tolerance before the label, or before the
first of a group of labels so close that the alarm would merge them. So an alarm that always
stands finds nothing. The delay is from the label's start to the raise.

*False.* An alarm that finds no label. False alarms are counted per hour of time that lies
outside of all labels and their tolerance.

*Precision* counts labels, not alarms: several alarms for one label are one. It is the share
of found labels among found labels and false alarms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.event import Phase
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.score import WindowScore
from pipeline.detection.transition import Transition, anomaly_score
from pipeline.training.intervals import garwood, wilson
from pipeline.training.labels import Label
from pipeline.training.metrics import Floats

TOLERANCE_S = 2.0
SECOND_NS = 1_000_000_000
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class RaisedAlarm:
    """One alarm that was raised, seconds from the recording's start.

    Attributes:
        start_s: When the anomaly began, as the alarm says.
        raised_s: When it was raised.
        end_s: End of the last window that belongs to it.
        score: Its highest score.
        peak: The window with that score.
    """

    start_s: float
    raised_s: float
    end_s: float
    score: float
    peak: WindowScore


@dataclass(frozen=True, slots=True)
class Match:
    """Labels with the alarm that found each first, and the alarms that found none."""

    found: tuple[tuple[Label, RaisedAlarm | None], ...]
    false: tuple[RaisedAlarm, ...]


@dataclass(frozen=True, slots=True)
class Recall:
    """How many of some labels were found, and how late.

    Attributes:
        labels: How many there were.
        found: How many were found.
        share: Share found; NaN of none.
        low: Lower end of its 90 % interval.
        high: Upper end.
        delay_median_s: Median delay of those found, seconds; NaN of none.
        delay_p90_s: Nine of ten were found within this, seconds.
    """

    labels: int
    found: int
    share: float
    low: float
    high: float
    delay_median_s: float
    delay_p90_s: float


@dataclass(frozen=True, slots=True)
class EventFigures:
    """Alarms of one threshold against all labels.

    Attributes:
        threshold: On the anomaly score, ``-log10 p``.
        alarms: How many were raised.
        false_alarms: How many of them found no label.
        per_hour: False alarms per hour of normal time; NaN without normal time.
        low_per_hour: Lower end of its exact 90 % interval.
        high_per_hour: Upper end.
        recall: Labels found.
        precision: Found labels among found labels and false alarms; NaN of neither.
        f1: Harmonic mean of precision and the share found.
        false_time: Share of the normal time during which a false alarm stood.
    """

    threshold: float
    alarms: int
    false_alarms: int
    per_hour: float
    low_per_hour: float
    high_per_hour: float
    recall: Recall
    precision: float
    f1: float
    false_time: float


def alarms_of(
    scores: Sequence[WindowScore],
    settings: AlarmSettings,
    threshold: float,
    hop_ns: int,
    start_ns: int = 0,
    levels: Floats | None = None,
) -> list[RaisedAlarm]:
    """Alarms that the real alarm raises over the scores of one scene.

    Windows that cannot change anything are passed over: those under the threshold while the
    alarm is quiet and has no candidate, where the alarm would only note that they came.

    Args:
        scores: One a window, in order.
        settings: Rules of the alarm.
        threshold: On ``-log10 p``.
        hop_ns: Step from one window to the next.
        start_ns: Time that second 0 stands for.
        levels: ``-log10 p`` of the scores, ``(n,)``, for who has it at hand.
    """
    if not scores:
        return []
    alarm = Alarm(settings, scores[0].scene, threshold, hop_ns)
    levels = levels_of(scores) if levels is None else levels
    over = np.flatnonzero(levels >= threshold)
    made: list[tuple[Transition, int]] = []
    at = _next(over, 0)
    while at is not None and at < len(scores):
        made += [(t, scores[at].end_ns) for t in alarm.update(scores[at])]
        busy = alarm.standing or levels[at] >= threshold
        at = at + 1 if busy else _next(over, at + 1)
    made += [(t, scores[-1].end_ns) for t in alarm.finish()]
    return _lives(made, start_ns)


def levels_of(scores: Sequence[WindowScore]) -> Floats:
    """Merged score of each, ``-log10 p``, ``(n,)``."""
    return np.array([anomaly_score(score.p) for score in scores])


def _next(over: np.ndarray[tuple[int, ...], np.dtype[np.intp]], at: int) -> int | None:
    place = int(np.searchsorted(over, at))
    return int(over[place]) if place < len(over) else None


def _lives(made: Sequence[tuple[Transition, int]], start_ns: int) -> list[RaisedAlarm]:
    raised = {t.id: now_ns for t, now_ns in made if t.phase is Phase.RAISED}
    last = {t.id: t for t, _ in made}
    return [
        RaisedAlarm(
            start_s=(t.start_ns - start_ns) / SECOND_NS,
            raised_s=(raised[t.id] - start_ns) / SECOND_NS,
            end_s=(t.end_ns - start_ns) / SECOND_NS,
            score=t.score,
            peak=t.peak,
        )
        for t in last.values()
    ]


def overlap(
    first: tuple[float, float], second: tuple[float, float], tolerance_s: float = TOLERANCE_S
) -> bool:
    """Whether two spans meet when one of them is widened by the tolerance."""
    return first[0] <= second[1] + tolerance_s and first[1] >= second[0] - tolerance_s


def match_alarms(labels: Sequence[Label], alarms: Sequence[RaisedAlarm], merge_s: float) -> Match:
    """Who found what.

    Args:
        labels: By their start.
        alarms: By their start.
        merge_s: The alarm's merge gap (`AlarmSettings.clear_after_s`).
    """
    hits = hits_of(labels, [(alarm.start_s, alarm.end_s) for alarm in alarms], merge_s)
    found = [
        (label, alarms[own[0]] if own else None) for label, own in zip(labels, hits, strict=True)
    ]
    useful = {number for own in hits for number in own}
    false = tuple(alarm for number, alarm in enumerate(alarms) if number not in useful)
    return Match(tuple(found), false)


def hits_of(
    labels: Sequence[Label], spans: Sequence[tuple[float, float]], merge_s: float
) -> list[list[int]]:
    """Numbers of the alarms that find each label.

    Args:
        labels: By their start.
        spans: Start and end of each alarm, seconds.
        merge_s: The alarm's merge gap (`AlarmSettings.clear_after_s`).
    """
    return [
        [
            number
            for number, span in enumerate(spans)
            if span[0] >= begin_s - TOLERANCE_S and overlap(span, (label.start_s, label.end_s))
        ]
        for label, begin_s in zip(labels, _group_starts(labels, merge_s), strict=True)
    ]


def _group_starts(labels: Sequence[Label], merge_s: float) -> list[float]:
    """For each label, where the group that an alarm would merge it with begins."""
    starts: list[float] = []
    end_s = begin_s = float("-inf")
    for label in labels:
        if label.start_s > end_s + merge_s + TOLERANCE_S:
            begin_s = label.start_s
        end_s = max(end_s, label.end_s)
        starts.append(begin_s)
    return starts


def recall_of(found: Sequence[tuple[Label, RaisedAlarm | None]]) -> Recall:
    """Figures of some labels; an alarm raised before the label began has no delay."""
    delays = [max(0.0, a.raised_s - label.start_s) for label, a in found if a is not None]
    low, high = wilson(len(delays), len(found))
    return Recall(
        labels=len(found),
        found=len(delays),
        share=len(delays) / len(found) if found else float("nan"),
        low=low,
        high=high,
        delay_median_s=float(np.median(delays)) if delays else float("nan"),
        delay_p90_s=float(np.quantile(delays, 0.9)) if delays else float("nan"),
    )


def figures(threshold: float, match: Match, alarms: int, normal_s: float) -> EventFigures:
    """Sum up a match.

    Args:
        threshold: Of the alarm.
        match: Of its alarms with the labels.
        alarms: How many alarms there were.
        normal_s: Time watched outside of the labels and their tolerance, seconds.
    """
    recall, false = recall_of(match.found), len(match.false)
    hours = normal_s / HOUR_S
    low, high = garwood(false)
    per_hour, low, high = (n / hours if hours > 0 else float("nan") for n in (false, low, high))
    said, doubled = recall.found + false, recall.found + false + recall.labels
    stood_s = sum(alarm.end_s - alarm.start_s for alarm in match.false)
    return EventFigures(
        threshold=threshold,
        alarms=alarms,
        false_alarms=false,
        per_hour=per_hour,
        low_per_hour=low,
        high_per_hour=high,
        recall=recall,
        precision=recall.found / said if said else float("nan"),
        f1=2 * recall.found / doubled if doubled else float("nan"),
        false_time=min(1.0, stood_s / normal_s) if normal_s > 0 else float("nan"),
    )


def sweep(levels: Floats, count: int) -> Floats:
    """Thresholds that share the levels out, from the highest down, dense at the high end.

    Args:
        levels: Scores (``-log10 p``) of all windows, ``(n,)``.
        count: About how many thresholds.
    """
    falling = np.sort(levels[levels > 0])[::-1]
    if not len(falling):
        return np.zeros(0)
    ranks = np.unique(np.geomspace(1, len(falling), count).round().astype(int)) - 1
    return np.unique(falling[ranks])[::-1]
