"""Endless noise of one colour (rain, wind, traffic, wheels), exact at any position.

A texture of some seconds is cut into grains: each second takes a stretch from a place of its
own and fades into the next with equal power. So the noise never repeats, yet any sample can
be computed alone.
"""

from __future__ import annotations

import numpy as np

from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.clips import Wave, band

_TEXTURE_S = 12


class Murmur:
    """Noise between two frequencies, deviation 1.

    Args:
        seed: Seed of what happens.
        name: Which murmur; each has its own noise.
        hz: Sampling rate.
        low_hz: Lower edge.
        high_hz: Upper edge.
    """

    def __init__(self, seed: int, name: str, hz: int, low_hz: float, high_hz: float) -> None:
        self._chance = Chance(seed, f"murmur/{name}")
        self._grain = hz
        count = _TEXTURE_S * hz
        noise = band(self._chance.at(), count, hz, low_hz, min(high_hz, 0.46 * hz))
        self._texture = noise.astype(np.float32)
        turn = 0.5 * np.pi * np.arange(hz) / hz
        self._falling = np.cos(turn).astype(np.float32)
        self._rising = np.sin(turn).astype(np.float32)

    def at(self, first: int, count: int) -> Wave:
        """Samples ``[first, first + count)``."""
        parts = []
        while count > 0:
            slot, into = divmod(first, self._grain)
            some = min(count, self._grain - into)
            parts.append(self._within(slot, into, some))
            first, count = first + some, count - some
        return np.concatenate(parts)

    def _within(self, slot: int, into: int, count: int) -> Wave:
        grain = self._grain
        draws: Floats = self._chance.uniform(np.array([slot, slot + 1]))
        here, after = (grain + draws * (len(self._texture) - 2 * grain)).astype(int)
        fading = self._texture[here + into : here + into + count]
        coming = self._texture[after - grain + into : after - grain + into + count]
        span = slice(into, into + count)
        mixed: Wave = fading * self._falling[span] + coming * self._rising[span]
        return mixed
