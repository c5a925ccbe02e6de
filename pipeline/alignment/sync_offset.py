"""By how much the clocks of two streams differ, found from what both saw happen.

A clap, a flash or a knock changes the picture, the sound and a vibration at one true moment; so
do, less sharply, steps and doors on an ordinary recording. For every offset in question the
activity of the finer stream is added up over the stretches of the coarser one, moved by that
offset, and compared with the coarser stream's own activity (Pearson correlation): nothing is
resampled, so stamps may be uneven. The offset found is the middle of where the agreement is best.

How sure: a moment is known no better than the stretch of the coarser stream, but each further one
falls into another part of its stretch, so the error falls with the root of how many there were
(as many as weigh alike: the square of the sum over the sum of squares). That, or half the width
of the range of best agreement where it is wider, and the scatter of the offset when parts of the
recording are left out (jackknife, Efron and Stein 1981) are added in squares; half a stretch of
the finer stream comes on top. Whether there is anything in common at all is told by offsets that
cannot be right: the best agreement must stand clear of the best among those. One look in ten or
so takes streams with nothing in common to agree, which is well for one who looks once and knows
that he clapped; who looks again and again asks for more (`SyncOffset.certain`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.alignment.activity import Activity, Floats
from pipeline.core.errors import AlignmentError
from pipeline.core.sample import Modality, StreamInfo

_BEST_FIRST = (Modality.AUDIO, Modality.SENSOR, Modality.VIDEO)
STEP_NS = 2_000_000
_PARTS = 6
_STUDENT = 2.57  # 95 % of Student's t with as many parts less one
_SHARE = 0.9  # of a stretch by which one moment alone may be misplaced
_HOLDS = 0.5  # of the agreement: below, the part left out held what there was in common
_NEAR_BEST = 0.95  # of the best agreement: counts as equally good
_CLEAR = 1.5  # times the best wrong agreement
_LEAST_AGREEMENT = 0.15
_CERTAIN_CLEAR, _CERTAIN_AGREEMENT = 2.0, 0.25  # the same for who looks again and again
_LEAST_STRETCHES = 30
_REACH = 3  # spans: offsets from one to three spans either way count as wrong


@dataclass(frozen=True, slots=True)
class SyncOffset:
    """An offset between two streams.

    Attributes:
        first: Name of the one stream.
        second: Name of the other.
        offset_ns: The second says that things happen this much later than the first does.
        uncertainty_ns: The true offset lies within plus or minus this, as a rule (95 %).
        agreement: Correlation at the offset.
        wrong: Best correlation among offsets that cannot be right.
        offsets_ns: Offsets that were tried, ``(n,)``.
        curve: Correlation at each, ``(n,)``.
    """

    first: str
    second: str
    offset_ns: int
    uncertainty_ns: int
    agreement: float
    wrong: float
    offsets_ns: Floats
    curve: Floats

    @property
    def sure(self) -> bool:
        """Whether something was seen by both."""
        return self.agreement >= max(_LEAST_AGREEMENT, _CLEAR * self.wrong)

    @property
    def certain(self) -> bool:
        """Whether it is sure enough to be told unasked."""
        return self.agreement >= max(_CERTAIN_AGREEMENT, _CERTAIN_CLEAR * self.wrong)


def reference_of(activities: Mapping[str, Activity], infos: Mapping[str, StreamInfo]) -> str:
    """The stream to compare others with: sound knows moments best, then sensors; then the finest.

    Args:
        activities: Activity per stream, at least one; none of text.
        infos: The streams.
    """

    def rank(name: str) -> tuple[int, int]:
        return _BEST_FIRST.index(infos[name].modality), activities[name].stretch_ns

    return min(activities, key=rank)


def find_offset(
    first: Activity,
    second: Activity,
    span_ns: int = 1_000_000_000,
    step_ns: int = STEP_NS,
) -> SyncOffset:
    """The offset of the second stream against the first.

    Args:
        first: Activity of the one stream.
        second: Activity of the other, of the same time.
        span_ns: Largest offset that is looked for, either way.
        step_ns: From one offset that is tried to the next.

    Raises:
        AlignmentError: The two have too little time in common.
    """
    margin_ns = _REACH * span_ns
    first_ns = max(first.begin_ns[0], second.begin_ns[0])
    last_ns = min(first.end_ns[-1], second.end_ns[-1])
    finer_is_second = second.stretch_ns <= first.stretch_ns
    fine, coarse = (second, first) if finer_is_second else (first, second)
    inner = coarse.between(int(first_ns) + margin_ns, int(last_ns) - margin_ns)
    if len(inner.amount) < _LEAST_STRETCHES:
        raise AlignmentError(
            "too little time in common to compare by",
            where=f"{first.name} and {second.name}",
            fix=f"record at least {2 * margin_ns / 1e9 + 10:.0f} s of both",
        )
    offsets = np.arange(-span_ns, span_ns + 1, step_ns, dtype=np.float64)
    moved, wanted = _Moved(fine, inner), inner.amount
    curve, *parts = _curves(moved, wanted, offsets)
    best_ns, half_width_ns = _best(offsets, curve)
    moments = _moments(moved.by(offsets[int(curve.argmax())]), wanted)
    half_width_ns = max(half_width_ns, _SHARE * coarse.stretch_ns / np.sqrt(moments))
    scatter_ns = _scatter(curve, parts, offsets)
    wrong = max(
        _correlation(moved.by(offset + away), wanted)
        for away in (turns * 2 * span_ns for turns in (-1, 1))
        for offset in offsets
    )
    sign = 1 if finer_is_second else -1
    return SyncOffset(
        first=first.name,
        second=second.name,
        offset_ns=round(sign * best_ns),
        uncertainty_ns=round(np.hypot(half_width_ns, _STUDENT * scatter_ns) + fine.stretch_ns / 2),
        agreement=float(curve.max()),
        wrong=wrong,
        offsets_ns=sign * offsets,
        curve=curve,
    )


class _Moved:
    """Activity of the finer stream per stretch of the coarser.

    Args:
        fine: The finer stream.
        coarse: The coarser, ``(n,)`` stretches.
    """

    def __init__(self, fine: Activity, coarse: Activity) -> None:
        origin = int(fine.begin_ns[0])
        self._edges = np.concatenate([[0], (fine.end_ns - origin)]).astype(np.float64)
        self._total = np.concatenate([[0.0], np.cumsum(fine.amount)])
        begin, end = coarse.begin_ns - origin, coarse.end_ns - origin
        self._begin, self._end = begin.astype(np.float64), end.astype(np.float64)
        self._sides: Floats | None = None
        if np.array_equal(begin[1:], end[:-1]):  # each edge but the outer ones is needed once
            self._sides = np.concatenate([self._begin[:1], self._end])

    def by(self, offset: float) -> Floats:
        """With the stretches moved by an offset, ``(n,)``."""
        if self._sides is not None:
            return np.diff(self._until(self._sides + offset))
        return self._until(self._end + offset) - self._until(self._begin + offset)

    def _until(self, times: Floats) -> Floats:
        return np.asarray(np.interp(times, self._edges, self._total))


def _curves(moved: _Moved, wanted: Floats, offsets: Floats) -> Floats:
    """Agreement at each offset, then with each part of the time left out, ``(1 + parts, n)``.

    Offset by offset: all of them at once would need gigabytes for long or fast streams.
    """
    all_of_it = np.arange(len(wanted))
    parts = np.array_split(all_of_it, _PARTS)
    kept = [all_of_it, *(np.setdiff1d(all_of_it, part) for part in parts)]
    table = np.empty((len(kept), len(offsets)))
    for number, offset in enumerate(offsets):
        found = moved.by(offset)
        table[:, number] = [_correlation(found[some], wanted[some]) for some in kept]
    return table


def _correlation(found: Floats, wanted: Floats) -> float:
    """0 where either does not change."""
    row, other = found - found.mean(), wanted - wanted.mean()
    size = float(np.sqrt(np.square(row).sum() * np.square(other).sum()))
    return float(row @ other) / size if size > 0 else 0.0


def _best(offsets: Floats, curve: Floats) -> tuple[float, float]:
    """Middle and half width of the range of best agreement, around its highest point."""
    top = int(curve.argmax())
    good = curve >= _NEAR_BEST * curve[top]
    first = last = top
    while first > 0 and good[first - 1]:
        first -= 1
    while last < len(good) - 1 and good[last + 1]:
        last += 1
    middle = (offsets[first] + offsets[last]) / 2
    return float(middle), float((offsets[last] - offsets[first] + offsets[1] - offsets[0]) / 2)


def _moments(found: Floats, wanted: Floats) -> float:
    """How many moments the agreement rests on, at least 1."""
    weights = np.maximum((found - found.mean()) * (wanted - wanted.mean()), 0.0)
    squares = float(np.square(weights).sum())
    return max(1.0, float(weights.sum()) ** 2 / squares) if squares > 0 else 1.0


def _scatter(whole: Floats, parts: Sequence[Floats], offsets: Floats) -> float:
    """Standard error of the offset by leaving out one part of the time after the other."""
    holds = _HOLDS * float(whole.max())
    found = [_best(offsets, curve)[0] for curve in parts if float(curve.max()) >= holds]
    away = np.array(found) - np.mean(found) if found else np.zeros(1)
    return float(np.sqrt((_PARTS - 1) / _PARTS * np.square(away).sum()))
