"""A recording as it was scored, beside what was really there.

A window is *anomalous* when it holds at least a hop of a label (or all of a shorter one). One
that holds less of a label is *unclear* and counts neither way, and so is one in which no stream was
seen, between two clips for one: nothing could be found in it. A label that no scored window
shows lies *outside*: it is told, and is neither found nor missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.detection.score import WindowScore
from pipeline.training.event_metrics import SECOND_NS, TOLERANCE_S, levels_of
from pipeline.training.labels import Label
from pipeline.training.metrics import Bools, Floats, Ints

_ROUNDED_S = 0.002  # a CSV of scores tells milliseconds


@dataclass(frozen=True, slots=True)
class Watched:
    """Scores and labels of one scene on one time axis.

    Attributes:
        scores: One a window, in order.
        start_ns: Site time of second 0.
        hop_ns: Step from one window to the next.
        labels: Labels that scored windows show, by their start.
        outside: Labels that none does.
        levels: Merged score of each window, ``-log10 p``, ``(n,)``.
        starts_s: Start of each window, seconds, ``(n,)``.
        ends_s: End of each window, ``(n,)``.
        shows: Windows that show each label, by index.
        touches: Windows that hold any of each label, by index.
    """

    scores: tuple[WindowScore, ...]
    start_ns: int
    hop_ns: int
    labels: tuple[Label, ...]
    outside: tuple[Label, ...]
    levels: Floats
    starts_s: Floats
    ends_s: Floats
    shows: tuple[Ints, ...]
    touches: tuple[Ints, ...]

    @property
    def hop_s(self) -> float:
        """Step from one window to the next, seconds."""
        return self.hop_ns / SECOND_NS

    @property
    def watched_s(self) -> float:
        """Time that was scored, seconds; gaps do not count, nor where no stream was seen."""
        return float((~self.blind).sum()) * self.hop_s

    @property
    def blind(self) -> Bools:
        """Windows in which no detector saw anything, if any is named at all, ``(n,)``."""
        named = np.array([bool(score.detectors) for score in self.scores], np.bool_)
        return ~named if named.any() else np.zeros(len(self.scores), np.bool_)

    def truth(self, labels: Sequence[int] | None = None) -> Bools:
        """Which windows show any of some labels (by their number; None: all), ``(n,)``."""
        positive = np.zeros(len(self.scores), np.bool_)
        for number in range(len(self.labels)) if labels is None else labels:
            positive[self.shows[number]] = True
        return positive

    def touched(self, labels: Iterable[int]) -> Bools:
        """Which windows hold any of some labels, by their number, ``(n,)``."""
        held = np.zeros(len(self.scores), np.bool_)
        for number in labels:
            held[self.touches[number]] = True
        return held

    @property
    def unclear(self) -> Bools:
        """Which windows hold a little of a label and enough of none, or see nothing, ``(n,)``."""
        return (self.touched(range(len(self.labels))) | self.blind) & ~self.truth()

    def normal_s(self) -> float:
        """Time scored outside of all labels and their tolerance, seconds."""
        first, last = self.ends_s - self.hop_s, self.ends_s
        free = ~self.blind
        for label in (*self.labels, *self.outside):
            free &= ~((last > label.start_s - TOLERANCE_S) & (first < label.end_s + TOLERANCE_S))
        return float(free.sum()) * self.hop_s


def watch(
    scores: Sequence[WindowScore], labels: Sequence[Label], hop_ns: int, start_ns: int = 0
) -> Watched:
    """Lay scores and labels side by side.

    Args:
        scores: One a window of one scene, in order.
        labels: What was really there.
        hop_ns: Step from one window to the next.
        start_ns: Site time of second 0.
    """
    starts_s = np.array([(s.start_ns - start_ns) / SECOND_NS for s in scores])
    ends_s = np.array([(s.end_ns - start_ns) / SECOND_NS for s in scores])
    inside: list[Label] = []
    outside: list[Label] = []
    shows: list[Ints] = []
    touches: list[Ints] = []
    for label in sorted(labels, key=lambda label: (label.start_s, label.end_s)):
        held = np.minimum(ends_s, label.end_s) - np.maximum(starts_s, label.start_s)
        enough = held >= min(hop_ns / SECOND_NS, label.length_s) - _ROUNDED_S
        # A window that merely ends where a moment lies does not hold it.
        enough &= (ends_s > label.start_s) & (starts_s <= label.end_s)
        (inside if enough.any() else outside).append(label)
        if enough.any():
            shows.append(np.flatnonzero(enough).astype(np.int64))
            touches.append(np.flatnonzero(enough | (held > 0)).astype(np.int64))
    return Watched(
        scores=tuple(scores),
        start_ns=start_ns,
        hop_ns=hop_ns,
        labels=tuple(inside),
        outside=tuple(outside),
        levels=levels_of(scores),
        starts_s=starts_s,
        ends_s=ends_s,
        shows=tuple(shows),
        touches=tuple(touches),
    )
