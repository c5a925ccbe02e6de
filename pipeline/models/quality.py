"""How well a stream sees, against how well it saw while its site's normal was learnt.

Each modality has a few *measures* of a window, all turned so that more is worse: how dark, how
still, how flat. The site's own normal sets their limits: a camera that was dark every night
while it was learnt is not degraded at night, and a picture that a codec repeats in an empty
room is not frozen. Inside its limit a measure changes nothing. Beyond it, the stream's weight
falls smoothly from 1 to 0.

Windows are judged one at a time, by themselves: what never changed for a whole window in
normal is stuck when it does, and what often did cannot be told from stuck.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.core.window import Slice

Array = npt.NDArray[np.float64]

TOLD_BELOW = 0.5
_USUAL_WORST = 0.995  # quantile of the normal windows; the few beyond may be faults in it
_SPREAD = 0.5  # of the way from the median to the usual worst; its like may still come


@dataclass(frozen=True, slots=True)
class Quality:
    """How far a stream can be trusted in one window.

    Attributes:
        weight: 1 when it saw as well as ever, 0 when it saw nothing.
        reason: Why it is degraded, as in "camera was <reason>"; empty when it is not.
    """

    weight: float
    reason: str = ""


class Inspector(Protocol):
    """Measures of one stream. Has no state.

    Attributes:
        margins: What beyond the usual worst of normal changes nothing, ``(K,)``.
        spans: From there until nothing can be seen, ``(K,)``.
    """

    margins: Array
    spans: Array

    def measure(self, part: Slice) -> Array:
        """Measures of a window, ``(K,)``; NaN where they cannot be told."""
        ...

    def judge(self, clear: Array) -> Quality:
        """The stream's quality from the weight of each measure, ``(K,)``."""
        ...


class NothingToInspect:
    """A stream that is there or not, and nothing between: a log."""

    margins: Array = np.zeros(0)
    spans: Array = np.zeros(0)

    def measure(self, part: Slice) -> Array:
        """No measures, ``(0,)``."""
        return np.zeros(0)

    def judge(self, clear: Array) -> Quality:
        """Always as good as ever."""
        return Quality(1.0)


def learn_limits(measures: Array, inspector: Inspector) -> Array:
    """How bad each measure may be, ``(K,)``; infinite where normal did not tell.

    Args:
        measures: Of the normal windows, ``(n, K)``; NaN where they could not be told.
        inspector: What made them.
    """
    limits = np.full(measures.shape[1], np.inf)
    told = np.isfinite(measures).any(axis=0)
    worst = np.nanquantile(measures[:, told], _USUAL_WORST, axis=0)
    spread = worst - np.nanmedian(measures[:, told], axis=0)
    limits[told] = worst + np.maximum(inspector.margins[told], _SPREAD * spread)
    return limits


def clearness(measures: Array, limits: Array, inspector: Inspector) -> Array:
    """Weight of each measure, ``(K,)``: 1 up to its limit, 0 from a span beyond it."""
    beyond = np.nan_to_num((measures - limits) / inspector.spans, nan=0.0).clip(0.0, 1.0)
    return np.asarray(1.0 - beyond**2 * (3.0 - 2.0 * beyond))


def worst_of(clear: Array, reasons: tuple[str, ...]) -> Quality:
    """As good as the worst measure; the first that is clearly bad says why."""
    bad = np.flatnonzero(clear < TOLD_BELOW)
    return Quality(float(clear.min()), reasons[bad[0]] if len(bad) else "")
