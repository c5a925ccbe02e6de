"""Blocks of sound as a driver hands them over: when they were converted, what is missing.

`BlockCounter` counts samples, those that were lost too. `BlockClock` ties the count to time:

* A driver says how long ago a block began. Right after opening, and whenever its latency
  changes, a sound server says too long: PulseAudio by up to 0.73 s, gone 1.2 s after the first
  block (measured on a null sink). Never was it too short by more than 5 ms. So the latest time
  that seven blocks in a row stood by, within the last 10 s, is the time of sample 0; all other
  times follow by counting.
* A converter's rate is off by a few hundred parts in a million at most. On a machine that is
  starved of CPU a sound server's word may run away by far more (38 ms within 2 s were seen), so
  a time that was once sure becomes later no faster than `FASTEST_DRIFT`.
* A block cannot begin after it was handed over, and hardly later than its own length before.
  The first bounds the time; the second says how much too early it may still be: the room.
* The first blocks are held back until seven of them leave no more room than 10 ms and none
  says later by more than that, at most 1.5 s; then all are stamped from the one time found.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Protocol

import numpy as np
import numpy.typing as npt

SECOND_NS = 1_000_000_000
LONGEST_DELAY_S = 2.0
UNFLAGGED_GAP_S = 0.25
FLOOR_NS = 1_000_000
REMEMBERED = 25
STOOD_BY = 7
MEMORY_NS = 10 * SECOND_NS
SURE_NS = 10_000_000
FASTEST_DRIFT = 500e-6
LONGEST_HOLD_NS = 3 * SECOND_NS // 2


class BlockStatus(Protocol):
    """What PortAudio says about how a block came."""

    input_overflow: bool


class BlockTimes(Protocol):
    """What PortAudio says about the time of a block, seconds on its own clock."""

    inputBufferAdcTime: float
    currentTime: float


@dataclass(frozen=True, slots=True)
class Block:
    """One block as it came.

    Attributes:
        adc_ns: Node time of its first sample, by the driver's word.
        handed_ns: Node time at which it was handed over.
        position: Samples before it, heard or lost.
        lost: Samples lost right before it; None when the driver cannot say how many.
        pcm: int16 ``(N, channels)``.
    """

    adc_ns: int
    handed_ns: int
    position: int
    lost: int | None
    pcm: npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Stamped:
    """A block with its time.

    Attributes:
        timestamp_ns: Node time of its first sample.
        uncertainty_ns: How far off that may be.
        block: The block.
    """

    timestamp_ns: int
    uncertainty_ns: int
    block: Block


class Line:
    """Where blocks lie in time: their time less their position, but for jitter a constant."""

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=REMEMBERED)

    def late_ns(self, time_ns: int, position_ns: int) -> int:
        """How much later than expected a block is; 0 for the first."""
        if not self._offsets:
            return 0
        return time_ns - position_ns - int(median(self._offsets))

    def add(self, time_ns: int, position_ns: int) -> None:
        """Take in a block."""
        self._offsets.append(time_ns - position_ns)


class BlockCounter:
    """Counts samples and notices what is missing between blocks.

    Samples are missing when a block is late both by the converter's time and by the time it
    was handed over. One alone proves nothing: sound servers correct their idea of the
    converter's time by tenths of a second, and a busy machine hands blocks over late.

    Args:
        rate_hz: Samples a second.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._next = 0
        self._converted = Line()
        self._handed_over = Line()

    def block(
        self, adc_ns: int, now_ns: int, pcm: npt.NDArray[np.int16], *, overflow: bool
    ) -> Block:
        """Place a block.

        Args:
            adc_ns: When its first sample was converted, by the driver's word.
            now_ns: When it was handed over.
            pcm: Its samples ``(N, channels)``.
            overflow: Whether the driver says that samples before it were lost.
        """
        lost = self._lost(adc_ns, now_ns, overflow=overflow)
        self._next += lost or 0
        position, position_ns = self._next, self._next * SECOND_NS // self._rate_hz
        self._converted.add(adc_ns, position_ns)
        self._handed_over.add(now_ns, position_ns)
        self._next += len(pcm)
        return Block(adc_ns, now_ns, position, lost, pcm)

    def _lost(self, adc_ns: int, now_ns: int, *, overflow: bool) -> int | None:
        """Samples missing before a block; None when some are but nobody knows how many."""
        next_ns = self._next * SECOND_NS // self._rate_hz
        late_ns = min(
            self._converted.late_ns(adc_ns, next_ns), self._handed_over.late_ns(now_ns, next_ns)
        )
        if not overflow and late_ns <= UNFLAGGED_GAP_S * SECOND_NS:
            return 0
        return max(round(late_ns * self._rate_hz / SECOND_NS), 0) or None


class Highest:
    """The highest of the values that came within the last `MEMORY_NS`."""

    def __init__(self) -> None:
        self._candidates: deque[tuple[int, int]] = deque()

    def clear(self) -> None:
        """Forget all."""
        self._candidates.clear()

    def add(self, now_ns: int, value: int) -> None:
        """Take in a value, and forget those too old or no higher."""
        while self._candidates and self._candidates[-1][1] <= value:
            self._candidates.pop()
        self._candidates.append((now_ns, value))
        while self._candidates[0][0] < now_ns - MEMORY_NS:
            self._candidates.popleft()

    @property
    def value(self) -> int:
        """The highest; there must be one."""
        return self._candidates[0][1]


class BlockClock:
    """Stamps blocks by their count; see the module for the rules.

    Args:
        rate_hz: Samples a second.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._held: list[Block] = []
        self._settled = False
        self._sure_zero: tuple[int, int] | None = None  # node time of sample 0, and as of when
        self._begun_ns: int | None = None
        self._recent: deque[int] = deque(maxlen=STOOD_BY)
        self._said = Highest()
        self._handed_back = Highest()  # hand-over less count, negative: the earliest counts
        self._lasts_ns = 0

    def take(self, block: Block) -> list[Stamped]:
        """Take in a block; the blocks that can be stamped now, oldest first."""
        self._observe(block)
        self._held.append(block)
        return self.release() if self._settled else []

    def release(self) -> list[Stamped]:
        """Stamp the blocks held back with what is known now."""
        blocks, self._held = self._held, []
        return [self._stamped(block) for block in blocks]

    def _observe(self, block: Block) -> None:
        now_ns, position_ns = block.handed_ns, self._length_ns(block.position)
        if len(self._recent) < STOOD_BY:
            self._said.clear()  # too few to stand by a time
        self._recent.append(block.adc_ns - position_ns)
        self._said.add(now_ns, int(median(self._recent)))
        self._handed_back.add(now_ns, position_ns - now_ns)
        self._lasts_ns = self._length_ns(len(block.pcm))
        if self._begun_ns is None:
            self._begun_ns = now_ns
        self._follow(now_ns)
        waited_ns = now_ns - self._begun_ns
        self._settled |= self._sure_zero is not None or waited_ns >= LONGEST_HOLD_NS

    def _follow(self, now_ns: int) -> None:
        """Keep the time of sample 0 from the first sure one on, moving as converters drift.

        A driver that says an earlier time for as long as is remembered has moved for good.
        """
        said_ns = self._said_zero_ns()
        if self._sure_zero is not None:
            zero_ns, as_of_ns = self._sure_zero
            most_ns = int((now_ns - as_of_ns) * FASTEST_DRIFT)
            self._sure_zero = (min(said_ns, zero_ns + most_ns), now_ns)
            if said_ns >= zero_ns - most_ns:
                return
        self._sure_zero = (said_ns, now_ns) if self._is_sure() else None

    def _is_sure(self) -> bool:
        """Whether seven blocks say a time that can be, rises no more and leaves little room."""
        said_ns = self._said.value
        possible = said_ns <= -self._handed_back.value
        steady = len(self._recent) == STOOD_BY and max(self._recent) - said_ns <= SURE_NS
        return possible and steady and self._room_ns() <= SURE_NS

    def _stamped(self, block: Block) -> Stamped:
        timestamp_ns = self._zero_ns() + self._length_ns(block.position)
        return Stamped(timestamp_ns, self._doubt_ns(block.handed_ns), block)

    def _zero_ns(self) -> int:
        """Node time of sample 0."""
        return self._said_zero_ns() if self._sure_zero is None else self._sure_zero[0]

    def _said_zero_ns(self) -> int:
        """Node time of sample 0 by the driver's word, as far as it is possible."""
        return min(self._said.value, -self._handed_back.value)

    def _room_ns(self) -> int:
        return -self._handed_back.value - self._lasts_ns - self._zero_ns()

    def _doubt_ns(self, now_ns: int) -> int:
        """How far off stamps may be: jitter, what the driver says else, the room left.

        A driver that has said the same for as long as is remembered is believed.
        """
        middle = median(self._recent)
        spread_ns = 2 * int(median(abs(offset - middle) for offset in self._recent))
        aside_ns = abs(self._zero_ns() - int(middle))
        young = self._begun_ns is not None and now_ns - self._begun_ns < MEMORY_NS
        return max(spread_ns, aside_ns, self._room_ns() if young else 0, FLOOR_NS)

    def _length_ns(self, samples: int) -> int:
        return samples * SECOND_NS // self._rate_hz


def adc_time_ns(times: BlockTimes, frames: int, rate_hz: int, now_ns: int) -> int:
    """Node time of a block's first sample.

    Some drivers give no converter time, or one of another clock; then the block is taken to
    have ended just now.
    """
    delay_s = times.currentTime - times.inputBufferAdcTime
    if not 0.0 < delay_s <= LONGEST_DELAY_S:
        delay_s = frames / rate_hz
    return now_ns - int(delay_s * SECOND_NS)
