"""From raw scores to p-values, and from a false-alarm budget to a threshold. No torch.

Four steps, each against the scene's held-out normal windows, so that the false-alarm rate
is known after every one of them:

1. each sub-detector's score becomes a p-value (rank, with a Pareto tail beyond the data);
2. what a detector's parts say together (`subsets.joined`) is calibrated anew: one p per detector;
3. what all detectors say together, each for what it is worth, is calibrated anew: the p of what
   the window itself shows;
4. that of the windows right before it is heard too, see `Lasting` and `VerdictRow`.

When streams are missing, steps 2 and 3 are done for what remains, and the result raises no more
alarms on the held-out normal than all streams together do, see `Subsets`. Step 4 is that of all
streams then, too: on three synthetic sites that made one alarm more in half an hour at most.

A sub-detector that could see only badly has a weight w under 1, by which its -log10 p is
multiplied before step 2 (Good, 1955, *On the weighted combination of significance tests*).
It can only take away: p^w is at least p, so whatever the weights depend on, no window comes
out rarer than without them. (Weights that keep the mean of all p-values, p/w as in Genovese,
Roeder and Wasserman, 2006, *False discovery control with p-value weighting*, would make the
others' evidence count more when one cannot see, and need weights that do not depend on it.)

Windows overlap and an anomaly lasts, so alarms are not counted in windows: what is counted
are peaks, see `pipeline.detection.peaks`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pipeline.detection.lasting import Lasting
from pipeline.detection.peaks import peaks_of, windows_held
from pipeline.detection.subsets import (
    DETECTORS_ORDER,
    PARTS_ORDER,
    Subsets,
    joined_of,
    level_of,
    score_of,
)
from pipeline.models.detector_names import ODD
from pipeline.models.tails import SMALLEST_P, Tail

Array = npt.NDArray[np.float64]

_FIT_PEAKS = 20
_FEWEST_PEAKS = 10  # that tell how many windows one has
_SPARSE = 0.1  # of the peaks that there is room for
_COUNTABLE = 0.95  # false alarms that fit what was recorded; half an hour has a little less
_EQUAL = 1e-9  # levels so near to each other are the same
_LEAST_FALL = 0.05  # of the tail of peaks: the mean of what they are over its beginning
_LEAST_LEVEL = 1e-3  # of a threshold: a window that shows nothing has the level 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Calibrated p-values of one window.

    Attributes:
        p: Merged.
        detectors: Per detector that could see.
        parts: Sub-detector with the smallest p, per detector.
        seen: Sub-detectors that could see, in the order of all.
        lasting: By what the score of `p` is more or less than that of this window alone.
    """

    p: float
    detectors: dict[str, float]
    parts: dict[str, str]
    seen: tuple[str, ...] = ()
    lasting: float = 1.0


@dataclass(frozen=True, slots=True)
class Budget:
    """What a threshold means in false alarms.

    Attributes:
        threshold: On the anomaly score, ``-log10 p``.
        false_alarms_hz: The rate asked for.
        low_hz: Lower end of the 90 % interval of the rate to expect.
        high_hz: Upper end.
        calibration_s: Length of normal data behind it, seconds.
        supported: True when at least one false alarm of this budget fits the normal data, so
            that the threshold was counted; False when it was extrapolated.
    """

    threshold: float
    false_alarms_hz: float
    low_hz: float
    high_hz: float
    calibration_s: float
    supported: bool


class Calibration:
    """Calibration of one scene.

    Args:
        names: Sub-detectors, ``<detector>/<what>``.
        scores: Held-out normal scores, ``(n, len(names))``; NaN where not seen.
        end_ns: End of each window, ``(n,)``, growing.
        hop_ns: Step from one window to the next.
        worth: How much detectors count among the others, see `WorthSettings`; 1 if not told.
        windows: How many windows in a row are looked at.

    Attributes:
        detectors: Detectors.
        lasting: What their scores in a row say together.
        held_scores: Scores of the held-out windows as live ones are told, ``(n,)``.
    """

    def __init__(
        self,
        names: Sequence[str],
        scores: Array,
        end_ns: npt.NDArray[np.int64],
        hop_ns: int,
        worth: Mapping[str, float] = MappingProxyType({}),
        windows: int = 1,
    ) -> None:
        self._columns = {name: column for column, name in enumerate(names)}
        self._end_ns = end_ns
        self._hop_ns = hop_ns
        self._subs = {name: Tail(scores[:, column]) for name, column in self._columns.items()}
        levels = [score_of(self._subs[name].p(scores[:, c])) for name, c in self._columns.items()]
        self._subsets = Subsets(names, np.stack(levels, axis=1), end_ns, hop_ns, worth)
        self._whole = self._subsets.of(tuple(names))
        self.detectors = tuple(self._whole.parts)
        self.lasting = Lasting(self._subsets.held_scores, end_ns, hop_ns, windows)
        self.held_scores = self.lasting.held_scores

    def held_by_detector(self) -> dict[str, Array]:
        """Held-out scores (``-log10 p``) per detector, NaN where it could not see, ``(n,)``."""
        return dict(zip(self.detectors, self._whole.alone, strict=True))

    @property
    def held_end_ns(self) -> npt.NDArray[np.int64]:
        """End of each held-out window, ``(n,)``."""
        return self._end_ns

    def merge(self, detectors: Mapping[str, float], seen: tuple[str, ...] = ()) -> float:
        """The p-value of what a window itself shows from those of its detectors; 1 without any.

        Args:
            detectors: p-value per detector.
            seen: Sub-detectors that could see, see `Verdict`; none: all parts of `detectors`.
        """
        if not detectors:
            return 1.0
        parts = seen or tuple(n for n in self._columns if n.partition("/")[0] in detectors)
        levels = (self._subsets.worth_of(name) * level_of(p) for name, p in detectors.items())
        together = joined_of(levels, DETECTORS_ORDER)
        return self._subsets.of(parts).p_of(together)

    def judge(self, scores: Array, weights: Array | None = None) -> Verdict:
        """p-values of what one window itself shows.

        Args:
            scores: Its raw scores, ``(len(names),)``; NaN where not seen.
            weights: How much each can be trusted, 0 to 1, ``(len(names),)``; None: all in full.
        """
        found: dict[str, float] = {}
        for name, column in self._columns.items():
            p = self._subs[name].p_of(float(scores[column]))
            if not math.isnan(p):
                found[name] = p if weights is None else p ** float(weights[column])
        if not found:
            return Verdict(1.0, {}, {})
        known = self._subsets.of(tuple(found))
        detectors: dict[str, float] = {}
        parts: dict[str, str] = {}
        for detector, members in known.parts.items():
            parts[detector] = min((m for m in members if m in found), key=found.__getitem__)
            together = joined_of((level_of(found[m]) for m in members if m in found), PARTS_ORDER)
            detectors[detector] = known.tails[detector].p_of(together)
        seen = tuple(found)
        return Verdict(self.merge(detectors, seen), detectors, parts, seen)

    def budget(
        self,
        false_alarms_hz: float,
        *,
        min_duration_s: float = 0.0,
        merge_s: float = 2.0,
        every: int = 1,
    ) -> Budget:
        """Threshold for a budget, and how sure it is.

        Args:
            false_alarms_hz: False alarms per second that may be spent.
            min_duration_s: The alarm's minimum duration.
            merge_s: The alarm's merge gap.
            every: Only every so many windows are scored. What looks at several in a row says
                nothing then, so the threshold is the higher one of with it and without.
        """
        rules = (self._hop_ns, false_alarms_hz, min_duration_s, merge_s, every)
        levels = [self.held_scores] if every == 1 else list(self._in_no_row())
        found = [budget_of(one, self._end_ns, *rules) for one in levels]
        return max(found, key=lambda budget: budget.threshold)

    def _in_no_row(self) -> Iterator[Array]:
        """Held-out scores ``(n,)`` by each window alone, and without what looks at several."""
        yield self._subsets.held_scores
        seen = tuple(name for name in self._columns if name.partition("/")[0] != ODD)
        if len(seen) < len(self._columns):
            yield self._subsets.of(seen).told()

    def peaks(self, min_duration_s: float, merge_s: float) -> Array:
        """Heights of the separate peaks of normal, falling; see `peaks_of`."""
        return peaks_of(self.held_scores, self._end_ns, self._hop_ns, min_duration_s, merge_s)


def budget_of(
    levels: Array,
    end_ns: npt.NDArray[np.int64],
    hop_ns: int,
    false_alarms_hz: float,
    min_duration_s: float,
    merge_s: float,
    every: int = 1,
) -> Budget:
    """Threshold for a budget by the levels of some normal windows, and how sure it is.

    Args:
        levels: Merged score of each window, ``(n,)``.
        end_ns: End of each window, growing ``(n,)``.
        hop_ns: Step from one window to the next.
        false_alarms_hz: False alarms per second that may be spent.
        min_duration_s: The alarm's minimum duration.
        merge_s: The alarm's merge gap.
        every: Only every so many windows are scored, beginning with any: peaks are counted for
            each beginning, and their mean is what is to be expected.
    """
    step_ns = every * hop_ns
    grids = [end_ns // hop_ns % every == first for first in range(every)]
    found = [peaks_of(levels[g], end_ns[g], step_ns, min_duration_s, merge_s) for g in grids]
    peaks = np.sort(np.concatenate(found))[::-1]
    length_s = len(end_ns) * hop_ns / 1e9
    expected = false_alarms_hz * length_s
    threshold = _level_for(peaks, expected * every)
    if expected < _COUNTABLE:
        # Too few peaks to count. Where a peak has so many windows above a level, a share p of
        # windows above it makes p / (windows * hop) alarms a second.
        least = windows_held(min_duration_s, step_ns)
        room = length_s / (2 * merge_s + least * step_ns / 1e9) * every
        windows = max(least, _windows_a_peak(levels, peaks[: int(_SPARSE * room)]))
        share = false_alarms_hz * windows * step_ns / 1e9
        threshold = max(threshold, float(score_of(np.array(share))))
    low, high = poisson_interval(expected)
    return Budget(
        threshold,
        false_alarms_hz,
        low / length_s if length_s else 0.0,
        high / length_s if length_s else np.inf,
        length_s,
        expected >= _COUNTABLE,
    )


def _level_for(peaks: Array, expected: float) -> float:
    """Level that `expected` of the peaks (falling) lie above; beyond them by their tail."""
    if not len(peaks):
        return -np.log10(SMALLEST_P) if expected <= 0 else 1.0
    if expected >= _COUNTABLE:
        return _counted_level(peaks, expected)
    top = _highest(peaks)
    fall = float((top - top[-1]).sum() / max(1, len(top) - 1))  # mean excess: exponential tail
    return float(top[-1] + max(fall, _LEAST_FALL) * np.log(len(top) / max(expected, 1e-12)))


def _counted_level(peaks: Array, expected: float) -> float:
    """As `_level_for`, where the peaks (falling) can be counted.

    Where many peaks are of the same height, as those of a log of few lines are, they all raise or
    none does: then none, and the level stays half of the way to the next higher one.
    """
    # Just above the peak that must not raise: interpolate to the next higher one.
    level = float(np.interp(expected + 0.5, np.arange(1, len(peaks) + 1), peaks))
    level = max(level, _LEAST_LEVEL)
    if len(peaks) <= expected + 0.5:
        return level
    silent = float(peaks[math.floor(expected + 0.5)])  # the highest that must not raise
    alike = int((np.abs(peaks - silent) <= _EQUAL).sum())
    if alike < 2:
        return level
    higher = peaks[peaks > silent + _EQUAL]
    if len(higher):
        return max(level, (silent + float(higher[-1])) / 2.0)
    return silent + _LEAST_FALL * math.log(alike / expected)


def _windows_a_peak(levels: Array, peaks: Array) -> float:
    """Windows above the lowest of the highest of these peaks (falling), to one peak; 0: unknown.

    One over the extremal index, by runs (Smith and Weissman, 1994, *Estimating the extremal
    index*, section 1): what is rare comes in clusters, as windows overlap and a thing stays. The
    peaks must lie so far apart that hardly two are taken for one by chance.
    """
    if len(peaks) < _FEWEST_PEAKS:
        return 0.0
    level = _highest(peaks)[-1]
    return float((levels >= level).sum() / (peaks >= level).sum())


def _highest(peaks: Array) -> Array:
    """The peaks (falling) that a tail is fitted to."""
    return peaks[: max(2, min(_FIT_PEAKS, len(peaks) // 2))]


def poisson_interval(expected: float, z: float = 1.645) -> tuple[float, float]:
    """Central 90 % interval of the true mean when `expected` events were counted.

    Garwood's interval through the Wilson-Hilferty approximation of chi-square quantiles.
    """
    if expected <= 0:
        return 0.0, 3.0
    low = expected * max(0.0, 1 - 1 / (9 * expected) - z / (3 * expected**0.5)) ** 3
    more = expected + 1
    return low, more * (1 - 1 / (9 * more) + z / (3 * more**0.5)) ** 3
