"""Taking samples in, or saying why not."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.alignment.account import Discard
from pipeline.alignment.lane import LONG_AGO, NEVER, Lane
from pipeline.alignment.quarantine import Quarantine
from pipeline.alignment.scene import Scene
from pipeline.alignment.track import Track
from pipeline.alignment.watermark import Schedule
from pipeline.core.sample import Sample


class Intake:
    """Puts samples into their tracks and moves the watermarks.

    Args:
        scene: The scene's state.
        schedule: Told of every watermark that moves.
    """

    def __init__(self, scene: Scene, schedule: Schedule) -> None:
        self._scene = scene
        self._schedule = schedule
        self._lateness_ns = scene.options.lateness_ns
        self._quarantine = Quarantine(scene.options.max_jump_ns, scene.options.idle_ns)

    def take(self, lane: Lane, track: Track, sample: Sample, arrival_ns: int | None) -> None:
        """Take a sample, hold it back, or count why it is refused; see `Aligner.push`."""
        lane.counts.pushed += 1
        if sample.sequence == lane.highest + 1 and not lane.reopened:
            lane.highest += 1
            fresh = True
        else:
            fresh = lane.note_sequence(sample)
        if sample.timestamp_ns > self._quarantine.limit_ns:
            self._hold(lane, sample, arrival_ns)
            return
        if lane.held:
            self._release(lane)
        self._admit(lane, track, sample, fresh=fresh)

    def resume(self, start_ns: int) -> None:
        """The scene was there before: what it had shown reached this far at least."""
        self._quarantine.believe(start_ns)

    def drop_held(self, lane: Lane) -> None:
        """The stream ended: what it held back was never confirmed."""
        if lane.held:
            lane.counts.discard(Discard.FUTURE, len(lane.held))
            lane.held = []

    def _hold(self, lane: Lane, sample: Sample, arrival_ns: int | None) -> None:
        lanes = self._scene.lanes.values()
        now_ns = LONG_AGO if self._scene.now_ns is None else self._scene.now_ns
        arrival_ns = now_ns if arrival_ns is None else arrival_ns
        self._admit_all(lane, self._quarantine.believable(lane))
        for believed in self._quarantine.hold(lane, sample, lanes, now_ns, arrival_ns):
            self._quarantine.believe(max(held.timestamp_ns for held in believed.held))
            self._release(believed)

    def _release(self, lane: Lane) -> None:
        self._admit_all(lane, self._quarantine.resolve(lane))

    def _admit_all(self, lane: Lane, samples: Sequence[Sample]) -> None:
        for sample in samples:
            if lane.track is not None:
                self._admit(lane, lane.track, sample, fresh=True)

    def _admit(self, lane: Lane, track: Track, sample: Sample, *, fresh: bool) -> None:
        extent = track.extent_ns(sample)
        if extent is None:
            lane.counts.discard(Discard.MALFORMED)
            return
        if extent < lane.floor_ns or lane.newest_ns - extent > self._lateness_ns:
            refusal = self._refusal(lane, track, sample, extent, fresh=fresh)
            if refusal is not None:
                lane.counts.discard(refusal)
                return
        refusal = track.insert(sample, lane.session)
        if refusal is not None:
            lane.counts.discard(refusal)
            return
        self._note(lane, sample.timestamp_ns, extent)

    def _note(self, lane: Lane, stamp_ns: int, extent_ns: int) -> None:
        """A sample is in: move what follows from it."""
        scene = self._scene
        lane.spoke_ns = scene.now_ns or 0
        if extent_ns > lane.newest_ns:
            if self._schedule.go_on(lane, extent_ns, lane.spoke_ns):
                scene.stirred = True
        elif lane.needs_ns != NEVER:  # out of line, it may be just what the window waited for
            scene.stirred = True
        if stamp_ns > self._quarantine.newest_ns:
            self._quarantine.believe(stamp_ns)
        if stamp_ns < scene.next_start_ns and stamp_ns < lane.missed_ns:
            lane.behind.add(stamp_ns)
        if scene.fixed_index is None and stamp_ns < scene.earliest_ns:
            scene.see(stamp_ns)

    def _refusal(
        self, lane: Lane, track: Track, sample: Sample, extent_ns: int, *, fresh: bool
    ) -> Discard | None:
        """Why a sample out of line is not taken; None if it is after all."""
        scene = self._scene
        if track.holds(sample, lane.session):
            return Discard.DUPLICATE
        in_time = lane.newest_ns - extent_ns <= self._lateness_ns
        in_time = in_time or track.in_order(sample, lane.session)
        if extent_ns >= lane.floor_ns or self._remembered(track, extent_ns):
            return None if in_time else Discard.LATE
        if extent_ns < track.keep_from_ns(scene.resume_ns):
            remembered = track.memory_from_ns(scene.start_ns(scene.fixed_index or 0))
            return None if extent_ns >= remembered else Discard.RESUMED
        if in_time and sample.timestamp_ns >= lane.missed_ns:
            return Discard.UNUSED
        return Discard.LATE if fresh else Discard.DUPLICATE

    def _remembered(self, track: Track, extent_ns: int) -> bool:
        """Whether a sample between two windows that do not touch tells about the second."""
        scene = self._scene
        between = LONG_AGO < scene.cut_end_ns <= extent_ns
        return between and extent_ns >= track.memory_from_ns(scene.next_start_ns)
