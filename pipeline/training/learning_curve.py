"""What twice as much normal taught: one point of the learning curve of the held-out score.

Normal that came after a detector was learnt is held out from it by time itself. Each of its
windows has two scores: by the detector learnt from what came before, as it would have judged it
live, and by one learnt from all, which held the window out as well (`cross_fit`). Both are
calibrated, so the mean of ``-log10 p`` is about `EVEN` where nothing is new. By how much the
first is higher is what the further normal taught.

Windows overlap and what happens lasts, so windows are no independent draws: the interval is that
of the means of blocks of time (batch means, Student's t).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.calibration import Array, budget_of
from pipeline.detection.score import WindowScore
from pipeline.detection.transition import anomaly_score
from pipeline.training.event_metrics import alarms_of, levels_of
from pipeline.training.stream_data import Indices

EVEN = 1 / math.log(10)
"""Mean of ``-log10 p`` when p is spread evenly, as calibrated p-values of normal are."""

BLOCK_S = 30.0
_LEAST_BLOCKS = 4
_Z = 1.6448536269514722  # of the two-sided 90 % interval
_DRAWS = 100
_SEED = 0


@dataclass(frozen=True, slots=True)
class Gain:
    """What further normal taught.

    Attributes:
        learnt_s: Normal that the earlier detector learnt from, seconds.
        seconds: Normal that came after it, and that was judged twice.
        before: Mean score of that by the earlier detector.
        after: Mean score of it, held out, by the one learnt from all.
        low: Lower end of the 90 % interval of ``before - after``.
        high: Upper end.
        raised: Alarms that the earlier detector would have raised over it, by the threshold that
            it had for the budget.
        stood: Share of that time for which they would have stood.
        allowed: False alarms that the budget allows in as much time.
        newest: Mean score by detector of the earlier one, the highest first: where it was new.
    """

    learnt_s: float
    seconds: float
    before: float
    after: float
    low: float
    high: float
    raised: int
    stood: float
    allowed: float
    newest: Mapping[str, float]

    @property
    def mean(self) -> float:
        """By how much new normal scored higher."""
        return self.before - self.after


def gain_of(
    scores: Sequence[WindowScore],
    after: Array,
    *,
    alarm: AlarmSettings,
    threshold: float,
    hop_ns: int,
    learnt_s: float,
) -> Gain | None:
    """What the normal after some taught.

    Args:
        scores: By the detector learnt before, of the windows that came later, in order.
        after: Held-out scores of the same windows, ``(n,)``, by the detector learnt from all.
        alarm: The scene's alarm.
        threshold: Of that alarm, as the earlier detector had it.
        hop_ns: Step from one window to the next.
        learnt_s: Normal that the earlier detector learnt from, seconds.

    Returns:
        None when it is too little to tell.
    """
    before = levels_of(scores)
    seconds = len(before) * hop_ns / 1e9
    spread = _interval(before - after, round(BLOCK_S * 1e9 / hop_ns))
    if spread is None:
        return None
    alarms = alarms_of(scores, alarm, threshold, hop_ns, levels=before)
    return Gain(
        learnt_s=learnt_s,
        seconds=seconds,
        before=float(before.mean()),
        after=float(after.mean()),
        low=spread[0],
        high=spread[1],
        raised=len(alarms),
        stood=min(1.0, sum(one.end_s - one.start_s for one in alarms) / seconds),
        allowed=alarm.false_alarms_hz * seconds,
        newest=_newest(scores),
    )


def _newest(scores: Sequence[WindowScore]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for score in scores:
        for name, p in score.detectors.items():
            found.setdefault(name, []).append(anomaly_score(p))
    means = {name: float(np.mean(levels)) for name, levels in found.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1]))


def _interval(values: Array, block: int) -> tuple[float, float] | None:
    """90 % interval of the mean of a series, by the means of its blocks; None of too few."""
    count = len(values) // max(1, block)
    if count < _LEAST_BLOCKS:
        return None
    means = np.array([part.mean() for part in np.array_split(values, count)])
    off = _student(count - 1) * float(means.std(ddof=1)) / math.sqrt(count)
    middle = float(values.mean())
    return middle - off, middle + off


def _student(freedom: int) -> float:
    """95 % quantile of Student's t (Abramowitz and Stegun, 26.7.5), to 1 % from 3 degrees on."""
    z = _Z
    first = (z**3 + z) / (4 * freedom)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    return z + first + second + third


def threshold_interval(
    levels: Array, end_ns: Indices, hop_ns: int, alarm: AlarmSettings
) -> tuple[float, float]:
    """90 % interval of an alarm's threshold, had other normal of the kind been recorded.

    Blocks of time are drawn with replacement (bootstrap of blocks, Künsch 1989).

    Args:
        levels: Held-out score of each window, ``(n,)``.
        end_ns: End of each, growing ``(n,)``.
        hop_ns: Step from one window to the next.
        alarm: The alarm, with its budget.
    """
    block = max(1, round(BLOCK_S * 1e9 / hop_ns))
    parts = np.array_split(levels, max(1, len(levels) // block))
    draw = np.random.default_rng(_SEED)
    spans = (alarm.min_duration_s, alarm.clear_after_s)
    found = []
    for _ in range(_DRAWS):
        chosen = np.concatenate([parts[at] for at in draw.integers(len(parts), size=len(parts))])
        ends = end_ns[0] + np.arange(len(chosen), dtype=np.int64) * hop_ns
        drawn = budget_of(chosen, ends, hop_ns, alarm.false_alarms_hz, *spans)
        found.append(drawn.threshold)
    low, high = np.quantile(found, [0.05, 0.95])
    return float(low), float(high)
