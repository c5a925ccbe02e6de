"""Video: the frame nearest each point of a regular grid.

A frame fits a point when it lies within half a grid period of it, and a little further when
its own clock is uncertain (by that uncertainty, at most a quarter period). Each frame serves
at most one point of a window. Of two frames equally near, within their uncertainty, the
earlier is taken: a camera whose frames fall halfway between points would else flip between
neighbours with every breath of jitter, and lose frames.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np
import numpy.typing as npt

from pipeline.alignment.grid import Grid
from pipeline.alignment.settings import StreamOptions
from pipeline.alignment.track import FALLBACK_GRID_HZ, Cut, Track
from pipeline.core.sample import Sample, StreamInfo
from pipeline.core.window import VideoSlice


class VideoTrack(Track):
    """Frames of one stream."""

    def __init__(self, info: StreamInfo, options: StreamOptions, window_ns: int) -> None:
        super().__init__(info, options, window_ns)
        rate = options.grid_hz or info.rate_hz or FALLBACK_GRID_HZ
        self._grid = Grid(max(rate, 1e9 / window_ns))
        self._count = self._grid.count(window_ns)
        self._half_ns = self._grid.period_ns // 2
        self._slack_ns = self._grid.period_ns // 4

    def extent_ns(self, sample: Sample) -> int | None:
        """Its stamp, unless the payload is text or empty."""
        data = sample.data
        return None if isinstance(data, str) or len(data) == 0 else sample.timestamp_ns

    def needs_ns(self, start_ns: int, end_ns: int) -> int:
        """Half a period, and room for uncertainty, past the last grid point."""
        return self._grid.last_ns(start_ns, self._count) + self._half_ns + self._slack_ns

    def cut(self, start_ns: int, end_ns: int, *, settled: bool, over: bool) -> Cut:
        """Frames on the window's grid."""
        grid = self._grid.points(start_ns, self._count)
        line = self.timeline
        reach = self._half_ns + self._slack_ns
        low = bisect_left(line.stamps, int(grid[0]) - reach)
        high = bisect_right(line.stamps, int(grid[-1]) + reach)
        samples = line.samples[low:high]
        doubts = [sample.uncertainty_ns for sample in samples]
        chosen = match(
            np.array(line.stamps[low:high], dtype=np.int64),
            np.minimum(np.array(doubts, dtype=np.int64), self._slack_ns),
            grid,
            self._half_ns,
        )
        indices = chosen.tolist()
        taken = [index for index in indices if index >= 0]
        for index in taken:
            line.used[low + index] = 1
        found = VideoSlice(
            info=self.info,
            grid_ns=grid,
            frames=tuple([samples[index] if index >= 0 else None for index in indices]),
            present=chosen >= 0,
            coverage=len(taken) / len(grid),
        )
        return Cut(found, max((doubts[index] for index in taken), default=0))

    def keep_from_ns(self, start_ns: int) -> int:
        """As far back as the first grid point of a window can reach."""
        return start_ns - 2 * self._half_ns - self._slack_ns - 2


def match(
    stamps: npt.NDArray[np.int64],
    slack: npt.NDArray[np.int64],
    grid: npt.NDArray[np.int64],
    half_ns: int,
) -> npt.NDArray[np.int64]:
    """Index of the frame for each grid point, -1 for none, ``(T,)``.

    Args:
        stamps: Times of the frames, ascending, ``(F,)`` ns.
        slack: How far beyond `half_ns` each frame may reach, ``(F,)`` ns.
        grid: Times of the points, ascending, ``(T,)`` ns.
        half_ns: Half the period of the grid.
    """
    if len(stamps) == 0:
        return np.full(len(grid), -1, dtype=np.int64)
    after = np.searchsorted(stamps, grid, side="left")
    right = np.minimum(after, len(stamps) - 1)
    left = np.maximum(after - 1, 0)
    to_right = np.abs(stamps[right] - grid)
    to_left = np.abs(grid - stamps[left])
    near_left = (to_left <= to_right + slack[left]) & (to_left <= half_ns + slack[left])
    chosen = np.where(near_left, left, right)
    chosen[np.where(near_left, to_left, to_right) > half_ns + slack[chosen]] = -1
    taken = chosen[chosen >= 0]
    if len(taken) > 1 and not (np.diff(taken) > 0).all():
        _settle_conflicts(chosen, stamps, slack, grid, half_ns)
    return chosen


def _settle_conflicts(
    chosen: npt.NDArray[np.int64],
    stamps: npt.NDArray[np.int64],
    slack: npt.NDArray[np.int64],
    grid: npt.NDArray[np.int64],
    half_ns: int,
) -> None:
    """Give a frame wanted twice to the earlier point; the later takes the next, if it fits."""
    last = -1
    for point in range(len(grid)):
        index = int(chosen[point])
        if index < 0:
            continue
        if index <= last:
            index = last + 1
            fits = index < len(stamps) and abs(int(stamps[index] - grid[point])) <= half_ns + int(
                slack[index]
            )
            chosen[point] = index if fits else -1
            if not fits:
                continue
        last = index
