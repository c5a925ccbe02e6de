"""Blocks of sound as a driver hands them over: when they were converted, what is missing."""

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
        adc_ns: Node time of its first sample.
        uncertainty_ns: How far off that may be.
        position: Samples before it, heard or lost.
        lost: Samples lost right before it; None when the driver cannot say how many.
        pcm: int16 ``(N, channels)``.
    """

    adc_ns: int
    uncertainty_ns: int
    position: int
    lost: int | None
    pcm: npt.NDArray[np.int16]


class Line:
    """Where blocks lie in time: their time less their position, but for jitter a constant."""

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=REMEMBERED)

    @property
    def known(self) -> bool:
        """Whether enough blocks were seen to tell jitter from constant."""
        return len(self._offsets) == REMEMBERED

    def late_ns(self, time_ns: int, position_ns: int) -> int:
        """How much later than expected a block is; 0 for the first."""
        if not self._offsets:
            return 0
        return time_ns - position_ns - int(median(self._offsets))

    def add(self, time_ns: int, position_ns: int) -> None:
        """Take in a block."""
        self._offsets.append(time_ns - position_ns)

    def spread_ns(self) -> int:
        """Median distance from the constant."""
        middle = median(self._offsets)
        return int(median(abs(offset - middle) for offset in self._offsets))


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
        waited_ns = now_ns - adc_ns - len(pcm) * SECOND_NS // self._rate_hz
        spread_ns = 2 * self._converted.spread_ns()
        uncertainty_ns = spread_ns if self._converted.known else max(spread_ns, waited_ns)
        return Block(adc_ns, max(uncertainty_ns, FLOOR_NS), position, lost, pcm)

    def _lost(self, adc_ns: int, now_ns: int, *, overflow: bool) -> int | None:
        """Samples missing before a block; None when some are but nobody knows how many."""
        next_ns = self._next * SECOND_NS // self._rate_hz
        late_ns = min(
            self._converted.late_ns(adc_ns, next_ns), self._handed_over.late_ns(now_ns, next_ns)
        )
        if not overflow and late_ns <= UNFLAGGED_GAP_S * SECOND_NS:
            return 0
        return max(round(late_ns * self._rate_hz / SECOND_NS), 0) or None


def adc_time_ns(times: BlockTimes, frames: int, rate_hz: int, now_ns: int) -> int:
    """Node time of a block's first sample.

    Some drivers give no converter time, or one of another clock; then the block is taken to
    have ended just now.
    """
    delay_s = times.currentTime - times.inputBufferAdcTime
    if not 0.0 < delay_s <= LONGEST_DELAY_S:
        delay_s = frames / rate_hz
    return now_ns - int(delay_s * SECOND_NS)
