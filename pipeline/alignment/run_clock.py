"""Where a sample counter lies in time.

Each chunk of a run says when its counter read what: its offset is the time at which the
counter would have read zero at the nominal rate. Offsets scatter by the jitter of stamps and
wander when the device's true rate differs; both are estimated robustly from a few seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from pipeline.core.sample import Sample

_SCALE = 10**12
_NOISE_FLOOR_NS = 50
_DISORDER = 8  # chunks that jitter may carry a neighbour past


class EdgeClock:
    """Counter readings at the edges of segments of time.

    Args:
        rate_hz: Nominal rate of the counter.
        segment_s: Length of a segment, rounded to whole samples.
        memory_ns: Stamps this old still count.
    """

    def __init__(self, rate_hz: float, segment_s: float, memory_ns: int) -> None:
        self._milli_hz = round(rate_hz * 1000)
        self._memory_ns = memory_ns
        self._last_count = self._last_reach_ns = 0
        self.step = max(1, round(rate_hz * segment_s))

    def samples(self, span_ns: int) -> int:
        """Samples in a span, rounded; the output sample nearest to a time."""
        return (2 * span_ns * self._milli_hz + _SCALE) // (2 * _SCALE)

    def reach_ns(self, count: int) -> int:
        """Length of `count` samples and a half, ns."""
        if count != self._last_count:  # chunks of a stream are nearly always of one size
            self._last_count = count
            self._last_reach_ns = (2 * count + 1) * _SCALE // (2 * self._milli_hz)
        return self._last_reach_ns

    def offset_ns(self, sample: Sample) -> int:
        """When the counter of `sample` would have read zero at the nominal rate."""
        return sample.timestamp_ns - sample.position * _SCALE // self._milli_hz

    def span(self, number: int) -> tuple[int, int]:
        """Start and end of a segment, ns."""
        return self._edge_ns(number), self._edge_ns(number + 1)

    def _edge_ns(self, number: int) -> int:
        return number * self.step * _SCALE // self._milli_hz

    def known_ns(self, edge: int) -> int:
        """The counter at `edge` rests on chunks that ended before this time."""
        return self._edge_ns(edge - 1)

    def counter(self, ends: Sequence[int], offsets: Sequence[int], edge: int) -> int | None:
        """Counter of a run at the start of segment `edge`, in whole samples.

        Only chunks that ended before the segment before `edge` are asked, so the answer is
        there before the sound is. A run with none so old answers by its first chunk.

        Args:
            ends: End of each chunk of the run, nearly ascending, ns.
            offsets: Offset of each, ns.
            edge: Number of the segment.
        """
        known = self.known_ns(edge)
        oldest = known - self._memory_ns
        low, high = _within(ends, oldest), _within(ends, known)
        edge_ns = self._edge_ns(edge)
        if low < high:
            offset = _extrapolate(ends[low:high], offsets[low:high], edge_ns)
        elif low < len(ends):
            offset = offsets[low]
        else:
            return None
        # The tie is moved off the exact half, where stamps rounded to a nanosecond would
        # tip one edge up and the next one down.
        return ((edge_ns - offset) * self._milli_hz * 100 + 51 * _SCALE) // (100 * _SCALE)


def _within(ends: Sequence[int], time_ns: int) -> int:
    """The first chunk that no chunk ended before `time_ns` follows, nearly ascending `ends`."""
    place = bisect_left(ends, time_ns)
    for later in range(min(place + _DISORDER, len(ends)), place, -1):
        if ends[later - 1] < time_ns:
            return later
    while place > 0 and ends[place - 1] >= time_ns:
        place -= 1
    return place


def _extrapolate(ends: Sequence[int], offsets: Sequence[int], time_ns: int) -> int:
    """Offset at a time: the median, and the slope of two halves where it is beyond doubt."""
    centre = _median(offsets)
    half = len(offsets) // 2
    if half < 4 or max(offsets) - min(offsets) <= _NOISE_FLOOR_NS:
        return centre
    early, late = _median(offsets[:half]), _median(offsets[half:])
    spread = max(_spread(offsets[:half], early), _spread(offsets[half:], late))
    doubt = 4.0 * 1.86 * spread * (2.0 / half) ** 0.5
    if abs(late - early) <= doubt + _NOISE_FLOOR_NS:
        return centre
    early_ns = sum(ends[:half]) // half
    late_ns = sum(ends[half:]) // (len(ends) - half)
    return late + (late - early) * (time_ns - late_ns) // max(1, late_ns - early_ns)


def _median(values: Sequence[int]) -> int:
    return sorted(values)[len(values) // 2]


def _spread(values: Sequence[int], centre: int) -> int:
    """Median distance from the centre (times 1.86: standard error of a normal median)."""
    return _median([abs(value - centre) for value in values])
