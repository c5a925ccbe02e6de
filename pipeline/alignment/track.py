"""What the aligner asks of a modality.

A track holds the samples of one stream and cuts slices from them. The aligner tells it the
window and how far the stream is *settled*: every sample with a stamp up to the watermark is
here, and none will be added. What a slice takes from a settled track must depend on nothing
behind the watermark, or windows would differ with the order of arrival.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from dataclasses import dataclass

from pipeline.alignment.account import Discard
from pipeline.alignment.settings import StreamOptions
from pipeline.alignment.timeline import Dropped, Timeline
from pipeline.core.sample import Sample, StreamInfo
from pipeline.core.window import Slice

FALLBACK_GRID_HZ = 10.0


@dataclass(frozen=True, slots=True)
class Cut:
    """One stream's part of a window.

    Attributes:
        slice: The aligned data.
        uncertainty_ns: Largest clock uncertainty among the samples used.
    """

    slice: Slice
    uncertainty_ns: int


class Track(ABC):
    """Samples of one stream and the way to cut them.

    Args:
        info: The stream.
        options: How to put it on the timeline.
        window_ns: Length of the scene's windows.
    """

    def __init__(self, info: StreamInfo, options: StreamOptions, window_ns: int) -> None:
        self.info = info
        self.options = options
        self.window_ns = window_ns
        self.timeline = Timeline()

    def __len__(self) -> int:
        return len(self.timeline)

    @property
    def overhang_ns(self) -> int:
        """How far past the newest sample an ended stream reaches: one and a half periods."""
        rate = self.info.rate_hz
        return round(1.5e9 / rate) if rate else 0

    def takes_over(self, older: Track) -> bool:
        """Take the samples of the same stream in an older form; False if they do not fit."""
        if type(older) is not type(self):
            return False
        self.timeline = older.timeline
        return True

    def extent_ns(self, sample: Sample) -> int | None:
        """Time up to which a sample tells about its stream; None when it is malformed."""
        return sample.timestamp_ns

    def in_order(self, sample: Sample, session: int) -> bool:
        """Whether the sample is next in line whatever its stamp says."""
        return False

    def insert(self, sample: Sample, session: int) -> Discard | None:
        """Keep a sample; the reason when it cannot be kept."""
        return None if self.timeline.insert(sample, session) else Discard.DUPLICATE

    def holds(self, sample: Sample, session: int) -> bool:
        """Whether this very sample is here."""
        return self.timeline.holds(sample, session)

    def first_after(self, time_ns: int) -> int | None:
        """Time of the first data at or after a time."""
        return self.timeline.first_after(time_ns)

    def oldest_sequence(self, session: int) -> int | None:
        """Smallest sequence number held of a session."""
        return self.timeline.oldest_sequence(session)

    @abstractmethod
    def needs_ns(self, start_ns: int, end_ns: int) -> int:
        """Watermark below which the window is certainly not settled."""

    def settled(self, start_ns: int, end_ns: int, watermark_ns: int) -> bool:
        """Whether everything the window needs of this stream is here for good."""
        return watermark_ns >= self.needs_ns(start_ns, end_ns)

    @abstractmethod
    def cut(self, start_ns: int, end_ns: int, *, settled: bool, over: bool) -> Cut:
        """The slice of a window.

        Args:
            start_ns: Start of the window.
            end_ns: End of the window, exclusive.
            settled: Whether the window is settled for this stream.
            over: Whether the stream ended before the window did.
        """

    @abstractmethod
    def keep_from_ns(self, start_ns: int) -> int:
        """Samples that reach no further than this are useless to windows from here on."""

    def memory_from_ns(self, start_ns: int) -> int:
        """Samples back to here are kept for windows from `start_ns` on."""
        return self.keep_from_ns(start_ns)

    def prune(self, start_ns: int) -> Dropped:
        """Let go of what no window from `start_ns` on needs."""
        return self.timeline.drop(bisect_left(self.timeline.stamps, self.keep_from_ns(start_ns)))

    def clear(self) -> Dropped:
        """Let go of everything."""
        return self.timeline.drop(len(self.timeline))
