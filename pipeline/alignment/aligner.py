"""Streams of a scene in, windows out.

The aligner has no socket and no clock. Its windows are a pure function of the calls made to
it (`open`, `push`, `end`, `pop_ready`), and it makes no difference how often `pop_ready` is
called between two of the others, as long as it is called with the time of each arrival before
that arrival is handed in.

What a window is. Window *k* of a scene is the half-open span ``[k * hop, k * hop + length)`` of
site time, in nanoseconds since the Unix epoch. Into it goes, of each announced stream:

* Text: the lines stamped within the span.
* Sound: the samples numbered ``round(start * rate)`` and on, ``round(length * rate)`` of them,
  sample *m* lying at ``m / rate`` since the epoch. What is heard there is found by counting, see
  `audio`.
* Video and sensors: the points of a grid hung on the epoch (the stream's rate unless set, 10 Hz
  without one), from the one nearest to the start on, ``round(length * rate)`` of them, at least
  one. The first may lie half a period before the span; none lies after its end.
* A video point takes the frame nearest to it, if that lies within half a period (and the frame's
  own uncertainty, at most a quarter period, more); a frame serves one point of a window.
* A sensor cell is what the channel's policy makes of the readings around its point, in the
  window or not. Linear: the line between the readings before and after, no further apart than
  ``max_gap``. Previous: the last reading, no older than ``max_gap``. None: the nearest reading
  within half a period, unchanged. A reading on the point itself is taken as it is; NaN is no
  reading.

Nothing else is made up. Points, cells and samples for which there is nothing are marked absent
and lower the slice's ``coverage``; a window that was not waited out is ``complete=False``; ``late``
counts samples that came too late for it or older ones; ``uncertainty_ns`` is that of the least
sure sample that went in.

When it is cut:

* Windows come out once each, in order; first the one that starts at or after the earliest stamp
  seen when it is cut. A stream that begins later is missing in it.
* A stream is *settled* for a window when everything the window takes from it is here for
  good: its watermark (see `watermark`) has passed the window's end; for frames, the reach of
  the last grid point; for readings joined by lines, the reading after the last grid point.
* A window is cut when every stream is settled, has ended, or has been silent for ``idle_ns``
  (one without a rate for less); the absence of such a stream shows in its coverage alone.
  The timer of a window starts when the first stream's watermark passes its end. After
  ``latency_ns`` it is cut with what is there, marked ``complete=False``. So is a window that
  some stream is ``max_ahead_ns`` past, which bounds memory. See `watermark`.
* A sample behind its stream's watermark, or one missed by windows already cut, is counted as
  late and never merged.
* When no stream has anything for longer than ``max_ahead_ns`` (and the longest bridge between
  sensor readings), the windows in between are skipped, not cut empty.
* A stream never announced has no slice. A stamp far ahead of the scene is held back until
  confirmed, see `quarantine`. Every sample pushed is accounted for, see `account`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.alignment.account import Discard, StreamCounts
from pipeline.alignment.intake import Intake
from pipeline.alignment.lane import LONG_AGO, NEVER, Lane
from pipeline.alignment.scene import Scene
from pipeline.alignment.settings import SceneOptions, StreamOptions
from pipeline.alignment.track import Cut
from pipeline.alignment.tracks import make_track
from pipeline.alignment.watermark import Due, Schedule
from pipeline.core.errors import AlignmentError
from pipeline.core.sample import Sample, StreamInfo
from pipeline.core.window import Window


class AlignerSettings(SceneOptions):
    """How one scene is aligned."""

    def build(self) -> Aligner:
        """Make the aligner."""
        return Aligner(self)


class Aligner:
    """Cuts the streams of one scene into windows; see the module for the rules.

    Attributes:
        skipped: Windows not cut because no stream had anything for a long time.
    """

    def __init__(self, settings: SceneOptions) -> None:
        self.skipped = 0
        self._scene = Scene(settings)
        self._schedule = Schedule(settings)
        self._intake = Intake(self._scene, self._schedule)
        bridges = [options.max_gap_ns for options in settings.options.values()]
        self._silence_ns = settings.window_ns + max(settings.max_ahead_ns, *bridges, 0)
        self._wake_ns = NEVER  # no window is due before, unless the scene was stirred

    @property
    def hop_ns(self) -> int:
        """Step from one window to the next."""
        return self._scene.options.hop_ns

    @property
    def next_index(self) -> int | None:
        """Index of the next window to cut; None until a sample came."""
        return self._scene.next_index

    @property
    def counts(self) -> Mapping[str, StreamCounts]:
        """What became of each stream's samples."""
        return {name: lane.counts for name, lane in self._scene.lanes.items()}

    def buffered(self) -> dict[str, int]:
        """Samples per stream that a window may still need."""
        return {name: lane.buffered for name, lane in self._scene.lanes.items()}

    def released(self) -> dict[str, int]:
        """Per stream the highest sequence up to which no window needs anything; -1: none."""
        return self._scene.released()

    def open(self, info: StreamInfo) -> None:
        """Announce a stream, or announce it anew, possibly with other properties.

        What is buffered in a form that does not fit the new one is discarded and counted.

        Raises:
            AlignmentError: The scene has no such stream, or it changed its modality.
        """
        lane = self._lane(info.name)
        if lane.track is None or not info.like(lane.track.info):
            self._form(lane, info)
        else:
            lane.track.info = info  # at most what its stamps mean: samples are as they were
        lane.ended = False
        lane.reopened = True
        lane.spoke_ns = self._scene.now_ns or 0
        self._scene.aim(lane)

    def push(self, sample: Sample, arrival_ns: int | None = None) -> None:
        """Take a sample.

        Args:
            sample: The sample.
            arrival_ns: When it arrived, where the time told to `pop_ready` stood still at times
                and is behind; None: that one.

        Raises:
            AlignmentError: The scene has no such stream, or it was not announced.
        """
        lane = self._scene.lanes.get(sample.stream)
        if lane is None or lane.track is None:
            raise self._stranger(sample.stream)
        self._intake.take(lane, lane.track, sample, arrival_ns)

    def end(self, stream: str) -> None:
        """A stream will give no more; it holds nothing back until it is announced anew.

        Raises:
            AlignmentError: The scene has no such stream.
        """
        lane = self._lane(stream)
        self._intake.drop_held(lane)
        lane.ended = True
        self._scene.stirred = True
        if lane.track is not None and len(lane.track):  # what was let go no window waits for
            reach_ns = lane.newest_ns + lane.track.overhang_ns
            self._schedule.pass_by(reach_ns, self._scene.now_ns or 0)

    def resume_at(self, index: int) -> None:
        """Go on after a restart: `index` is the next window to cut.

        Samples that only older windows needed are let go as they come, counted ``resumed``.

        Raises:
            AlignmentError: Windows were cut already.
        """
        scene = self._scene
        if scene.cut_end_ns != LONG_AGO:
            raise AlignmentError(
                "cannot resume: windows were cut already",
                where=scene.options.scene,
                fix="resume before the first pop_ready",
            )
        scene.resume_ns = scene.start_ns(index)
        self._intake.resume(scene.resume_ns)
        scene.advance(index, Discard.RESUMED)

    @property
    def wake_ns(self) -> int:
        """No window is due before, once `pop_ready` was called, unless something is handed in."""
        return self._wake_ns

    def pass_time(self, now_ns: int) -> None:
        """The time is `now_ns`, at which no window was due."""
        scene = self._scene
        if scene.now_ns is None:
            self._begin(now_ns)
        elif now_ns > scene.now_ns:
            scene.now_ns = now_ns

    def pop_ready(self, now_ns: int) -> list[Window]:
        """Windows that are due at `now_ns`, in order.

        Args:
            now_ns: Arrival time; a step back is ignored.
        """
        scene = self._scene
        self.pass_time(now_ns)
        if not scene.stirred and now_ns < self._wake_ns:
            return []
        windows: list[Window] = []
        while (due := self._next_due()) is not None and due.time_ns <= (scene.now_ns or 0):
            self._cut_or_skip(due, windows)
        scene.stirred = False
        self._wake_ns = NEVER if due is None else due.time_ns
        return windows

    def next_deadline_ns(self) -> int | None:
        """Time at which `pop_ready` would give more without another arrival; None: never."""
        due = self._next_due()
        if due is None or self._scene.now_ns is None:
            return None
        return max(due.time_ns, self._scene.now_ns)

    def _begin(self, now_ns: int) -> None:
        self._scene.now_ns = now_ns
        self._scene.stirred = True
        self._schedule.rebase(now_ns)
        for lane in self._scene.lanes.values():
            lane.spoke_ns = now_ns

    def _next_due(self) -> Due | None:
        index = self._scene.next_index
        return None if index is None else self._schedule.due(index, self._scene.lanes.values())

    def _lane(self, stream: str) -> Lane:
        lane = self._scene.lanes.get(stream)
        if lane is None:
            raise self._stranger(stream)
        return lane

    def _stranger(self, stream: str) -> AlignmentError:
        where = self._scene.options.scene
        if stream in self._scene.lanes:
            return AlignmentError(
                f"a sample of {stream!r} came before the stream was announced",
                where=where,
                fix="open the stream first",
            )
        return AlignmentError(
            f"{stream!r} is not a stream of this scene",
            where=where,
            fix=f"list it under streams, beside {', '.join(self._scene.lanes)}",
        )

    def _form(self, lane: Lane, info: StreamInfo) -> None:
        """Give a stream the track that fits it, with what the old one holds if it fits too."""
        settings = self._scene.options
        options = settings.options.get(info.name, StreamOptions())
        old = lane.track
        if old is not None and old.info.modality is not info.modality:
            raise AlignmentError(
                f"{old.info.modality} stream announced as {info.modality}",
                where=info.name,
                fix="give the new stream another name",
            )
        track = make_track(info, options, settings.window_ns)
        if old is not None and not track.takes_over(old):
            self._scene.let_go(lane, Discard.REFORMATTED, everything=True)
        lane.track = track

    def _cut_or_skip(self, due: Due, windows: list[Window]) -> None:
        scene = self._scene
        start_ns = scene.start_ns(due.index)
        if scene.fixed_index is None:
            scene.advance(due.index, Discard.EARLY)
        target = self._after_silence(start_ns)
        if target is not None and target > due.index:
            self.skipped += target - due.index
            scene.cut_end_ns = scene.start_ns(target)
            for lane in scene.lanes.values():
                lane.missed_ns = scene.cut_end_ns
            self._advance(target)
            return
        window = self._cut(due, start_ns)
        scene.cut_end_ns = window.end_ns
        self._advance(due.index + 1)
        windows.append(window)

    def _advance(self, index: int) -> None:
        self._schedule.forget(index)
        self._scene.advance(index, Discard.UNUSED)

    def _after_silence(self, start_ns: int) -> int | None:
        """The window to go on with when no stream has anything for a long time from here."""
        earliest = NEVER
        for lane in self._scene.lanes.values():
            first = None if lane.track is None else lane.track.first_after(start_ns)
            if first is not None:
                if first <= start_ns + self._silence_ns:
                    return None
                earliest = min(earliest, first)
        return None if earliest == NEVER else self._scene.first_index(earliest)

    def _cut(self, due: Due, start_ns: int) -> Window:
        scene = self._scene
        end_ns = start_ns + scene.options.window_ns
        cuts: dict[str, Cut] = {}
        for name, lane in scene.lanes.items():
            settled = self._schedule.settled(lane, start_ns)
            if lane.ended or not settled:
                lane.missed_ns = end_ns
            if lane.track is not None:
                over = lane.ended and lane.newest_ns < end_ns
                cuts[name] = lane.track.cut(start_ns, end_ns, settled=settled, over=over)
        return Window(
            scene=scene.options.scene,
            index=due.index,
            start_ns=start_ns,
            end_ns=end_ns,
            slices={name: cut.slice for name, cut in cuts.items()},
            uncertainty_ns={name: cut.uncertainty_ns for name, cut in cuts.items()},
            late={name: lane.late_since_reported() for name, lane in scene.lanes.items()},
            complete=due.complete,
        )
