"""Sensors: readings interpolated on a regular grid, channel by channel.

A linear cell needs the reading after it. The window is settled once the row after its last
grid point is here; a channel that this row lacks (NaN) is given two more of the stream's
periods to speak, and what comes later than that is not looked at, so that the cells of a
window do not depend on how late it was cut. What a channel cannot read, by the range declared
for it, counts as not read.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from pipeline.alignment.account import Discard
from pipeline.alignment.grid import Grid
from pipeline.alignment.resample import onto_grid, plan
from pipeline.alignment.settings import Interpolation, StreamOptions
from pipeline.alignment.timeline import Dropped
from pipeline.alignment.track import FALLBACK_GRID_HZ, Cut, Track
from pipeline.core.sample import Sample, StreamInfo
from pipeline.core.window import SensorSlice

log = structlog.get_logger(__name__)

_SHOWN = 20


class SensorTrack(Track):
    """Readings of one stream."""

    def __init__(self, info: StreamInfo, options: StreamOptions, window_ns: int) -> None:
        super().__init__(info, options, window_ns)
        rate = options.grid_hz or info.rate_hz or FALLBACK_GRID_HZ
        self._grid = Grid(max(rate, 1e9 / window_ns))
        self._count = self._grid.count(window_ns)
        self._half_ns = self._grid.period_ns // 2
        self._width = info.shape[0] if info.shape else max(1, len(info.channels))
        self._shape = (self._width,)
        self._modes = _modes(info, options, self._width, window_ns)
        self._plan = plan(self._modes, options.max_gap_ns, self._half_ns)
        self._bounds = _bounds(info, options, self._width)
        _tell_strangers(info, options, self._width)
        self._linear = np.array([mode == "linear" for mode in self._modes])
        self._patience_ns = round(2e9 / info.rate_hz) if info.rate_hz else 0
        self._slack_ns = self._half_ns if "none" in self._modes else 0

    def takes_over(self, older: Track) -> bool:
        """Readings of the same width in the same channels fit."""
        same = isinstance(older, SensorTrack) and (
            older._shape == self._shape and older.info.channels == self.info.channels
        )
        return same and super().takes_over(older)

    def insert(self, sample: Sample, session: int) -> Discard | None:
        """Keep a reading ``(C,)``; refuse any other shape."""
        data = sample.data
        if (
            not isinstance(data, np.ndarray)
            or data.shape != self._shape
            or data.dtype.kind not in "fiub"
        ):
            return Discard.MALFORMED
        return super().insert(sample, session)

    def needs_ns(self, start_ns: int, end_ns: int) -> int:
        """The last grid point, and half a period more for channels of mode ``none``."""
        return self._grid.last_ns(start_ns, self._count) + self._slack_ns

    def settled(self, start_ns: int, end_ns: int, watermark_ns: int) -> bool:
        """Whether each linear channel has its reading after the last grid point, or none can."""
        if watermark_ns < self.needs_ns(start_ns, end_ns):
            return False
        last = self._grid.last_ns(start_ns, self._count)
        if not self._linear.any() or watermark_ns >= last + self.options.max_gap_ns:
            return True
        stamps = self.timeline.stamps
        row = bisect_left(stamps, last)
        if row == len(stamps) or stamps[row] > watermark_ns:
            return False
        if watermark_ns >= last + self._patience_ns:
            return True
        return self._all_spoke(row, watermark_ns)

    def _all_spoke(self, row: int, watermark_ns: int) -> bool:
        """Whether the rows from `row` to the watermark hold a value of each linear channel."""
        spoke = ~self._linear
        for place in range(row, bisect_right(self.timeline.stamps, watermark_ns)):
            spoke = spoke | np.isfinite(self._row(place))
            if spoke.all():
                return True
        return False

    def _row(self, place: int) -> npt.NDArray[np.generic]:
        data = self.timeline.samples[place].data
        if not isinstance(data, np.ndarray):
            raise TypeError(f"reading of {self.info.name} is a {type(data).__name__}")
        return self._within(data)

    def _within(self, readings: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Readings ``(..., C)`` with NaN for what a channel cannot read."""
        if self._bounds is None:
            return readings
        low, high = self._bounds
        return np.where((readings >= low) & (readings <= high), readings, np.nan)

    def _beyond(self, start_ns: int, end_ns: int) -> tuple[str, ...]:
        """Channels of which most readings in a window were beyond their range."""
        if self._bounds is None:
            return ()
        line = self.timeline
        rows = line.samples[bisect_left(line.stamps, start_ns) : bisect_left(line.stamps, end_ns)]
        if not rows:
            return ()
        readings = np.array([row.data for row in rows], np.float64)  # (R, C)
        read = np.isfinite(readings)
        beyond = (read & np.isnan(self._within(readings))).sum(axis=0)
        names = _names(self.info, self._width)
        return tuple(names[c] for c in np.flatnonzero(2 * beyond > read.sum(axis=0)))

    def cut(self, start_ns: int, end_ns: int, *, settled: bool, over: bool) -> Cut:
        """Readings on the window's grid."""
        grid = self._grid.points(start_ns, self._count)
        line = self.timeline
        high = self._last_row(int(grid[-1]))
        base = int(grid[0])
        read = np.array([s.data for s in line.samples[:high]], np.float64)
        cells = onto_grid(
            np.array(line.stamps[:high], dtype=np.int64) - base,
            np.asarray(self._within(read.reshape(high, self._width)), np.float64),
            grid - base,
            self._plan,
        )
        rows = np.flatnonzero(cells.used).tolist()
        for row in rows:
            line.used[row] = 1
        worst = max((line.samples[row].uncertainty_ns for row in rows), default=0)
        coverage = float(np.count_nonzero(cells.present)) / max(1, cells.present.size)
        beyond = self._beyond(start_ns, end_ns)
        found = SensorSlice(self.info, grid, cells.values, cells.present, coverage, beyond)
        return Cut(found, worst)

    def _last_row(self, last_ns: int) -> int:
        """End of the rows a window may look at, whatever else has come."""
        stamps = self.timeline.stamps
        near = bisect_right(stamps, last_ns + max(self._patience_ns, self._slack_ns))
        after = bisect_left(stamps, last_ns)
        if after < len(stamps):
            return max(near, bisect_right(stamps, stamps[after]))
        return near

    def keep_from_ns(self, start_ns: int) -> int:
        """One bridge before the first grid point."""
        return start_ns - self._half_ns - 1 - self.options.max_gap_ns

    def prune(self, start_ns: int) -> Dropped:
        """Keep, of what lies before the window, the last value of each channel."""
        line = self.timeline
        place = bisect_right(line.stamps, start_ns - self._half_ns - 1)
        oldest = bisect_left(line.stamps, self.keep_from_ns(start_ns))
        spoke = np.zeros(self._width, dtype=np.bool_)
        while place > oldest and not spoke.all():
            place -= 1
            spoke |= np.isfinite(self._row(place))
        return line.drop(
            bisect_left(line.stamps, line.stamps[place]) if place < len(line) else place
        )


def _modes(
    info: StreamInfo, options: StreamOptions, width: int, window_ns: int
) -> tuple[Interpolation, ...]:
    chosen = options.channel_interpolation
    # A line needs the reading after it, for which no window waits that another stream moves on.
    often = info.rate_hz is not None and info.rate_hz * window_ns >= 1e9
    usual = options.interpolation or ("linear" if often else "previous")
    return tuple(chosen.get(name, usual) for name in _names(info, width))


def _bounds(
    info: StreamInfo, options: StreamOptions, width: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Least and greatest value of each channel, ``(C,)``; None: any will do."""
    if not options.channel_range:
        return None
    free = (-np.inf, np.inf)
    pairs = [options.channel_range.get(name, free) for name in _names(info, width)]
    low, high = np.array(pairs, np.float64).T
    return low, high


def _tell_strangers(info: StreamInfo, options: StreamOptions, width: int) -> None:
    """Say which options are of channels that the stream does not have."""
    names = _names(info, width)
    asked = options.channel_interpolation.keys() | options.channel_range.keys()
    if strangers := sorted(asked - set(names)):
        log.warning(
            "options of channels that the stream does not have",
            stream=info.name,
            options_of=strangers,
            channels=names[:_SHOWN],
        )


def _names(info: StreamInfo, width: int) -> tuple[str, ...]:
    return (info.channels or tuple(str(index) for index in range(width)))[:width]
