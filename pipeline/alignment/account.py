"""What became of every sample that was pushed.

``pushed = used + discarded(reason) + buffered`` holds at every moment, per stream: a sample
is *used* when at least one window took something from it, *buffered* while a window still
may, and else *discarded* for one of the reasons below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Discard(StrEnum):
    """Why a pushed sample is in no window."""

    LATE = "late"  # further behind the stream's newest than allowed, or its windows are cut
    DUPLICATE = "duplicate"  # the same sample came before
    FUTURE = "future"  # stamp jumped ahead and nothing confirmed it
    MALFORMED = "malformed"  # payload does not fit the announced stream
    EARLY = "early"  # before the scene's first window
    UNUSED = "unused"  # in time, but no window's grid had a use for it
    REFORMATTED = "reformatted"  # the stream changed its form before it could be used
    RESUMED = "resumed"  # only windows cut before a restart needed it


@dataclass(slots=True)
class StreamCounts:
    """Counts of one stream since the aligner was built.

    Attributes:
        pushed: Samples that came.
        used: Samples that went into at least one window and are needed no more.
        out_of_order: Samples that came after one with a higher sequence number.
        gaps: Sequence numbers that were skipped and have not come since.
        discarded: Samples that are in no window, by reason.
    """

    pushed: int = 0
    used: int = 0
    out_of_order: int = 0
    gaps: int = 0
    discarded: dict[Discard, int] = field(default_factory=dict)

    def discard(self, reason: Discard, count: int = 1) -> None:
        """Count samples that end here."""
        self.discarded[reason] = self.discarded.get(reason, 0) + count

    @property
    def late(self) -> int:
        """Samples that came too late."""
        return self.discarded.get(Discard.LATE, 0)
