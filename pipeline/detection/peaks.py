"""Peaks of a score over time: what would raise alarms, counted one by one. No torch.

Windows overlap and an anomaly lasts, so alarms are not counted in windows. A peak is the highest
level that was held for an alarm's minimum duration; two belong together when less than the
merge gap lies between them, as for the alarm, which is over once its level was missed so long.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


def peaks_of(
    levels: Array, end_ns: Times, hop_ns: int, min_duration_s: float, merge_s: float
) -> Array:
    """Heights of the separate peaks, falling.

    Args:
        levels: Score of each window, ``(n,)``.
        end_ns: End of each window, growing ``(n,)``.
        hop_ns: Step from one window to the next.
        min_duration_s: How long an alarm's level must hold.
        merge_s: Alarms less than this apart are one.
    """
    count = windows_held(min_duration_s, hop_ns)
    held, ends = _held_levels(levels, end_ns, hop_ns, count)
    return _separate(held, ends, int(merge_s * 1e9) + count * hop_ns)


def windows_held(min_duration_s: float, hop_ns: int) -> int:
    """Windows in a row for which an alarm's level must hold."""
    return max(1, int(np.ceil(min_duration_s * 1e9 / hop_ns)))


def _held_levels(levels: Array, end_ns: Times, hop_ns: int, count: int) -> tuple[Array, Times]:
    """Lowest level of each run of `count` windows without a gap, and the run's end."""
    if len(levels) < count:
        return np.zeros(0), np.zeros(0, np.int64)
    runs = np.lib.stride_tricks.sliding_window_view(levels, count).min(axis=1)
    whole = end_ns[count - 1 :] - end_ns[: len(end_ns) - count + 1] == (count - 1) * hop_ns
    return runs[whole], end_ns[count - 1 :][whole]


def _separate(levels: Array, ends: Times, apart_ns: int) -> Array:
    """Greedy declustering: the highest first, nothing nearer than `apart_ns` to one taken."""
    lows = np.searchsorted(ends, ends - apart_ns, "right").tolist()
    highs = np.searchsorted(ends, ends + apart_ns).tolist()
    free = bytearray(b"\1") * len(levels)
    peaks: list[float] = []
    for at in np.argsort(-levels, kind="stable").tolist():
        if free[at]:
            peaks.append(float(levels[at]))
            free[lows[at] : highs[at]] = bytes(highs[at] - lows[at])
    return np.array(peaks)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Lowers a score until it peaks no more often than another one did at the same time.

    The k-th highest peak becomes what the other's k-th highest is, unless it is lower anyway.
    Between peaks it is drawn straight, and beyond the highest it goes on in parallel. So above
    any level there are no more peaks than the other score had.

    Attributes:
        own: Heights of the peaks, rising ``(k,)``.
        most: What becomes of them, rising ``(k,)``.
    """

    own: Array
    most: Array

    def of(self, level: float) -> float:
        """What becomes of a level; never more than it is."""
        beyond = max(0.0, level - float(self.own[-1]))
        return min(level, float(np.interp(level, self.own, self.most)) + beyond)


def ceiling_of(peaks: Array, other: Array) -> Ceiling:
    """The ceiling of a score by its peaks and the other's, both falling."""
    allowed = np.zeros(len(peaks))
    allowed[: len(other)] = other[: len(peaks)]
    own, most = peaks[::-1], np.minimum(peaks, allowed)[::-1]
    # Below the lowest peak nothing is a peak: down to no level at all.
    return Ceiling(np.append(0.0, own), np.append(0.0, most))
