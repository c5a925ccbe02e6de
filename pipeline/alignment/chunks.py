"""Chunks of sound in order of their count, and the runs they form.

A run is a row of chunks of one session and epoch whose stamps agree with their count from one
to the next within 30 ms. Runs are found from neighbours alone, so the order in which chunks
came makes no difference.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.alignment.run_clock import EdgeClock
from pipeline.core.sample import Sample

TEAR_NS = 30_000_000
_MOST_STRETCH = 0.02


@dataclass(slots=True)
class Chunk:
    """One chunk.

    Attributes:
        sample: As it was pushed.
        data: Its sound, ``(N, channels)``.
        session: Session of its node.
        used: Whether it went into a window.
    """

    sample: Sample
    data: npt.NDArray[np.generic]
    session: int
    used: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A run.

    Attributes:
        number: Counts runs; stays the same while chunks come and go.
        low: Its first chunk.
        high: After its last chunk.
    """

    number: int
    low: int
    high: int


class ChunkLine:
    """Chunks of one stream.

    Args:
        clock: Says where a counter lies in time.
    """

    def __init__(self, clock: EdgeClock) -> None:
        self.chunks: list[Chunk] = []
        self.ends: list[int] = []
        self._clock = clock
        self._keys: list[tuple[int, int, int]] = []  # session, epoch, position
        self._offsets: list[int] = []
        self._opens = bytearray()  # whether the chunk begins a run
        self._runs_gone = 0
        self._edges: dict[tuple[int, int], int | None] = {}
        self._edges_known_ns = 0  # the edges kept rest on chunks that ended before this

    def __len__(self) -> int:
        return len(self._keys)

    def insert(self, sample: Sample, data: npt.NDArray[np.generic], session: int) -> bool:
        """Put a chunk in its place; False when it is there already."""
        key = (session, sample.epoch, sample.position)
        end = sample.timestamp_ns + self._clock.reach_ns(len(data))
        keys = self._keys
        if not keys or key > keys[-1]:
            if end < self._edges_known_ns:
                self._edges.clear()
            keys.append(key)
            self.ends.append(end)
            self._offsets.append(self._clock.offset_ns(sample))
            self.chunks.append(Chunk(sample, data, session))
            self._opens.append(self._torn(len(keys) - 1))
            return True
        place = bisect_left(keys, key)
        if keys[place] == key:
            return False
        self._edges.clear()
        keys.insert(place, key)
        self.ends.insert(place, end)
        self._offsets.insert(place, self._clock.offset_ns(sample))
        self.chunks.insert(place, Chunk(sample, data, session))
        self._opens.insert(place, self._torn(place))
        self._opens[place + 1] = self._torn(place + 1)
        return True

    def holds(self, sample: Sample, session: int) -> bool:
        """Whether this very chunk is here."""
        key = (session, sample.epoch, sample.position)
        place = bisect_left(self._keys, key)
        return place < len(self._keys) and self._keys[place] == key

    def follows(self, sample: Sample, session: int) -> bool:
        """Whether a chunk is counted after the last one, in the same epoch."""
        if not self._keys:
            return False
        last = self._keys[-1]
        return (session, sample.epoch) == last[:2] and sample.position > last[2]

    def runs(self) -> list[Run]:
        """Every run, in order."""
        found: list[Run] = []
        low = 0
        while low < len(self._keys):
            next_low = self._opens.find(1, low + 1)
            high = len(self._keys) if next_low < 0 else next_low
            found.append(Run(self._runs_gone + len(found), low, high))
            low = high
        return found

    def last_count(self) -> int:
        """Counter after the last chunk."""
        return self._keys[-1][2] + len(self.chunks[-1].data)

    def edges(self, run: Run, number: int) -> tuple[int, int] | None:
        """Counter of a run at both edges of a segment; None when it says nothing there."""
        right = self._edge(run, number + 1)
        if right is None:
            return None
        left = self._edge(run, number)
        step = self._clock.step
        if left is None or abs(right - left - step) > step * _MOST_STRETCH:
            left = right - step
        return left, right

    def counted(self, run: Run, left: int, right: int) -> list[Chunk]:
        """Chunks of a run with counts from `left` to `right`."""
        key = self._keys[run.low]
        place = bisect_left(self._keys, (key[0], key[1], left), run.low, run.high)
        stop = bisect_left(self._keys, (key[0], key[1], right), place, run.high)
        return self.chunks[max(run.low, place - 1) : stop]

    def drop(self, count: int) -> list[Chunk]:
        """Take the first `count` chunks out."""
        gone = self.chunks[:count]
        opened = self._opens.count(1, 0, count)
        del self.chunks[:count], self._keys[:count], self.ends[:count]
        del self._offsets[:count], self._opens[:count]
        self._runs_gone += opened
        if self._opens and not self._opens[0]:
            self._opens[0] = 1
            self._runs_gone -= 1
        return gone

    def forget_edges(self, number: int) -> None:
        """Segments before `number` are asked for no more."""
        for key in [key for key in self._edges if key[1] < number]:
            del self._edges[key]

    def _edge(self, run: Run, edge: int) -> int | None:
        key = (run.number, edge)
        if key not in self._edges:
            ends, offsets = self.ends, self._offsets
            if run.high - run.low < len(ends):
                ends, offsets = ends[run.low : run.high], offsets[run.low : run.high]
            self._edges[key] = self._clock.counter(ends, offsets, edge)
            self._edges_known_ns = max(self._edges_known_ns, self._clock.known_ns(edge))
        return self._edges[key]

    def _torn(self, place: int) -> bool:
        if place == 0:
            return True
        mine, other = self._keys[place], self._keys[place - 1]
        if mine[1] != other[1] or mine[0] != other[0]:
            return True
        return abs(self._offsets[place] - self._offsets[place - 1]) > TEAR_NS
