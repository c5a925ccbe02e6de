"""One stream as the aligner of its scene sees it: samples, progress, counts."""

from __future__ import annotations

from pipeline.alignment.account import StreamCounts
from pipeline.alignment.track import Track
from pipeline.core.sample import Sample

NEVER = 1 << 62
LONG_AGO = -NEVER


class Lane:
    """One stream of a scene.

    Attributes:
        track: Its samples; None until the stream is announced.
        counts: What became of its samples.
        newest_ns: Furthest extent of a sample.
        watermark_ns: See `pipeline.alignment.watermark`.
        spoke_ns: Arrival time of its last sample taken.
        ended: Whether it will give no more.
        session: Counts sessions of its node: sequence numbers begin anew with each.
        highest: Highest sequence number of this session; -1 for none.
        reopened: Whether it was announced since its last sample.
        needs_ns: Watermark below which it cannot be settled for the next window; `NEVER`
            once it is settled.
        floor_ns: Samples that reach no further are behind every window still to come.
        missed_ns: End of the last window cut before all that it wants of the stream was here.
        behind: Stamps of samples taken after a window that missed them was cut. A reading can
            still serve as the neighbour of later ones; if it does not, it was late.
        held: Samples with stamps too far ahead to be believed yet.
    """

    __slots__ = (
        "_released",
        "_reported_late",
        "behind",
        "counts",
        "ended",
        "floor_ns",
        "held",
        "highest",
        "missed_ns",
        "name",
        "needs_ns",
        "newest_ns",
        "reopened",
        "session",
        "spoke_ns",
        "track",
        "watermark_ns",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.track: Track | None = None
        self.counts = StreamCounts()
        self.newest_ns = LONG_AGO
        self.watermark_ns = LONG_AGO
        self.spoke_ns = 0
        self.ended = False
        self.session = 0
        self.highest = -1
        self.reopened = False
        self.needs_ns = NEVER
        self.floor_ns = LONG_AGO
        self.missed_ns = LONG_AGO
        self.behind: set[int] = set()
        self.held: list[Sample] = []
        self._released = -1
        self._reported_late = 0

    def note_sequence(self, sample: Sample) -> bool:
        """Follow the sequence numbers; False when this one surely came before."""
        sequence = sample.sequence
        if self.reopened:
            self.reopened = False
            if sequence <= self.highest and sample.timestamp_ns > self.newest_ns:
                self.session += 1
                self.highest = self._released = -1
        if sequence > self.highest:
            self.counts.gaps += 0 if self.highest < 0 else sequence - self.highest - 1
            self.highest = sequence
            return True
        if not self.counts.gaps:
            return False
        self.counts.out_of_order += 1
        self.counts.gaps -= 1
        return True

    def released(self) -> int:
        """Highest sequence number up to which nothing is needed; -1: none. Never goes back."""
        oldest = None if self.track is None else self.track.oldest_sequence(self.session)
        numbers = [sample.sequence for sample in self.held]
        if oldest is not None:
            numbers.append(oldest)
        self._released = max(self._released, min(numbers) - 1 if numbers else self.highest)
        return self._released

    def release_all(self) -> int:
        """Let go of everything that came, as far as `released` is concerned."""
        self._released = max(self._released, self.highest)
        return self._released

    @property
    def buffered(self) -> int:
        """Samples that a window may still need."""
        return len(self.held) + (0 if self.track is None else len(self.track))

    def late_since_reported(self) -> int:
        """Late samples since the last time this was asked."""
        late = self.counts.late - self._reported_late
        self._reported_late = self.counts.late
        return late
