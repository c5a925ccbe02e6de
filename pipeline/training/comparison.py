"""The merged score beside each detector on its own and beside what has learnt nothing.

Baselines: a random score, one that is always the same, and any plain level that is known
(loudness, motion), each taken by its rank within the recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.transition import anomaly_score
from pipeline.training import metrics
from pipeline.training.evaluation_result import Row
from pipeline.training.event_metrics import EventFigures
from pipeline.training.judging import (
    RATES_PER_HOUR,
    best_within,
    counted,
    curve_over,
    kinds_of,
    volume,
)
from pipeline.training.metrics import Floats
from pipeline.training.watched import Watched

MERGED = "merged"
_POINTS = 40


def rows(
    watched: Watched,
    alarm: AlarmSettings,
    normal_s: float,
    levels: Mapping[str, Floats],
    merged: Sequence[EventFigures],
) -> list[Row]:
    """The merged score, each detector on its own, and the baselines.

    Args:
        watched: Scores beside labels.
        alarm: Rules of the alarm.
        normal_s: Time scored outside of labels, seconds.
        levels: Further baselines, a value a window by name.
        merged: The curve of the merged score.
    """
    made = [_row(watched, MERGED, "merged", watched.levels, merged)]
    for name, role, level in _series(watched, levels):
        scores = [replace(s, p=10.0**-x) for s, x in zip(watched.scores, level, strict=True)]
        curve = curve_over(watched, scores, alarm, normal_s, _POINTS)
        made.append(_row(watched, name, role, level, curve))
    return made


def _series(watched: Watched, levels: Mapping[str, Floats]) -> Iterator[tuple[str, str, Floats]]:
    for name in sorted({d for score in watched.scores for d in score.detectors}):
        alone = [anomaly_score(score.detectors.get(name, 1.0)) for score in watched.scores]
        yield name, "detector", np.array(alone)
    for name, values in sorted(levels.items()):
        yield name, "baseline", _ranked(values)
    count = len(watched.scores)
    yield "random", "baseline", _ranked(np.random.default_rng(0).random(count))
    yield "all ones", "baseline", np.ones(count)


def _row(
    watched: Watched, name: str, role: str, level: Floats, curve: Sequence[EventFigures]
) -> Row:
    keep, truth = counted(watched, None)
    kinds = {}
    for kind, labels in kinds_of(watched).items():
        there, positive = counted(watched, labels)
        kinds[kind] = metrics.auroc(positive[there], level[there])
    best = {f"{rate:g}": best_within(curve, rate) for rate in RATES_PER_HOUR}
    return Row(
        name=name,
        role=role,
        auroc=metrics.auroc(truth[keep], level[keep]),
        auprc=metrics.average_precision(truth[keep], level[keep]),
        vus_pr=volume(watched, level, None),
        kinds=kinds,
        found={rate: point.recall.share for rate, point in best.items()},
    )


def _ranked(values: Floats) -> Floats:
    """Any level as ``-log10`` of its rank's share in the recording; NaN becomes the lowest."""
    known = np.where(np.isnan(values), -np.inf, values)
    at_least = len(known) - np.searchsorted(np.sort(known), known, side="left")
    return np.asarray(-np.log10(at_least / (len(known) + 1)))
