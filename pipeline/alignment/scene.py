"""Where a scene stands: its streams, its next window, its time.

The parts of the aligner share it: intake puts samples in, the schedule says when, the aligner
cuts and moves on.
"""

from __future__ import annotations

from pipeline.alignment.account import Discard
from pipeline.alignment.lane import LONG_AGO, NEVER, Lane
from pipeline.alignment.settings import SceneOptions


class Scene:
    """State of one scene.

    Attributes:
        options: The scene's settings.
        lanes: Its streams by name, in order.
        now_ns: Arrival time last told; None before the first.
        fixed_index: Next window, once it is fixed by the first cut or a resume.
        earliest_ns: Earliest stamp seen while the first window is not fixed.
        resume_ns: Start of the window that was resumed at.
        next_start_ns: Start of the next window, once one was cut.
        cut_end_ns: End of the last window cut.
        stirred: Whether something happened that may make a window due.
    """

    def __init__(self, options: SceneOptions) -> None:
        self.options = options
        self.lanes = {name: Lane(name) for name in options.streams}
        self.now_ns: int | None = None
        self.fixed_index: int | None = None
        self.earliest_ns = NEVER
        self.resume_ns = LONG_AGO
        self.next_start_ns = LONG_AGO
        self.cut_end_ns = LONG_AGO
        self.stirred = False

    @property
    def next_index(self) -> int | None:
        """Index of the next window; None until it can be known."""
        if self.fixed_index is not None:
            return self.fixed_index
        if self.earliest_ns == NEVER:
            return None
        return self.first_index(self.earliest_ns)

    @property
    def dormant(self) -> bool:
        """Whether nothing moves it on: each stream has ended, is silent, or was never announced.

        So it is while a node delivers what an earlier life left of some of its streams, and what
        is new waits behind that.
        """
        silent_ns = (self.now_ns or 0) - self.options.idle_ns
        return all(
            lane.track is None or lane.ended or lane.spoke_ns <= silent_ns
            for lane in self.lanes.values()
        )

    def released(self) -> dict[str, int]:
        """See `Aligner.released`; -1 for streams of which everything is still needed.

        A stream that ended in a scene that nothing moves on is free: no window comes that could
        take its tail, and whoever waits for it to be acked would wait for ever.
        """
        dormant = self.dormant
        return {
            name: lane.release_all() if dormant and lane.ended else lane.released()
            for name, lane in self.lanes.items()
        }

    def first_index(self, time_ns: int) -> int:
        """The first window that starts at or after a time."""
        return -(-time_ns // self.options.hop_ns)

    def start_ns(self, index: int) -> int:
        """Start of a window."""
        return index * self.options.hop_ns

    def see(self, stamp_ns: int) -> None:
        """A sample was taken while the first window is not fixed."""
        if stamp_ns < self.earliest_ns:
            self.earliest_ns = stamp_ns
            self._aim_all()

    def aim(self, lane: Lane) -> None:
        """Set what a stream must reach for the next window."""
        self.stirred = True
        index = self.next_index
        if lane.track is None or index is None:
            return
        start_ns = self.start_ns(index)
        lane.needs_ns = lane.track.needs_ns(start_ns, start_ns + self.options.window_ns)
        if self.fixed_index is not None:
            lane.floor_ns = lane.track.keep_from_ns(start_ns)

    def advance(self, index: int, reason: Discard) -> None:
        """Window `index` is next: let go of what it and later ones do not need."""
        self.fixed_index = index
        if self.cut_end_ns != LONG_AGO:
            self.next_start_ns = self.start_ns(index)
        for lane in self.lanes.values():
            self.let_go(lane, reason)
        self._aim_all()

    def let_go(self, lane: Lane, reason: Discard, *, everything: bool = False) -> None:
        """Count what a stream's track lets go of, `reason` for what no window used."""
        track = lane.track
        if track is None:
            return
        dropped = track.clear() if everything else track.prune(self.start_ns(self.fixed_index or 0))
        lane.counts.used += dropped.used
        for stamp_ns in dropped.unused_ns:
            lane.counts.discard(reason if everything else self._why(lane, stamp_ns, reason))
        if lane.behind:
            oldest = track.memory_from_ns(self.start_ns(self.fixed_index or 0))
            lane.behind = {stamp for stamp in lane.behind if stamp >= oldest}

    def _why(self, lane: Lane, stamp_ns: int, reason: Discard) -> Discard:
        if stamp_ns < self.resume_ns:
            return Discard.RESUMED
        return Discard.LATE if stamp_ns in lane.behind else reason

    def _aim_all(self) -> None:
        for lane in self.lanes.values():
            self.aim(lane)
