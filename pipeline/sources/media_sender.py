"""The wall clock of a medium's sender, as its reports tell it, and whether it is believed.

An RTP sender says now and then which time of its own wall clock a moment of the medium is
(RTCP sender report, RFC 3550, 6.4.1). FFmpeg works that out for every packet after a track's
first report (producer reference time). The difference to the packet's PTS hardly ever changes;
the median of the last few is taken, because FFmpeg's parser gives the first packet after a
report the time of the packet behind it.

What the reports are good for:

* *Picture against sound.* From a track's first report on FFmpeg lays the PTS of all tracks of
  one sender on the sender's clock, whether that is right or years off. This is always used.
* *When it happened.* Only a sender whose clock is right can tell. That cannot be known here, but
  nothing arrives before it happened, and live media do not take long: the sender is believed
  while the smallest delay its stamps claim lies between 0 and half a second (``auto``). A
  clock that is wrong by less than that cannot be told from a slow network, so the claimed delay
  is the uncertainty; a stamp is never later than the arrivals allow. A sender that is believed
  no longer gets its second chance after a minute. ``always`` believes it without a look,
  ``never`` not at all.

Reports count once every track that is read has them, and while the tracks agree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import median_low
from typing import Literal, TypeAlias

import structlog

log = structlog.get_logger(__name__)

SenderTime: TypeAlias = Literal["auto", "always", "never"]

LEAST = 5  # packets of each track
MOST = 15
AGREE_NS = 20_000_000
AHEAD_NS = 20_000_000  # by which a right clock may seem ahead of ours
LONGEST_NS = 500_000_000  # delay that is believed
SLACK = 1.5  # by which a sender that is believed may exceed both
AGAIN_NS = 60_000_000_000
FLOOR_NS = 10_000_000  # how well clocks that follow NTP agree


class SenderClock:
    """Decides for one stretch of a medium whether its stamps are the sender's own.

    Args:
        wanted: See the module.
        tracks: Tracks that are read.
        where: Name for the log.
    """

    def __init__(self, wanted: SenderTime, tracks: Iterable[str], where: str = "") -> None:
        self._wanted = wanted
        self._where = where
        self._differences: dict[str, deque[int]] = {name: deque(maxlen=MOST) for name in tracks}
        self._offset_ns: int | None = None
        self._again_ns = 0
        self.believed = False

    def observe(self, track: str, pts_ns: int, wall_ns: int) -> None:
        """Take in one packet: its PTS and what the sender's clock showed then (UTC)."""
        known = self._differences.get(track)
        if known is not None and self._wanted != "never":
            known.append(wall_ns - pts_ns)
            self._offset_ns = self._agreed()

    def judge(self, latest_ns: int, now_ns: int) -> bool:
        """Begin or cease to believe the sender; whether that changed.

        Args:
            latest_ns: Node time minus PTS, at most: by the smallest delay.
            now_ns: Node time.
        """
        delay_ns = None if self._offset_ns is None else latest_ns - self._offset_ns
        if now_ns < self._again_ns or self._believable(delay_ns) is self.believed:
            return False
        self.believed = not self.believed
        self._again_ns = 0 if self.believed else now_ns + AGAIN_NS
        what = "stamps are the sender's own" if self.believed else "the sender's clock is off"
        log.info(what, source=self._where, delay_ms=None if delay_ns is None else delay_ns / 1e6)
        return True

    def offset_ns(self, latest_ns: int) -> int:
        """Node time minus PTS by the sender's clock; never later than arrivals allow."""
        offset_ns = latest_ns if self._offset_ns is None else self._offset_ns
        return offset_ns if self._wanted == "always" else min(offset_ns, latest_ns)

    def uncertainty_ns(self, latest_ns: int) -> int:
        """How far off that may be."""
        if self._wanted == "always":
            return FLOOR_NS
        return max(latest_ns - self.offset_ns(latest_ns), FLOOR_NS)

    def _agreed(self) -> int | None:
        """The sender's clock minus PTS; None when the tracks lack it or do not agree."""
        if any(len(known) < LEAST for known in self._differences.values()):
            return None
        middles = [median_low(known) for known in self._differences.values()]
        return min(middles) if max(middles) - min(middles) <= AGREE_NS else None

    def _believable(self, delay_ns: int | None) -> bool:
        if delay_ns is None:
            return False
        slack = SLACK if self.believed else 1.0
        return self._wanted == "always" or -AHEAD_NS * slack <= delay_ns <= LONGEST_NS * slack
