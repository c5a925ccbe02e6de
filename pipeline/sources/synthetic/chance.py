"""Random numbers with an address: the same ``(seed, purpose, index)`` gives the same draw.

There is no generator that runs along, so nothing depends on what was drawn before. Two kinds
of draw: `Chance.at` opens a Philox generator at an index (for one happening with many
properties, or one block of noise), `Chance.uniform` hashes whole arrays of indices at once
(splitmix64 finaliser, Steele, Lea and Flood 2014), which smooth noise is made of.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

_WORD = (1 << 64) - 1


class Chance:
    """Draws for one purpose.

    Args:
        seed: Seed of the place or of what happens there.
        purpose: What is drawn; two purposes never share numbers.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        digest = hashlib.blake2b(f"{seed}\0{purpose}".encode(), digest_size=24).digest()
        words = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
        self._key = words[:2]
        self._salt = words[2:]

    def at(self, index: int = 0) -> np.random.Generator:
        """A generator of its own for `index` (any integer, also negative)."""
        counter = np.array([0, 0, 0, index & _WORD], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))

    def uniform(self, index: Ints) -> Floats:
        """One number in [0, 1) for each index, same shape as `index`."""
        z = np.atleast_1d(index).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + self._salt
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def smooth(self, t_s: Floats, period_s: float) -> Floats:
        """Noise in [0, 1) that wanders with a time scale of `period_s`, same shape as `t_s`."""
        place = np.atleast_1d(t_s) / period_s
        cell = np.floor(place)
        index = cell.astype(np.int64)
        low, high = self.uniform(np.stack([index, index + 1]))
        result: Floats = low + (high - low) * ramp(place - cell)
        return result


def ramp(x: Floats) -> Floats:
    """Smooth step from 0 at ``x <= 0`` to 1 at ``x >= 1``: ``3 x^2 - 2 x^3``."""
    x = np.clip(x, 0.0, 1.0)
    result: Floats = x * x * (3.0 - 2.0 * x)
    return result
