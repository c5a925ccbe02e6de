"""Figures of the real composite, worded as the targets are.

Levels are judged over the fresh normal and the part with anomalies together. What one stream
shows is told from all normal windows; what none shows alone, only from normal windows *with
the same picture*: a room with somebody in it against a room with somebody in it. Alarms are
those of the real alarm. ``F1`` counts labels found and the false alarms between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.score import WindowScore
from pipeline.training.event_metrics import (
    HOUR_S,
    RaisedAlarm,
    alarms_of,
    match_alarms,
    recall_of,
)
from pipeline.training.judging import best_within, curve_over
from pipeline.training.labels import Label
from pipeline.training.metrics import Bools, Floats, auroc
from pipeline.training.watched import Watched, watch
from tests.benchmarks.real.composite_material import Ints
from tests.benchmarks.real.composite_script import BETWEEN, Kind
from tests.benchmarks.synthetic_sites import A_HOP, HOP_NS, HOPS, START_NS

BUDGET = "6/hour"
RULES = AlarmSettings(budget=BUDGET)
_POINTS = 60
Found = tuple[tuple[Label, RaisedAlarm | None], ...]


@dataclass(frozen=True, slots=True)
class Levels:
    """How well the levels of one score tell anomalies.

    Attributes:
        kinds: AUROC by kind.
        single: Mean over the kinds that one stream shows.
        between: Mean over those that none shows alone, against the same picture.
        f1: Of events, at the best threshold with no more false alarms than `BUDGET`; it uses
            the labels, and tells a score from its threshold.
    """

    kinds: dict[str, float]
    single: float
    between: float
    f1: float


@dataclass(frozen=True, slots=True)
class Alarms:
    """Alarms at the threshold of one calibration.

    Attributes:
        found: Labels with the alarm that found each.
        beside: False alarms between them.
        beside_s: Time between them, seconds.
        false: False alarms on the fresh normal.
        normal_s: Length of it, seconds.
    """

    found: Found
    beside: int
    beside_s: float
    false: int
    normal_s: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and share found."""
        hits = sum(1 for _, alarm in self.found if alarm is not None)
        return 2 * hits / (hits + self.beside + len(self.found)) if self.found else math.nan

    @property
    def per_hour(self) -> float:
        """False alarms an hour, of fresh normal and between the labels together."""
        return (self.false + self.beside) / (self.normal_s + self.beside_s) * HOUR_S

    def share(self, wanted: Callable[[str], bool] = lambda _: True) -> float:
        """Share found of some kinds."""
        return recall_of([pair for pair in self.found if wanted(pair[0].kind)]).share

    def delay_s(self, between: bool) -> float:
        """Median delay of what was found of either sort, seconds."""
        pairs = [pair for pair in self.found if (pair[0].kind in BETWEEN) is between]
        return recall_of(pairs).delay_median_s


def pictured(shown: Ints) -> Ints:
    """What each window's picture shows: that of its middle."""
    count = len(shown) // A_HOP - (HOPS - 1)
    return shown[np.arange(count) * A_HOP + HOPS * A_HOP // 2]


def levels(
    normal: Sequence[WindowScore],
    wrong: Sequence[WindowScore],
    labels: Sequence[Label],
    shown: Ints,
    level: Floats | None = None,
) -> Levels:
    """Figures of one score.

    Args:
        normal: Scores of the fresh normal.
        wrong: Scores of the part with anomalies.
        labels: What is wrong in it.
        shown: What is in the picture of each window of both.
        level: Another score of each, ``(n,)``; None: their own.
    """
    watched = watch([*normal, *wrong], labels, HOP_NS, START_NS)
    own = watched.levels if level is None else level
    clean = ~(watched.truth() | watched.unclear)
    kinds = {kind: _kind(watched, kind, own, clean, shown) for kind in Kind}
    scores = [replace(s, p=10.0**-x) for s, x in zip(watched.scores, own, strict=True)]
    normal_s = watched.normal_s()
    rate = RULES.false_alarms_hz * HOUR_S
    return Levels(
        {kind.value: value for kind, value in kinds.items()},
        _mean(value for kind, value in kinds.items() if kind not in BETWEEN),
        _mean(value for kind, value in kinds.items() if kind in BETWEEN),
        best_within(curve_over(watched, scores, RULES, normal_s, _POINTS), rate).f1,
    )


def _kind(watched: Watched, kind: Kind, own: Floats, clean: Bools, shown: Ints) -> float:
    numbers = [n for n, label in enumerate(watched.labels) if label.kind == kind.value]
    truth = watched.truth(numbers)
    if kind not in BETWEEN:
        there = truth | clean
        return auroc(truth[there], own[there])
    values, weights = [], []
    for what in np.unique(shown[truth]):
        there = (shown == what) & (truth | clean)
        value = auroc(truth[there], own[there])
        if math.isfinite(value):
            values.append(value)
            weights.append(int((truth & there).sum()))
    return float(np.average(values, weights=weights)) if values else math.nan


def alarms(
    normal: Sequence[WindowScore],
    wrong: Sequence[WindowScore],
    labels: Sequence[Label],
    threshold: float,
) -> Alarms:
    """What an operator would have seen at a threshold on ``-log10 p``."""
    watched = watch(wrong, labels, HOP_NS, START_NS)
    raised = alarms_of(watched.scores, RULES, threshold, HOP_NS, START_NS)
    match = match_alarms(watched.labels, raised, RULES.clear_after_s)
    false = alarms_of(normal, RULES, threshold, HOP_NS, START_NS)
    length_s = len(normal) * HOP_NS / 1e9
    return Alarms(match.found, len(match.false), watched.normal_s(), len(false), length_s)


def pooled(each: Sequence[Alarms]) -> Alarms:
    """Alarms of several sites counted together."""
    return Alarms(
        tuple(pair for one in each for pair in one.found),
        sum(one.beside for one in each),
        sum(one.beside_s for one in each),
        sum(one.false for one in each),
        sum(one.normal_s for one in each),
    )


def mean_levels(each: Sequence[Levels]) -> Levels:
    """Means over sites."""
    return Levels(
        {kind: _mean(one.kinds[kind] for one in each) for kind in each[0].kinds},
        _mean(one.single for one in each),
        _mean(one.between for one in each),
        _mean(one.f1 for one in each),
    )


def _mean(values: Iterable[float]) -> float:
    """Mean of what has a meaning."""
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
