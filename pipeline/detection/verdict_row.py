"""Verdicts on the windows of a scene one after the other, told with what lasted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from pipeline.detection.calibration import Verdict
from pipeline.detection.lasting import Lasting
from pipeline.detection.transition import anomaly_score


class Level(msgspec.Struct, array_like=True, frozen=True):
    """Score of a window by what it shows itself.

    Attributes:
        index: Index of the window.
        score: ``-log10 p``.
    """

    index: int
    score: float


class VerdictRow:
    """Remembers the latest windows in a row.

    Args:
        lasting: What scores in a row say together.
        levels: The latest windows, as `levels` gave them.
    """

    def __init__(self, lasting: Lasting, levels: Sequence[Level] = ()) -> None:
        self._lasting = lasting
        self._levels = list(levels)

    @property
    def levels(self) -> list[Level]:
        """The latest windows in a row; not a copy."""
        return self._levels

    def told(self, verdict: Verdict, index: int) -> Verdict:
        """The verdict on the next window, by what it shows itself, with what lasted.

        Args:
            verdict: By what it shows itself.
            index: Index of the window.
        """
        own = anomaly_score(verdict.p)
        before = [level for level in self._levels if level.index < index]
        if before and before[-1].index != index - 1:
            before = []
        self._levels = [*before, Level(index, own)][-self._lasting.windows :]
        score = self._lasting.of([level.score for level in self._levels])
        return verdict if score == own else with_score(verdict, score)


def with_score(verdict: Verdict, score: float) -> Verdict:
    """A verdict on a window that is told with another score."""
    own = anomaly_score(verdict.p)
    factor = verdict.lasting * score / own if own > 0.0 else verdict.lasting
    return replace(verdict, p=10.0**-score, lasting=factor)
