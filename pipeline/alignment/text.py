"""Text: the lines that fell into the window."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from pipeline.alignment.track import Cut, Track
from pipeline.core.sample import Sample
from pipeline.core.window import TextSlice


class TextTrack(Track):
    """Lines of one stream."""

    def extent_ns(self, sample: Sample) -> int | None:
        """Its stamp, if the payload is text."""
        return sample.timestamp_ns if isinstance(sample.data, str) else None

    def needs_ns(self, start_ns: int, end_ns: int) -> int:
        """The end of the window."""
        return end_ns

    def cut(self, start_ns: int, end_ns: int, *, settled: bool, over: bool) -> Cut:
        """Lines with stamps in ``[start_ns, end_ns)``."""
        line = self.timeline
        low, high = bisect_left(line.stamps, start_ns), bisect_left(line.stamps, end_ns)
        line.used[low:high] = b"\1" * (high - low)
        samples = line.samples[low:high]
        found = TextSlice(
            info=self.info,
            timestamps_ns=np.array(line.stamps[low:high], dtype=np.int64),
            lines=tuple(str(s.data) for s in samples),
            coverage=0.0 if over else 1.0,
        )
        return Cut(found, max((s.uncertainty_ns for s in samples), default=0))

    def keep_from_ns(self, start_ns: int) -> int:
        """The start of the window."""
        return start_ns
