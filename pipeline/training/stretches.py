"""Stretches judged as a whole: of which clip would one say that something is wrong in it?

Where labels also say of which time somebody looked at it and nothing was wrong (kind ``normal``),
as those of clips in folders do and those of answers, each labelled stretch is one item: it is
called by its highest score, which is what an alarm goes by, and by its mean one, which is better
where what is wrong lasts as long as the stretch. Collections of clips are judged so elsewhere
(DCASE, *Unsupervised detection of anomalous sounds for machine condition monitoring*, task 2):
by AUROC, and by the part of it at a false-positive rate of at most 0.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.training import metrics
from pipeline.training.event_metrics import RaisedAlarm, overlap
from pipeline.training.judging import UNNAMED, grouped
from pipeline.training.labels import NORMAL, Label
from pipeline.training.metrics import Bools
from pipeline.training.watched import Watched

MOST_FALL_OUT = 0.1
_LEAST = 0.5  # of a window lies in a stretch that it counts for


@dataclass(frozen=True, slots=True)
class Stretch:
    """One labelled stretch.

    Attributes:
        label: What was said of it.
        highest: Highest score of its windows, ``-log10 p``.
        mean: Their mean score.
        alarm: Whether an alarm that stood in it was raised, at the headline threshold.
    """

    label: Label
    highest: float
    mean: float
    alarm: bool


@dataclass(frozen=True, slots=True)
class StretchGroup:
    """Stretches of one kind against the normal ones.

    Attributes:
        name: Of the kind.
        stretches: How many.
        alarms: How many of them had an alarm.
        auroc: By their highest scores.
        auroc_mean: By their mean scores.
        partial: AUROC by the highest up to `MOST_FALL_OUT`, see `metrics.partial_auroc`.
        partial_mean: The same by the mean ones.
    """

    name: str
    stretches: int
    alarms: int
    auroc: float
    auroc_mean: float
    partial: float
    partial_mean: float


@dataclass(frozen=True, slots=True)
class StretchFigures:
    """All stretches.

    Attributes:
        every: Those in which something was wrong, against the normal ones.
        kinds: By kind.
        normal: How many normal ones there are.
        false: How many of those had an alarm.
        unseen: How many hold no window in which any stream was seen; they are left out.
        stretches: Each, by its start.
    """

    every: StretchGroup
    kinds: tuple[StretchGroup, ...]
    normal: int
    false: int
    unseen: int
    stretches: tuple[Stretch, ...]


def judge_stretches(
    watched: Watched, normal: Sequence[Label], alarms: Sequence[RaisedAlarm]
) -> StretchFigures | None:
    """Judge each labelled stretch as a whole; None where there are not both sorts of them.

    Args:
        watched: Scores beside the labels of what was wrong.
        normal: Labels of the kind ``normal``.
        alarms: Those of the headline threshold.
    """
    labels = sorted((*normal, *watched.labels), key=lambda label: (label.start_s, label.end_s))
    if len({label.kind == NORMAL for label in labels}) < 2:
        return None
    seen = ~watched.blind
    found = [_stretch(watched, label, seen, alarms) for label in labels]
    stretches = [one for one in found if one is not None]
    calm = [one for one in stretches if one.label.kind == NORMAL]
    wrong = [one for one in stretches if one.label.kind != NORMAL]
    if not calm or not wrong:
        return None
    kinds = grouped([one.label.kind or UNNAMED for one in wrong])
    return StretchFigures(
        every=_group("all", wrong, calm),
        kinds=tuple(_group(name, [wrong[n] for n in own], calm) for name, own in kinds.items()),
        normal=len(calm),
        false=sum(one.alarm for one in calm),
        unseen=len(labels) - len(stretches),
        stretches=tuple(stretches),
    )


def _stretch(
    watched: Watched, label: Label, seen: Bools, alarms: Sequence[RaisedAlarm]
) -> Stretch | None:
    """A labelled stretch; None: no window of it was seen.

    Windows count that lie in it by half or more, or that hold all of a shorter one.
    """
    held_s = np.minimum(watched.ends_s, label.end_s) - np.maximum(watched.starts_s, label.start_s)
    long_s = watched.ends_s - watched.starts_s
    own = seen & (held_s >= np.minimum(_LEAST * long_s, label.length_s)) & (held_s > 0)
    if not own.any():
        return None
    levels = watched.levels[own]
    span = label.start_s, label.end_s
    alarm = any(overlap(span, (one.start_s, one.end_s), 0.0) for one in alarms)
    return Stretch(label, float(levels.max()), float(levels.mean()), alarm)


def _group(name: str, wrong: Sequence[Stretch], calm: Sequence[Stretch]) -> StretchGroup:
    truth = np.arange(len(wrong) + len(calm)) < len(wrong)
    highest, mean = (
        np.array([getattr(one, field) for one in (*wrong, *calm)]) for field in ("highest", "mean")
    )
    return StretchGroup(
        name=name,
        stretches=len(wrong),
        alarms=sum(one.alarm for one in wrong),
        auroc=metrics.auroc(truth, highest),
        auroc_mean=metrics.auroc(truth, mean),
        partial=metrics.partial_auroc(truth, highest, MOST_FALL_OUT),
        partial_mean=metrics.partial_auroc(truth, mean, MOST_FALL_OUT),
    )
