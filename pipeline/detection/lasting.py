"""What lasts is rarer than what one window shows: the windows of an anomaly come in a row.

A window of normal that is a little unusual is soon followed by one that is not. So the mean score
of the latest windows in a row is a second witness beside the newest score. Both are heard as the
parts of a detector are (`subsets.joined`), and what they say together is calibrated anew on the
held-out normal, so the rate of false alarms stays. An anomaly that is seen at its height in one
window is found as before: it is the newest that speaks then. And what was seen before counts for
`GOING_ON` times the newest score at most, so that an alarm ends with what raised it.

Where a window is missing in the row, or windows are left out, the newest speaks alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.detection.subsets import PARTS_ORDER, joined, joined_of, level_of, score_of
from pipeline.models.tails import Tail

GOING_ON = 1.5
"""Without it an alarm stood as long after its cause as a row is, and found no more."""

Array = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


class Lasting:
    """Calibration of scores of windows in a row.

    Args:
        levels: Scores of held-out normal windows by what each shows itself, ``(n,)``.
        end_ns: End of each, growing ``(n,)``.
        hop_ns: Step from one window to the next.
        windows: How many are looked at; 1: each speaks alone.

    Attributes:
        windows: As given.
        held_scores: Scores of the held-out windows with what lasted, ``(n,)``.
    """

    def __init__(self, levels: Array, end_ns: Times, hop_ns: int, windows: int) -> None:
        self.windows = windows
        self.held_scores = levels
        whole, means = _means(levels, end_ns, hop_ns, windows)
        self._means = self._together = None
        if windows > 1 and whole.any():
            self._means = Tail(means)
            newest = levels[whole]
            lasted = np.minimum(score_of(self._means.p(means)), GOING_ON * newest)
            together = joined(np.stack([newest, lasted], axis=1), PARTS_ORDER)
            self._together = Tail(together)
            self.held_scores = levels.copy()
            self.held_scores[whole] = score_of(self._together.p(together))

    def of(self, row: Sequence[float]) -> float:
        """Score of a window.

        Args:
            row: Its own score, last, after those of the windows right before it, as many as known.
        """
        if self._means is None or self._together is None or len(row) < self.windows:
            return row[-1]
        newest = row[-1]
        mean = math.fsum(row[-self.windows :]) / self.windows
        lasted = min(level_of(self._means.p_of(mean)), GOING_ON * newest)
        return level_of(self._together.p_of(joined_of((newest, lasted), PARTS_ORDER)))


def _means(
    levels: Array, end_ns: Times, hop_ns: int, windows: int
) -> tuple[npt.NDArray[np.bool_], Array]:
    """Windows that end a whole row, ``(n,)``, and the mean of each such row."""
    whole = np.zeros(len(levels), np.bool_)
    if len(levels) < windows:
        return whole, np.zeros(0)
    rows = np.lib.stride_tricks.sliding_window_view(levels, windows)
    last = end_ns[windows - 1 :]
    whole[windows - 1 :] = last - end_ns[: len(last)] == (windows - 1) * hop_ns
    return whole, rows[whole[windows - 1 :]].mean(axis=1)


ALONE = Lasting(np.zeros(0), np.zeros(0, np.int64), 1, 1)
"""Each window speaks alone."""
