"""Decoded sound to int16 chunks whose position is counted to the sample.

The position of a chunk is the number of samples before it since the epoch began, heard or
not: when the medium's time runs ahead of the samples that came, by more than 8 ms (half a
packet, and more than what containers round), the difference was lost and is counted in. Time
that runs behind by as much cannot be lost samples: the count goes on and is tied to the
medium anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

SECOND_NS = 1_000_000_000
TOLERANCE_NS = 8_000_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sound of one moment.

    Attributes:
        pts_ns: Medium's time of its first sample.
        pcm: int16 ``(N, channels)``.
    """

    pts_ns: int
    pcm: npt.NDArray[np.int16]


class SampleCounter:
    """Positions from the medium's time; one per epoch.

    Args:
        rate_hz: Samples a second.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._anchor_ns: int | None = None
        self._next = 0

    def place(self, time_ns: int, count: int) -> int:
        """Position of a chunk of `count` samples that begins at `time_ns`."""
        if self._anchor_ns is None:
            self._anchor_ns = time_ns
        expected = round((time_ns - self._anchor_ns) * self._rate_hz / SECOND_NS)
        off = expected - self._next
        tolerance = TOLERANCE_NS * self._rate_hz // SECOND_NS
        if off > tolerance:
            self._next = expected
        elif off < -tolerance:
            self._anchor_ns += off * SECOND_NS // self._rate_hz
        position = self._next
        self._next += count
        return position


class SoundFormat:
    """Turns decoded frames into chunks of one rate and number of channels.

    Args:
        rate_hz: Rate of the chunks.
        channels: Channels of the chunks.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._rate_hz = rate_hz
        self._channels = channels
        self._layout = {1: "mono", 2: "stereo"}.get(channels, f"{channels}c")
        self.begin_again()

    def begin_again(self) -> None:
        """Forget the samples the resampler still holds: what follows does not join on."""
        self._resampler = av.AudioResampler("s16", self._layout, self._rate_hz)

    def chunks(self, frame: av.AudioFrame | None) -> Iterator[Chunk]:
        """Chunks of a frame; of the resampler's rest for None."""
        for out in self._resampler.resample(frame):
            if out.samples and out.pts is not None and out.time_base is not None:
                pcm = out.to_ndarray().reshape(-1, self._channels).astype(np.int16, copy=False)
                yield Chunk(to_ns(out.pts, out.time_base), pcm)


def to_ns(ticks: int, time_base: Fraction) -> int:
    """Nanoseconds of a time in ticks."""
    return ticks * time_base.numerator * SECOND_NS // time_base.denominator
