"""From a medium's own time (PTS) to node time.

Live input. A packet cannot arrive before it happened, so ``arrival - pts`` is the wanted
offset plus a delay that is never negative: the smallest value of the last 30 s is the best
estimate (minimum-delay filter). It may fall at once and rises by at most 500 ppm, enough for
any clock's drift. Picture and sound of one input share the estimate, so their relation is
that of the medium. The first half second only observes: servers begin with a burst of what
they had buffered, and its end is what tells the offset. Where the sender tells its own time
and is believed (`media_sender`), that is the offset. When this begins or ends, the timeline
goes on under a new epoch, so that whoever follows its stamps begins anew: nothing is decoded
anew and no sample is lost. The stamps move by the sender's delay at that moment.

Files. The file's start is the given time, all else follows the medium exactly.

A PTS that goes back by more than a second, or ahead of the time that passed by more than
three, means that the medium's clock was set: a new `Timeline` with a new epoch begins. A
track that jumps later joins the newest timeline if its PTS fit there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from pipeline.sources.media_sender import SenderClock, SenderTime

log = structlog.get_logger(__name__)

SECOND_NS = 1_000_000_000
WINDOW_NS = 30 * SECOND_NS
SETTLE_NS = SECOND_NS // 2
BACKWARD_NS = SECOND_NS
FORWARD_NS = 3 * SECOND_NS
RISE = 500e-6
RECENT = 64
FLOOR_NS = 1_000_000


class Timeline(Protocol):
    """One stretch of a medium whose PTS hang together."""

    epoch: int

    def stamp(self, pts_ns: int) -> int:
        """Node time (site time where the start was given) of a PTS, nanoseconds."""
        ...

    def medium_ns(self, pts_ns: int) -> int:
        """Time on the medium without steps within the epoch, nanoseconds."""
        ...

    @property
    def uncertainty_ns(self) -> int:
        """How far off a stamp may be, nanoseconds."""
        ...

    def settled(self, now_ns: int) -> bool:
        """Whether stamps can be given yet."""
        ...


class LiveTimeline:
    """Minimum-delay filter, or the sender's clock where that is believed.

    Args:
        epoch: Number of the stretch.
        pts_ns: First PTS.
        arrival_ns: When it arrived, node time.
        sender: What its sender says of the time.
    """

    def __init__(self, epoch: int, pts_ns: int, arrival_ns: int, sender: SenderClock) -> None:
        self.epoch = epoch
        self.sender = sender
        self.offset_ns = arrival_ns - pts_ns
        self._begun_ns = self._last_ns = arrival_ns
        self._minima: deque[tuple[int, int]] = deque()
        self._recent: deque[int] = deque(maxlen=RECENT)
        self._spread_ns = 0

    def observe(self, pts_ns: int, arrival_ns: int) -> None:
        """Take in one packet."""
        delay = arrival_ns - pts_ns
        while self._minima and self._minima[-1][1] >= delay:
            self._minima.pop()
        self._minima.append((arrival_ns, delay))
        while self._minima[0][0] < arrival_ns - WINDOW_NS:
            self._minima.popleft()
        rise = int(RISE * max(arrival_ns - self._last_ns, 0))
        self.offset_ns = min(self._minima[0][1], self.offset_ns + rise)
        self._last_ns = arrival_ns
        self._recent.append(delay)
        self._spread_ns = sorted(self._recent)[len(self._recent) // 2] - self.offset_ns

    def fits(self, pts_ns: int, arrival_ns: int) -> bool:
        """Whether a PTS of another track can be of this stretch."""
        return abs(arrival_ns - pts_ns - self.offset_ns) < FORWARD_NS

    def stamp(self, pts_ns: int) -> int:
        """See `Timeline`."""
        if self.sender.believed:
            return pts_ns + self.sender.offset_ns(self.offset_ns)
        return pts_ns + self.offset_ns

    def medium_ns(self, pts_ns: int) -> int:
        """See `Timeline`."""
        return pts_ns

    @property
    def uncertainty_ns(self) -> int:
        """Median delay above the smallest, as the smallest may itself be delayed so much."""
        if self.sender.believed:
            return self.sender.uncertainty_ns(self.offset_ns)
        return max(self._spread_ns, FLOOR_NS)

    def settled(self, now_ns: int) -> bool:
        """See `Timeline`."""
        return now_ns - self._begun_ns >= SETTLE_NS


@dataclass(slots=True)
class FileTimeline:
    """Fixed relation of a file's PTS to time."""

    epoch: int
    offset_ns: int
    uncertainty_ns: int = 0

    def stamp(self, pts_ns: int) -> int:
        """See `Timeline`."""
        return pts_ns + self.offset_ns

    def medium_ns(self, pts_ns: int) -> int:
        """See `Timeline`."""
        return pts_ns + self.offset_ns

    def settled(self, now_ns: int) -> bool:
        """Always."""
        return True


@dataclass(slots=True)
class _Track:
    timeline: LiveTimeline
    pts_ns: int
    arrival_ns: int


class LivePtsClock:
    """Puts packets of all tracks of a live input on timelines.

    Args:
        where: Name for the log.
        sender_time: Whether the sender's own clock is believed.
        tracks: Tracks that are read.
    """

    def __init__(
        self,
        where: str = "",
        sender_time: SenderTime = "auto",
        tracks: Iterable[str] = ("video", "audio"),
    ) -> None:
        self._where = where
        self._sender_time: SenderTime = sender_time
        self._names = tuple(tracks)
        self._tracks: dict[str, _Track] = {}
        self._newest: LiveTimeline | None = None
        self.resets = 0

    @property
    def by_sender(self) -> bool:
        """Whether stamps are the sender's own by now."""
        return self._newest is not None and self._newest.sender.believed

    def place(
        self,
        track: str,
        pts_ns: int,
        arrival_ns: int,
        lasts_ns: int = 0,
        wall_ns: int | None = None,
    ) -> LiveTimeline:
        """The timeline of a packet, after taking it in.

        Args:
            track: Its track.
            pts_ns: Its PTS.
            arrival_ns: When it arrived, node time.
            lasts_ns: How long it lasts, of sound: it cannot arrive before its end.
            wall_ns: What the sender's clock showed at its PTS; None: it did not say.
        """
        state = self._tracks.get(track)
        if state is None or self._jumped(state, pts_ns, arrival_ns):
            state = _Track(self._join(track, pts_ns, arrival_ns), pts_ns, arrival_ns)
            self._tracks[track] = state
        state.pts_ns = max(state.pts_ns, pts_ns)
        state.arrival_ns = arrival_ns
        timeline = state.timeline
        timeline.observe(pts_ns + lasts_ns, arrival_ns)
        if wall_ns is not None:
            timeline.sender.observe(track, pts_ns, wall_ns)
        if timeline is self._newest and timeline.settled(arrival_ns):
            timeline.epoch += timeline.sender.judge(timeline.offset_ns, arrival_ns)
        return timeline

    def _jumped(self, state: _Track, pts_ns: int, arrival_ns: int) -> bool:
        moved = pts_ns - state.pts_ns
        return moved < -BACKWARD_NS or moved > arrival_ns - state.arrival_ns + FORWARD_NS

    def _join(self, track: str, pts_ns: int, arrival_ns: int) -> LiveTimeline:
        newest = self._newest
        if newest is None:
            self._newest = self._timeline(0, pts_ns, arrival_ns)
            return self._newest
        known = self._tracks.get(track)
        if (known is None or known.timeline is not newest) and newest.fits(pts_ns, arrival_ns):
            return newest
        self.resets += 1
        log.warning("the medium's clock was set", source=self._where, track=track)
        self._newest = self._timeline(newest.epoch + 1, pts_ns, arrival_ns)
        return self._newest

    def _timeline(self, epoch: int, pts_ns: int, arrival_ns: int) -> LiveTimeline:
        sender = SenderClock(self._sender_time, self._names, self._where)
        return LiveTimeline(epoch, pts_ns, arrival_ns, sender)


class FilePtsClock:
    """Puts packets of a file on timelines that follow each other without a gap.

    Args:
        start_ns: Time at which the file begins.
        origin_ns: PTS at which it begins; None: the first one seen. Codecs put packets before
            it whose samples are thrown away.
        where: Name for the log.
    """

    def __init__(self, start_ns: int, origin_ns: int | None = None, where: str = "") -> None:
        self._where = where
        self._origin_ns = origin_ns
        self._end_ns = start_ns
        self._epoch = 0
        self._newest: FileTimeline | None = None
        self._tracks: dict[str, tuple[FileTimeline, int]] = {}
        self.resets = 0

    def begin_again(self) -> None:
        """The file starts over (a loop): its first PTS follows the last one seen."""
        self._newest = None
        self._tracks.clear()

    def place(self, track: str, pts_ns: int, duration_ns: int) -> FileTimeline:
        """The timeline of a packet that lasts for `duration_ns`."""
        known = self._tracks.get(track)
        if known is None:
            origin_ns = pts_ns if self._origin_ns is None else self._origin_ns
            timeline = self._newest or self._begin(origin_ns)
        elif pts_ns - known[1] < -BACKWARD_NS:
            timeline = self._after_jump(track, known[0], pts_ns)
            known = None
        else:
            timeline = known[0]
        last = pts_ns if known is None else max(known[1], pts_ns)
        self._tracks[track] = (timeline, last)
        self._end_ns = max(self._end_ns, timeline.stamp(pts_ns) + duration_ns)
        return timeline

    def extend(self, end_ns: int) -> None:
        """What was decoded lasts until `end_ns`, which may be later than its packet said."""
        self._end_ns = max(self._end_ns, end_ns)

    def _after_jump(self, track: str, left: FileTimeline, pts_ns: int) -> FileTimeline:
        newest = self._newest if self._newest is not left else None
        if newest and abs(newest.stamp(pts_ns) - self._end_ns) < FORWARD_NS:
            return newest
        self.resets += 1
        self._epoch += 1
        log.warning("the medium's clock was set", source=self._where, track=track)
        return self._begin(pts_ns)

    def _begin(self, pts_ns: int) -> FileTimeline:
        self._newest = FileTimeline(self._epoch, self._end_ns - pts_ns)
        return self._newest
