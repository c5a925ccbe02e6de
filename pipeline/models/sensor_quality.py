"""How well sensors read: channels stuck, out of range, with cells missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core.window import SensorSlice, Slice
from pipeline.models.quality import TOLD_BELOW, Array, Quality

_REASONS = ("stuck", "partly missing")
_NAMED = 3
_DUST = 1e-9  # of the value; what interpolation adds to one that stands still


class SensorInspector:
    """Measures of a sensor stream, ``K`` is twice its number of channels ``C``.

    First, per channel, the longest time without a change, as a share of the window; then,
    per channel, the share of cells that are missing. A channel that stood still for whole
    windows in normal (a door, a slow thermometer) can never be told to be stuck.

    Args:
        channels: Their names, ``(C,)``.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        self._channels = tuple(channels)
        count = len(self._channels)
        self.margins: Array = np.full(2 * count, 0.15)
        self.spans: Array = np.repeat([0.15, 0.35], count)

    def measure(self, part: Slice) -> Array:
        """Measures of a window, ``(2 * C,)``."""
        count = len(self._channels)
        if not isinstance(part, SensorSlice) or part.values.shape[1:] != (count,):
            return np.full(2 * count, np.nan)
        good = part.present & np.isfinite(part.values)  # (T, C)
        values = np.where(good, part.values, np.nan)
        return np.concatenate([_longest_still(values), 1.0 - good.mean(axis=0)])

    def judge(self, clear: Array) -> Quality:
        """As good as the share of live channels: one of many that hangs blinds none other."""
        if not len(clear):
            return Quality(1.0)
        kinds = clear.reshape(len(_REASONS), -1)  # (2, C)
        said = [
            f"{reason} ({self._named(bad)})"
            for reason, bad in zip(_REASONS, kinds < TOLD_BELOW, strict=True)
            if bad.any()
        ]
        return Quality(float(kinds.min(axis=0).mean()), " and ".join(said))

    def _named(self, bad: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> str:
        return _some([self._channels[c] for c in np.flatnonzero(bad)])


def out_of_range(part: Slice | None) -> str:
    """That channels read what they cannot, as a reason; empty: none does."""
    beyond = part.beyond if isinstance(part, SensorSlice) else ()
    return f"out of range ({_some(beyond)})" if beyond else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _longest_still(values: Array) -> Array:
    """Longest run without a change as a share of the steps, ``(T, C)`` to ``(C,)``."""
    steps = len(values) - 1
    if steps < 1:
        return np.zeros(values.shape[1])
    # A step to or from a missing cell is no proof of standing still: NaN compares as false.
    with np.errstate(over="ignore"):
        still = np.abs(np.diff(values, axis=0)) <= _DUST * np.abs(values[1:])
    number = np.arange(1, steps + 1)[:, None]
    moved = np.maximum.accumulate(np.where(still, 0, number), axis=0)
    return np.asarray((number - moved).max(axis=0) / steps)
