"""How well a microphone hears: clipped, silent."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pipeline.core.window import AudioSlice, Slice
from pipeline.models.quality import Array, Quality, worst_of

_REASONS = ("clipped", "silent", "silent")
_FULL_SCALE = 0.999
_FLOOR = 1e-6  # of full scale; below the last bit of 16


class AudioInspector:
    """Measures of an audio stream, ``K`` is 3.

    *Clipped*: share of samples in runs at full scale; a peak that just reaches it is no run.
    *Silent*: decibels below full scale, and the share of samples that are like the one before:
    digital silence shows in the second before it has drawn down the level of a whole window.
    """

    margins: Array = np.array([0.002, 6.0, 0.15])
    spans: Array = np.array([0.05, 12.0, 0.35])

    def measure(self, part: Slice) -> Array:
        """Measures of a window, ``(3,)``; NaN with fewer than two samples heard."""
        if not isinstance(part, AudioSlice):
            return np.full(len(_REASONS), np.nan)
        heard = part.samples if part.present.all() else part.samples[part.present]
        if len(heard) < 2:
            return np.full(len(_REASONS), np.nan)
        # Of several channels the worst: one that hangs spoils their mean.
        with np.errstate(invalid="ignore", over="ignore"):
            each = [_measures(np.ascontiguousarray(heard[:, c])) for c in range(heard.shape[1])]
        return np.asarray(np.max(each, axis=0))

    def judge(self, clear: Array) -> Quality:
        """As good as the worst measure."""
        return worst_of(clear, _REASONS)


def _measures(sound: npt.NDArray[np.float32]) -> tuple[float, float, float]:
    """Measures of one channel, ``(N,)``."""
    full = np.abs(sound) >= _FULL_SCALE
    clipped = np.count_nonzero(full[1:] & full[:-1]) / len(sound) if full.any() else 0.0
    level = math.sqrt(max(float(np.dot(sound, sound)) / len(sound) - float(sound.mean()) ** 2, 0))
    flat = np.count_nonzero(sound[1:] == sound[:-1]) / (len(sound) - 1)
    return clipped, -20.0 * math.log10(level + _FLOOR), flat
