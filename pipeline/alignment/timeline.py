"""Samples of one stream in order of their stamps.

Nearly all samples come in order, so a sorted list is the fast structure: appending is O(1),
a sample out of order is inserted by bisection, and the front is cut off once a window.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from pipeline.core.sample import Sample


@dataclass(slots=True)
class Dropped:
    """Samples that no future window needs.

    Attributes:
        used: How many of them went into a window.
        unused_ns: Stamps of those that did not.
    """

    used: int = 0
    unused_ns: list[int] = field(default_factory=list)


class Timeline:
    """Samples sorted by stamp; equal stamps by session, then sequence."""

    __slots__ = ("samples", "sessions", "stamps", "used")

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.samples: list[Sample] = []
        self.sessions: list[int] = []
        self.used = bytearray()

    def __len__(self) -> int:
        return len(self.stamps)

    def insert(self, sample: Sample, session: int) -> bool:
        """Put a sample in its place; False when it is there already."""
        stamp = sample.timestamp_ns
        if not self.stamps or stamp > self.stamps[-1]:
            self.stamps.append(stamp)
            self.samples.append(sample)
            self.sessions.append(session)
            self.used.append(0)
            return True
        place = self._place(sample, session)
        if place is None:
            return False
        self.stamps.insert(place, stamp)
        self.samples.insert(place, sample)
        self.sessions.insert(place, session)
        self.used.insert(place, 0)
        return True

    def holds(self, sample: Sample, session: int) -> bool:
        """Whether this very sample is here."""
        return bool(self.stamps) and self._place(sample, session) is None

    def _place(self, sample: Sample, session: int) -> int | None:
        key = (session, sample.sequence)
        low = bisect_left(self.stamps, sample.timestamp_ns)
        for place in range(bisect_right(self.stamps, sample.timestamp_ns, low), low, -1):
            other = (self.sessions[place - 1], self.samples[place - 1].sequence)
            if other == key:
                return None
            if other < key:
                return place
        return low

    def first_after(self, time_ns: int) -> int | None:
        """Stamp of the first sample at or after a time."""
        place = bisect_left(self.stamps, time_ns)
        return self.stamps[place] if place < len(self.stamps) else None

    def drop(self, count: int) -> Dropped:
        """Take the `count` oldest samples out."""
        flags = self.used[:count]
        used = flags.count(1)
        unused = (
            [] if used == count else [s for s, u in zip(self.stamps, flags, strict=False) if not u]
        )
        del self.stamps[:count], self.samples[:count], self.sessions[:count], self.used[:count]
        return Dropped(used, unused)

    def oldest_sequence(self, session: int) -> int | None:
        """Smallest sequence number held of a session."""
        return min(
            (s.sequence for s, n in zip(self.samples, self.sessions, strict=True) if n == session),
            default=None,
        )
