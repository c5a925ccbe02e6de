"""Calibration of every subset of detectors: what remains when streams are missing.

Each subset is calibrated against the same held-out normal windows, made to see no more than
it does: what watches between the streams has fewer parts when a stream is away, and fewer
witnesses say less by chance. A subset is calibrated when it is met, and forgotten when
many others were met since.

A window's p is then right for any subset, but alarms are counted in peaks, and the threshold is
counted in those of all streams together: a subset whose rare windows lie further apart, or whose
tail came out a little short, would raise more. So its score is lowered until, in the same
held-out windows, it peaks no more often above any level than what could see all (see `Ceiling`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pipeline.detection.peaks import Ceiling, ceiling_of, peaks_of
from pipeline.models.detector_names import ODD
from pipeline.models.tails import SMALLEST_P, Tail

Array = npt.NDArray[np.float64]

PARTS_ORDER = 3.0
DETECTORS_ORDER = 4.0
"""How the parts of a detector, and the detectors, speak together, see `joined`."""

_KEPT = 256
"""Sets that are remembered: all those of six streams, and what two explanations of more ask for."""
_MIN_ROWS = 40
_DURATION_S, _MERGE_S = 1.0, 2.0  # as an alarm has them unless told otherwise


@dataclass(frozen=True, slots=True)
class Subset:
    """Calibration of the detectors that see.

    Attributes:
        parts: Sub-detectors that count, per detector.
        tails: Of what its parts say together, per detector.
        merged: Of what all detectors say together.
        worth: How much each detector counts among the others, ``(detectors,)``.
        alone: Held-out scores of each detector, ``(n,)``, NaN where not seen; other sets have
            them too.
        ceiling: Keeps it from peaking more often than everything together; None: nothing to keep.
    """

    parts: dict[str, tuple[str, ...]]
    tails: dict[str, Tail]
    merged: Tail
    worth: Array
    alone: tuple[Array, ...]
    ceiling: Ceiling | None = None

    def levels(self, rows: Array | slice = slice(None)) -> Array:
        """Merged ``-log10 p`` of held-out windows, as yet without a ceiling; NaN: saw nothing."""
        held = np.stack([scores[rows] for scores in self.alone], axis=1)
        return score_of(self.merged.p(joined(held * self.worth, DETECTORS_ORDER)))

    def told(self) -> Array:
        """Merged ``-log10 p`` of held-out windows as live ones are told; 0: saw nothing."""
        levels = np.nan_to_num(self.levels(), nan=0.0)
        if self.ceiling is None:
            return levels
        return np.array([self.ceiling.of(float(level)) for level in levels])

    def p_of(self, together: float) -> float:
        """p-value of what all detectors say together in one window."""
        p = self.merged.p_of(together)
        if self.ceiling is None:
            return p
        return math.pow(10.0, -self.ceiling.of(-math.log10(p)))


class Subsets:
    """Calibrations of one scene by what can be seen.

    Args:
        names: Sub-detectors, ``<detector>/<what>``.
        levels: Their held-out p-values as ``-log10 p``, ``(n, len(names))``; NaN where not seen.
        end_ns: End of each held-out window, growing ``(n,)``.
        hop_ns: Step from one window to the next.
        worth: How much detectors count among the others, by what they are; 1 if not told.
    """

    def __init__(
        self,
        names: Sequence[str],
        levels: Array,
        end_ns: npt.NDArray[np.int64],
        hop_ns: int,
        worth: Mapping[str, float],
    ) -> None:
        self._columns = {name: column for column, name in enumerate(names)}
        self._levels = levels
        self._end_ns, self._hop_ns = end_ns, hop_ns
        self._worth = worth
        # What an alarm of many streams asks for once must not be kept for ever: the longer it was
        # learnt, the more each set takes. Made again it is the same.
        self._by_seen = lru_cache(_KEPT)(self._of)
        self._closed = lru_cache(_KEPT)(self._with_ceiling)
        self._open = lru_cache(_KEPT)(self._calibrated)
        self._alone = lru_cache(_KEPT)(self._of_parts)
        self._every = self._counting(tuple(names))
        self.held_scores = self._held_scores()
        """Merged ``-log10 p`` of each held-out window by what saw it, ``(n,)``."""

    def of(self, seen: tuple[str, ...]) -> Subset:
        """Calibration for when only these sub-detectors see, in the order of all."""
        return self._by_seen(seen)

    def _of(self, seen: tuple[str, ...]) -> Subset:
        return self._closed(self._counting(seen))

    def worth_of(self, detector: str) -> float:
        """How much what a detector says counts among the others."""
        return self._worth.get(detector.partition(":")[0], 1.0)

    def _with_ceiling(self, names: tuple[str, ...]) -> Subset:
        found = self._open(names)
        return found if names == self._every else replace(found, ceiling=self._ceiling(found))

    def _ceiling(self, subset: Subset) -> Ceiling | None:
        """What keeps it from peaking more often than the windows did by all that saw them."""
        levels = subset.levels()
        rows = np.isfinite(levels)
        peaks, allowed = (
            peaks_of(x[rows], self._end_ns[rows], self._hop_ns, _DURATION_S, _MERGE_S)
            for x in (levels, self.held_scores)
        )
        return ceiling_of(peaks, allowed) if len(peaks) else None

    def _held_scores(self) -> Array:
        merged = np.zeros(len(self._levels))
        patterns, which = np.unique(np.isfinite(self._levels), axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            rows = which.ravel() == number
            seen = tuple(n for n, ok in zip(self._columns, pattern, strict=True) if ok)
            if seen:
                merged[rows] = self._open(self._counting(seen)).levels(rows)
        return merged

    def _counting(self, seen: tuple[str, ...]) -> tuple[str, ...]:
        """Sub-detectors that count, those of one detector after those of the other.

        A stream's own come and go with what it shows (a log without lines): they count
        while any of them sees. Those between the streams go when a stream goes. Of those that
        judge a set of streams only the largest set counts: a smaller one sees nothing more.
        """
        alive = {_detector(name) for name in seen}
        largest = max((_set_size(name) for name in seen if _detector(name) == ODD), default=0)
        counting: list[str] = []
        for name in self._columns:
            detector = _detector(name)
            if detector == ODD and _set_size(name) < largest:
                continue
            if detector in alive and (_of_a_stream(detector) or name in seen):
                counting.append(name)
        return tuple(name for members in _by_detector(counting).values() for name in members)

    def _calibrated(self, names: tuple[str, ...]) -> Subset:
        parts = _by_detector(names)
        made = [self._alone(members) for members in parts.values()]
        tails = {detector: tail for detector, (tail, _) in zip(parts, made, strict=True)}
        alone = tuple(scores for _, scores in made)
        held = np.stack(alone, axis=1)  # (n, detectors)
        whole = np.isfinite(held).all(axis=1)
        rows = held[whole] if whole.sum() >= _MIN_ROWS else held
        worth = np.array([self.worth_of(detector) for detector in parts])
        return Subset(parts, tails, Tail(joined(rows * worth, DETECTORS_ORDER)), worth, alone)

    def _of_parts(self, members: tuple[str, ...]) -> tuple[Tail, Array]:
        """Calibration of one detector by these parts, and its held-out scores ``(n,)``.

        Most sets have most of these in common.
        """
        together = self._together(_detector(members[0]), members)
        tail = Tail(together)
        return tail, score_of(tail.p(together))

    def _together(self, detector: str, members: tuple[str, ...]) -> Array:
        """What a detector's parts say together, ``(n,)``; NaN where not seen."""
        levels = self._levels[:, [self._columns[m] for m in members]]
        best = joined(levels, PARTS_ORDER)
        whole = np.isfinite(levels).all(axis=1)
        if not _of_a_stream(detector) and whole.sum() >= _MIN_ROWS:
            best[~whole] = np.nan  # fewer parts: another calibration
        return best


def score_of(p: Array) -> Array:
    """p-values as ``-log10 p``, finite but for NaN."""
    return np.asarray(-np.log10(np.maximum(p, SMALLEST_P)))


def level_of(p: float) -> float:
    """As `score_of`, of one p-value."""
    return -math.log10(max(p, SMALLEST_P))


def _by_detector(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Sub-detectors of each detector."""
    parts: dict[str, tuple[str, ...]] = {}
    for name in names:
        parts[_detector(name)] = (*parts.get(_detector(name), ()), name)
    return parts


def _detector(name: str) -> str:
    return name.partition("/")[0]


def _of_a_stream(detector: str) -> bool:
    """Whether it is a stream's own, ``<modality>:<stream>``, not between streams."""
    return ":" in detector


def _set_size(name: str) -> float:
    """Streams that ``odd/a|b+c`` judges together; without end for ``odd/a``, which judges all."""
    _, among, others = name.partition("|")
    return 2 + others.count("+") if among else math.inf


def joined(scores: Array, order: float) -> Array:
    """What several scores say together, ``(n, k)`` to ``(n,)``; NaN where there is none.

    The norm ``(sum s^order)^(1/order)`` of scores ``s = -log10 p``. Order 1 is Fisher's sum
    (1932, *Statistical Methods for Research Workers*, section 21.1), which one strong witness
    among many that saw nothing hardly moves; an order without end is the smallest p (Tippett,
    1931), which is deaf to a second witness. Of the orders between, as of the means that Vovk
    and Wang (2020, *Combining p-values via averaging*) compare, those of 3 to 4 found most on
    synthetic sites. Whatever the order, the result is calibrated anew.
    """
    seen = np.isfinite(scores)
    total = np.where(seen, scores, 0.0) ** order
    return np.where(seen.any(axis=1), total.sum(axis=1) ** (1.0 / order), np.nan)


def joined_of(scores: Iterable[float], order: float) -> float:
    """As `joined`, of the scores of one window."""
    return math.pow(math.fsum(score**order for score in scores), 1.0 / order)
