"""Audio: sound cut sample by sample.

Chunks carry a sample counter (`Sample.position`), so sound is placed by counting, and the
stamps only say where the count lies in time. The rules:

* Output sample *m* lies at ``m / rate`` on the Unix epoch. Time is divided into segments of
  a quarter of a second, numbered from the epoch; each is rendered once and windows are put
  together from segments, so the overlap of two windows is the same samples.
* Chunks of one session and epoch whose stamps agree with their count (from one to the next
  within 30 ms) form a run. Where a run ends the sound is torn and the next run is placed anew;
  between them is silence, marked absent. Where two overlap the later wins.
* Where a run's counter lies at an edge of a segment is estimated robustly from the stamps of
  the last four seconds, up to one segment before that edge. The edges are rounded to whole
  samples. When a segment then holds exactly its nominal number of samples, they are copied as
  they are; when the device's true rate differs, it holds some more or fewer and is resampled.
* All of that depends only on chunks of the last seconds, never on what was decided long ago.
  An engine restarted from its resume point therefore cuts the same sound.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.alignment.account import Discard
from pipeline.alignment.chunks import TEAR_NS, ChunkLine, Run
from pipeline.alignment.resample import TAPS, stretch
from pipeline.alignment.run_clock import EdgeClock
from pipeline.alignment.settings import StreamOptions
from pipeline.alignment.timeline import Dropped
from pipeline.alignment.track import Cut, Track
from pipeline.core.errors import AlignmentError
from pipeline.core.sample import Sample, StreamInfo
from pipeline.core.window import AudioSlice

SEGMENT_S = 0.25
MEMORY_NS = 4_000_000_000
_PCM_SCALE = np.float32(1.0 / 32768.0)


_Doubt: TypeAlias = tuple[int, int, int]  # from sample, to sample, uncertainty in ns


@dataclass(frozen=True, slots=True)
class _Segment:
    samples: npt.NDArray[np.float32]
    present: npt.NDArray[np.bool_]
    doubts: tuple[_Doubt, ...]

    def uncertainty_ns(self, low: int, high: int) -> int:
        """The worst between two of its samples: a window is as sure as what it took."""
        return max((ns for begin, end, ns in self.doubts if begin < high and end > low), default=0)


class AudioTrack(Track):
    """Sound of one stream."""

    def __init__(self, info: StreamInfo, options: StreamOptions, window_ns: int) -> None:
        super().__init__(info, options, window_ns)
        if not info.rate_hz:
            raise AlignmentError(
                "audio without a rate", where=info.name, fix="announce the stream with rate_hz"
            )
        self._clock = EdgeClock(info.rate_hz, SEGMENT_S, MEMORY_NS)
        self._step = self._clock.step
        self._width = info.shape[0] if info.shape else 1
        self._count = self._clock.samples(window_ns)
        self._line = ChunkLine(self._clock)
        self._rendered: dict[int, _Segment] = {}

    def __len__(self) -> int:
        return len(self._line)

    @property
    def overhang_ns(self) -> int:
        """None: a chunk says itself how far it reaches."""
        return 0

    def takes_over(self, older: Track) -> bool:
        """Sound of another rate or width cannot be joined."""
        return False

    def extent_ns(self, sample: Sample) -> int | None:
        """The end of the chunk, and half a sample for the rounding of stamps."""
        data = sample.data
        if not isinstance(data, np.ndarray) or not len(data):
            return None
        return sample.timestamp_ns + self._clock.reach_ns(len(data))

    def in_order(self, sample: Sample, session: int) -> bool:
        """Whether the chunk follows the last one by count, whatever jitter does to stamps."""
        return self._line.follows(sample, session)

    def insert(self, sample: Sample, session: int) -> Discard | None:
        """Keep a chunk ``(N, channels)``, int16 or float."""
        data = sample.data
        if not isinstance(data, np.ndarray) or data.dtype.kind not in "fi":
            return Discard.MALFORMED
        data = data.reshape(-1, 1) if data.ndim == 1 else data
        if data.ndim != 2 or data.shape[1] != self._width:
            return Discard.MALFORMED
        return None if self._line.insert(sample, data, session) else Discard.DUPLICATE

    def holds(self, sample: Sample, session: int) -> bool:
        """Whether this very chunk is here."""
        return self._line.holds(sample, session)

    def needs_ns(self, start_ns: int, end_ns: int) -> int:
        """The end of the window."""
        return end_ns

    def settled(self, start_ns: int, end_ns: int, watermark_ns: int) -> bool:
        """Whether the last run was counted up to the end of the window."""
        if watermark_ns < end_ns or not len(self._line):
            return watermark_ns >= end_ns
        run = self._line.runs()[-1]
        if self._line.chunks[run.low].sample.timestamp_ns >= end_ns:
            return True
        last = self._clock.samples(start_ns) + self._count
        number = (last - 1) // self._step
        edges = self._line.edges(run, number)
        if edges is None:
            return True
        return self._line.last_count() >= self._needed(*edges, last - number * self._step)

    def _needed(self, left: int, right: int, samples: int) -> int:
        """Count at which the first `samples` of a segment can be rendered for good."""
        if right - left == self._step:
            return left + samples
        return min(right, left + -(-samples * (right - left) // self._step) + TAPS // 2)

    def cut(self, start_ns: int, end_ns: int, *, settled: bool, over: bool) -> Cut:
        """Samples of the window, put together from segments."""
        first = self._clock.samples(start_ns)
        last = first + self._count
        samples = np.empty((self._count, self._width), dtype=np.float32)
        present = np.empty(self._count, dtype=np.bool_)
        worst = 0
        for number in range(first // self._step, (last - 1) // self._step + 1):
            segment = self._segment(number, keep=settled and (number + 1) * self._step <= last)
            origin = number * self._step
            low, high = max(first, origin), min(last, origin + self._step)
            samples[low - first : high - first] = segment.samples[low - origin : high - origin]
            present[low - first : high - first] = segment.present[low - origin : high - origin]
            worst = max(worst, segment.uncertainty_ns(low - origin, high - origin))
        coverage = float(np.count_nonzero(present)) / self._count
        return Cut(AudioSlice(self.info, samples, present, coverage), worst)

    def _segment(self, number: int, *, keep: bool) -> _Segment:
        segment = self._rendered.get(number)
        if segment is None:
            segment = self._render(number)
            if keep:
                self._rendered[number] = segment
        return segment

    def _render(self, number: int) -> _Segment:
        parts = [
            part for run in self._line.runs() if (part := self._render_run(run, number)) is not None
        ]
        if len(parts) == 1:
            return parts[0]
        samples = np.zeros((self._step, self._width), dtype=np.float32)
        present = np.zeros(self._step, dtype=np.bool_)
        for part in parts:
            samples[part.present] = part.samples[part.present]
            present |= part.present
        return _Segment(samples, present, tuple(doubt for part in parts for doubt in part.doubts))

    def _render_run(self, run: Run, number: int) -> _Segment | None:
        """What one run sounds like in a segment; None when it is not near."""
        start, end = self._clock.span(number)
        line = self._line
        begin, stop = line.chunks[run.low].sample.timestamp_ns, line.ends[run.high - 1]
        if begin > end + TEAR_NS or stop < start - TEAR_NS:
            return None
        edges = line.edges(run, number)
        if edges is None:
            return None
        sound, heard, doubts = self._gather(run, *edges)
        if (counted := len(sound)) != self._step:
            sound, heard = stretch(sound, heard, self._step)
            doubts = [
                (low * self._step // counted, -(-high * self._step // counted), ns)
                for low, high, ns in doubts
            ]
        return _Segment(sound, heard, tuple(doubts))

    def _gather(
        self, run: Run, left: int, right: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], list[_Doubt]]:
        """Sound of a run from counter `left` to `right`, what was heard, and how unsure it is."""
        sound = np.zeros((right - left, self._width), dtype=np.float32)
        heard = np.zeros(right - left, dtype=np.bool_)
        doubts: list[_Doubt] = []
        for chunk in self._line.counted(run, left, right):
            origin = chunk.sample.position
            begin, end = max(left, origin), min(right, origin + len(chunk.data))
            if begin >= end:
                continue
            part = chunk.data[begin - origin : end - origin]
            here = slice(begin - left, end - left)
            sound[here] = part
            if part.dtype.kind == "i":
                sound[here] *= _PCM_SCALE
            heard[here] = True
            chunk.used = True
            doubt = chunk.sample.uncertainty_ns
            if doubts and doubts[-1][2] == doubt:  # the usual case: one for all
                doubts[-1] = (doubts[-1][0], end - left, doubt)
            else:
                doubts.append((begin - left, end - left, doubt))
        finite = np.isfinite(sound)
        if not finite.all():
            broken = ~finite.all(axis=1)
            sound[broken], heard[broken] = 0.0, False
        return sound, heard, doubts

    def first_after(self, time_ns: int) -> int | None:
        """Time of the first sound at or after a time."""
        place = bisect_left(self._line.ends, time_ns + 1)
        if place == len(self._line):
            return None
        return max(time_ns, self._line.chunks[place].sample.timestamp_ns)

    def oldest_sequence(self, session: int) -> int | None:
        """Smallest sequence number held of a session."""
        chunks = self._line.chunks
        return min((c.sample.sequence for c in chunks if c.session == session), default=None)

    def keep_from_ns(self, start_ns: int) -> int:
        """The start of the window."""
        return start_ns

    def memory_from_ns(self, start_ns: int) -> int:
        """What the edges of the first segment are estimated from."""
        return start_ns - MEMORY_NS - round(2e9 * SEGMENT_S)

    def prune(self, start_ns: int) -> Dropped:
        """Let go of chunks that neither sound in later windows nor place them."""
        limit = self.memory_from_ns(start_ns)
        count = 0
        while count < len(self._line) and self._line.ends[count] < limit:
            count += 1
        number = self._clock.samples(start_ns) // self._step
        for old in [old for old in self._rendered if old < number]:
            del self._rendered[old]
        self._line.forget_edges(number)
        return self._drop(count)

    def clear(self) -> Dropped:
        """Let go of everything."""
        self._rendered.clear()
        return self._drop(len(self._line))

    def _drop(self, count: int) -> Dropped:
        gone = self._line.drop(count)
        unused = [chunk.sample.timestamp_ns for chunk in gone if not chunk.used]
        return Dropped(len(gone) - len(unused), unused)
