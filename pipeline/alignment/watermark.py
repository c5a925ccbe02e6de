"""How far the streams have come, and when the next window is due.

Rules:

* A stream's *watermark* is its newest stamp (for sound: the end of its newest chunk) less the
  allowed lateness. No sample behind it is taken any more. Where a lateness is allowed, the
  watermark is one nanosecond earlier still, so that a sample exactly that late is in time.
  It never goes back. An ended stream is settled for everything.
* A stream *holds* windows back until it has been silent for ``idle_ns``, counted from its last
  sample (or from its announcement, or from the start of the aligner). A stream without a
  rate, or slower than the latency bound, holds them only for ``event_patience_ns`` after the
  window's timer started: its silence is no sign of delay.
* A window's *timer* starts when the first stream's watermark passes the window's end.
* A window is due when nobody holds it any more, or ``latency_ns`` after its timer started, or
  when a stream is ``max_ahead_ns`` past it; never before its timer started.

Due times follow from the recorded arrival times alone, not from when they are asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.alignment.lane import LONG_AGO, NEVER, Lane
from pipeline.alignment.settings import SceneOptions


@dataclass(frozen=True, slots=True)
class Due:
    """When a window is to be cut.

    Attributes:
        index: The window.
        time_ns: Arrival time at which to cut it.
        complete: Whether nobody holds it back then.
    """

    index: int
    time_ns: int
    complete: bool


class Schedule:
    """Knows when each window is due.

    Args:
        options: The scene's bounds.
    """

    def __init__(self, options: SceneOptions) -> None:
        self._options = options
        self._order_ns = options.lateness_ns + (1 if options.lateness_ns else 0)
        self._ahead = -(-options.max_ahead_ns // options.hop_ns)
        self._indices: list[int] = []  # windows whose end a watermark passed
        self._times: list[int] = []  # and when
        self._next_ns = LONG_AGO

    def go_on(self, lane: Lane, extent_ns: int, now_ns: int) -> bool:
        """A stream's newest stamp moved; True when a window may have become due."""
        lane.newest_ns = extent_ns
        lane.watermark_ns = watermark_ns = extent_ns - self._order_ns
        if watermark_ns >= self._next_ns:
            self.pass_by(watermark_ns, now_ns)
            return True
        return watermark_ns >= lane.needs_ns

    def pass_by(self, watermark_ns: int, now_ns: int) -> None:
        """Start the timers of the windows that end up to `watermark_ns`."""
        options = self._options
        index = (watermark_ns - options.window_ns) // options.hop_ns
        if self._indices and index <= self._indices[-1]:
            return
        self._indices.append(index)
        self._times.append(now_ns)
        self._next_ns = (index + 1) * options.hop_ns + options.window_ns

    def rebase(self, now_ns: int) -> None:
        """The time is told for the first time: everything so far happened now."""
        self._times = [now_ns] * len(self._times)

    def forget(self, index: int) -> None:
        """Windows before `index` are done."""
        count = min(bisect_left(self._indices, index), len(self._indices) - 1)
        if count > 0:
            del self._indices[:count], self._times[:count]

    def due(self, index: int, lanes: Iterable[Lane]) -> Due | None:
        """When window `index` is to be cut; None while its timer has not started."""
        passed_ns = self._passed_ns(index)
        if passed_ns is None:
            return None
        start_ns = index * self._options.hop_ns
        free_ns = passed_ns
        for lane in lanes:
            if not self.settled(lane, start_ns):
                free_ns = max(free_ns, self._holds_until_ns(lane, passed_ns))
        forced_ns = passed_ns + self._options.latency_ns
        ahead_ns = self._passed_ns(index + self._ahead)
        if ahead_ns is not None:
            forced_ns = min(forced_ns, ahead_ns)
        return Due(index, min(free_ns, forced_ns), free_ns <= forced_ns)

    def settled(self, lane: Lane, start_ns: int) -> bool:
        """Whether everything the window from `start_ns` takes from a stream is here for good."""
        if lane.ended or lane.track is None:
            return lane.ended
        if lane.needs_ns == NEVER:
            return True
        if lane.watermark_ns < lane.needs_ns:
            return False
        end_ns = start_ns + self._options.window_ns
        if not lane.track.settled(start_ns, end_ns, lane.watermark_ns):
            return False
        lane.needs_ns = NEVER
        return True

    def _passed_ns(self, index: int) -> int | None:
        place = bisect_left(self._indices, index)
        return self._times[place] if place < len(self._times) else None

    def _holds_until_ns(self, lane: Lane, passed_ns: int) -> int:
        until_ns = lane.spoke_ns + self._options.idle_ns
        if lane.track is None:
            return until_ns
        rate_hz = lane.track.info.rate_hz
        if not rate_hz or rate_hz * self._options.latency_ns < 1e9:
            return min(until_ns, passed_ns + self._options.event_patience_ns)
        return until_ns
