"""Evaluation: scores of a recording against labels of what was really there.

The headline figures use a limit that was set without the labels and without the recording
(see `Limit`). What does use the labels, the curve over thresholds and the best of it within a
rate, is kept apart and says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.events import summary
from pipeline.detection.score import WindowScore
from pipeline.training import metrics
from pipeline.training.comparison import rows
from pipeline.training.evaluation_result import (
    AlarmRow,
    Evaluation,
    Group,
    Limit,
    LimitFigures,
    Miss,
    RateFigures,
    WindowFigures,
)
from pipeline.training.event_metrics import (
    Match,
    RaisedAlarm,
    alarms_of,
    figures,
    match_alarms,
    recall_of,
)
from pipeline.training.judging import (
    RATES_PER_HOUR,
    VUS_BUFFER_S,
    best_within,
    curve_over,
    grouped,
    judged,
    kinds_of,
    volume,
)
from pipeline.training.labels import Label
from pipeline.training.metrics import Floats
from pipeline.training.stretches import judge_stretches
from pipeline.training.watched import Watched

_FEW_LABELS = 10
_SHORT_S = 3600.0
_CURVE_POINTS = 80


def evaluate(
    watched: Watched,
    limit: Limit,
    alarm: AlarmSettings,
    *,
    limits: Sequence[Limit] = (),
    levels: Mapping[str, Floats] | None = None,
    normal: Sequence[Label] = (),
    warnings: Sequence[str] = (),
) -> Evaluation:
    """Judge scores by labels.

    Args:
        watched: Scores beside labels, see `pipeline.training.watched.watch`.
        limit: The threshold in force; the headline figures are its.
        alarm: Rules of the alarm.
        limits: Further thresholds that were set without the labels.
        levels: Further baselines, a value a window by name, ``(n,)``, NaN where not known.
        normal: Labels of what somebody looked at and found normal.
        warnings: What the caller knows that makes the figures less than they seem.
    """
    normal_s = watched.normal_s()
    match, alarms = _alarms(watched, alarm, limit.threshold)
    own = [one.threshold for one in (limit, *limits)]
    curve = curve_over(watched, watched.scores, alarm, normal_s, _CURVE_POINTS, own)
    return Evaluation(
        scene=watched.scores[0].scene,
        from_s=float(watched.starts_s[0]),
        to_s=float(watched.ends_s[-1]),
        watched_s=watched.watched_s,
        normal_s=normal_s,
        hop_s=watched.hop_s,
        labels=len(watched.labels),
        outside=watched.outside,
        headline=LimitFigures(limit, figures(limit.threshold, match, len(alarms), normal_s)),
        limits=tuple(_limit(watched, alarm, one, normal_s) for one in limits),
        windows=_windows(watched, limit.threshold),
        kinds=_groups(watched, match, kinds_of(watched)),
        modality_sets=_groups(watched, match, _modality_sets(watched)),
        rows=tuple(rows(watched, alarm, normal_s, levels or {}, curve)),
        curve=tuple(curve),
        at_rates=tuple(RateFigures(rate, best_within(curve, rate)) for rate in RATES_PER_HOUR),
        alarms=tuple(_alarm_row(one, match) for one in alarms),
        misses=tuple(_misses(watched, match)),
        buffer_s=VUS_BUFFER_S,
        warnings=(*warnings, *_warnings(watched, normal_s)),
        stretches=judge_stretches(watched, normal, alarms),
    )


def _warnings(watched: Watched, normal_s: float) -> list[str]:
    found: list[str] = []
    if 0 < len(watched.labels) < _FEW_LABELS:
        found.append(f"few labels ({len(watched.labels)}): one more or less changes every share")
    if not watched.labels:
        found.append("no label lies in what was scored: only false alarms can be judged")
    if normal_s < _SHORT_S:
        found.append(
            f"only {_length(normal_s)} of normal time: rates under "
            f"{3600 / normal_s if normal_s else math.inf:.0f} false alarms an hour cannot be seen"
        )
    if watched.outside:
        found.append(f"labels left out, as nothing was scored there: {len(watched.outside)}")
    return found


def _length(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"


def _alarms(
    watched: Watched, settings: AlarmSettings, threshold: float
) -> tuple[Match, list[RaisedAlarm]]:
    where = watched.hop_ns, watched.start_ns, watched.levels
    alarms = alarms_of(watched.scores, settings, threshold, *where)
    return match_alarms(watched.labels, alarms, settings.clear_after_s), alarms


def _limit(
    watched: Watched, settings: AlarmSettings, limit: Limit, normal_s: float
) -> LimitFigures:
    match, alarms = _alarms(watched, settings, limit.threshold)
    return LimitFigures(limit, figures(limit.threshold, match, len(alarms), normal_s))


def _windows(watched: Watched, threshold: float) -> WindowFigures:
    levels, truth = judged(watched)
    at = metrics.at_threshold(truth, levels, threshold)
    return WindowFigures(
        windows=len(watched.scores),
        anomalous=int(truth.sum()),
        unclear=int(watched.unclear.sum()),
        auroc=metrics.auroc(truth, levels),
        auprc=metrics.average_precision(truth, levels),
        vus_pr=volume(watched, watched.levels, None),
        accuracy=at.accuracy,
        precision=at.precision,
        recall=at.recall,
        f1=at.f1,
    )


def _groups(
    watched: Watched, match: Match, groups: Mapping[str, Sequence[int]]
) -> tuple[Group, ...]:
    made: list[Group] = []
    for name, labels in groups.items():
        levels, truth = judged(watched, labels)
        made.append(
            Group(
                name=name,
                recall=recall_of([match.found[number] for number in labels]),
                auroc=metrics.auroc(truth, levels),
                auprc=metrics.average_precision(truth, levels),
                vus_pr=volume(watched, watched.levels, labels),
            )
        )
    return tuple(made)


def _modality_sets(watched: Watched) -> dict[str, list[int]]:
    sets = ["+".join(sorted(label.modalities)) for label in watched.labels]
    return grouped(sets) if any(sets) else {}


def _alarm_row(alarm: RaisedAlarm, match: Match) -> AlarmRow:
    return AlarmRow(
        start_s=alarm.start_s,
        raised_s=alarm.raised_s,
        end_s=alarm.end_s,
        score=alarm.score,
        p=alarm.peak.p,
        false=alarm in match.false,
        summary=_said(alarm.peak),
    )


def _said(peak: WindowScore) -> str:
    """What the event says; from a CSV, which keeps no words, the detector that said most."""
    if peak.notes or not peak.detectors:
        return summary(peak)
    name, p = min(peak.detectors.items(), key=lambda item: item[1])
    return f"{name} was most unusual, p {p:.2g}"


def _misses(watched: Watched, match: Match) -> list[Miss]:
    missed: list[Miss] = []
    for number, (label, alarm) in enumerate(match.found):
        if alarm is not None:
            continue
        shown = [watched.scores[int(at)] for at in watched.shows[number]]
        best = min(shown, key=lambda score: score.p)
        told: dict[str, float] = {}
        for name, p in (item for score in shown for item in score.detectors.items()):
            told[name] = min(told.get(name, 1.0), p)
        detector = min(told, key=told.__getitem__) if told else ""
        at_s = (best.end_ns - watched.start_ns) / 1e9
        missed.append(Miss(label, best.p, at_s, detector, told.get(detector, float("nan"))))
    return missed
