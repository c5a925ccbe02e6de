"""Stamps too far ahead to be believed at once.

One sample stamped in 2040 would push the watermark past everything else, and the true
samples would all be late. So a stamp more than ``max_jump_ns`` ahead of everything the scene
has shown (at first, any stamp) is held back, unless it lies near the arrival time, which is site
time as well. It is believed when

* another stream of the scene has come near it, or is held back near it; or
* no other stream of the scene goes on speaking as before, and five samples in a row agree, or it is
  not later than its arrival: readings that come once an hour, say, and were kept back by an outage.

When the stream itself returns to where it was, what was held is discarded as ``future``.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.alignment.account import Discard
from pipeline.alignment.lane import LONG_AGO, Lane
from pipeline.core.sample import Sample

AGREEING = 5


class Quarantine:
    """Decides which samples are held back.

    Args:
        max_jump_ns: Longest believable jump.
        idle_ns: A stream silent for this long does not speak any more.
    """

    def __init__(self, max_jump_ns: int, idle_ns: int) -> None:
        self._max_jump_ns = max_jump_ns
        self._idle_ns = idle_ns
        self.newest_ns = LONG_AGO
        self.limit_ns = LONG_AGO  # stamps up to here pass unseen

    def believe(self, stamp_ns: int) -> None:
        """A sample was taken: what is near it or before it is believable."""
        if stamp_ns > self.newest_ns:
            self.newest_ns = stamp_ns
            self.limit_ns = stamp_ns + self._max_jump_ns

    def hold(
        self, lane: Lane, sample: Sample, lanes: Iterable[Lane], now_ns: int, arrival_ns: int
    ) -> list[Lane]:
        """Hold a far-ahead sample, and say which lanes' held samples are to be taken now.

        Args:
            lane: Its stream.
            sample: The sample.
            lanes: All streams of the scene.
            now_ns: The scene's time, which may be behind.
            arrival_ns: When it arrived.
        """
        stamp = sample.timestamp_ns
        delayed = self.newest_ns != LONG_AGO and stamp <= arrival_ns
        agreeing = [
            held
            for held in lane.held
            if self._near(held.timestamp_ns, stamp) or (delayed and held.timestamp_ns <= stamp)
        ]
        self._give_up(lane, len(lane.held) - len(agreeing))
        lane.held = [*agreeing, sample]
        others = [other for other in lanes if other is not lane]
        allies = [o for o in others if any(self._near(s.timestamp_ns, stamp) for s in o.held)]
        if self._near(stamp, arrival_ns) or allies:
            return [lane, *allies]
        delayed_too = [
            o for o in others if delayed and o.held and o.held[-1].timestamp_ns <= arrival_ns
        ]
        staying = (o for o in others if o not in delayed_too)
        if any(self._speaks(other, now_ns) for other in staying):
            self._give_up(lane, max(0, len(lane.held) - AGREEING))
            lane.held = lane.held[-AGREEING:]
            return []
        if delayed or len(lane.held) >= AGREEING:
            return [lane, *delayed_too]
        return []

    def believable(self, lane: Lane) -> list[Sample]:
        """What the stream held and is believable now; the rest stays."""
        believed = [held for held in lane.held if held.timestamp_ns <= self.limit_ns]
        lane.held = [held for held in lane.held if held.timestamp_ns > self.limit_ns]
        return believed

    def resolve(self, lane: Lane) -> list[Sample]:
        """The stream is believed again: what it held and is believable now; the rest goes."""
        believed = self.believable(lane)
        self._give_up(lane, len(lane.held))
        lane.held = []
        return believed

    def _give_up(self, lane: Lane, count: int) -> None:
        if count:
            lane.counts.discard(Discard.FUTURE, count)

    def _near(self, one_ns: int, other_ns: int) -> bool:
        return abs(one_ns - other_ns) <= self._max_jump_ns

    def _speaks(self, lane: Lane, now_ns: int) -> bool:
        taken = lane.newest_ns != LONG_AGO
        return taken and not lane.ended and lane.spoke_ns + self._idle_ns > now_ns
