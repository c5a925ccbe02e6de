"""Moments of the normal that was learnt, kept so that what is unusual can be compared with them.

Each moment is a window, with what the scorer made of each stream in it: the whitened principal
components. How far a window is from a moment is told per stream, in units of how far normal
windows usually are from the nearest of the moments. Over all streams it is the mean of
``log(1 + d^2)`` (a Lorentzian: Black and Rangarajan, 1996, *On the unification of line processes,
outlier rejection, and robust statistics*, section 5): a stream that is far from everything it
ever was hardly chooses, and those that are as usual find the moment that was like this one. So a
strange sound is compared with a time when the picture was the same. numpy only, no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

APART_NS = 30_000_000_000
"""Moments that are told together lie at least so far apart."""


@dataclass(frozen=True, slots=True)
class StreamMoments:
    """One stream in all moments.

    Attributes:
        embedding: Whitened principal components, float32 ``(K, E)``; zero where it was not seen.
        levels: Raw first column of each place, float32 ``(K, P)``: readings of a sensor, levels of
            a sound's bands in decibels; ``(K, 0)`` for other streams. NaN where not seen.
        pictures: A small JPEG of each moment, of a camera; empty where there is none.
    """

    embedding: npt.NDArray[np.float32]
    levels: npt.NDArray[np.float32]
    pictures: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Near:
    """A moment beside a window.

    Attributes:
        row: Which moment.
        distance: Over all streams, see the module; 0: the same.
        streams: Distance of each stream, in usual distances.
    """

    row: int
    distance: float
    streams: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class NormalBank:
    """The moments of a scene.

    Attributes:
        start_ns: Begin of each window, site time, int64 ``(K,)``.
        seen: Which streams were seen, bool ``(K, M)``.
        scales: Usual distance of a normal window to the nearest moment, per stream, ``(M,)``.
        streams: The streams, in the model's order, by name; ``M`` of them.
    """

    start_ns: npt.NDArray[np.int64]
    seen: npt.NDArray[np.bool_]
    scales: Array
    streams: Mapping[str, StreamMoments]

    def nearest(self, shown: Mapping[str, Array], count: int) -> list[Near]:
        """The moments nearest to a window, the nearest first, all of different times.

        Args:
            shown: Whitened principal components ``(E,)`` of the streams that were seen in it.
            count: At most so many.
        """
        ratios = self._ratios(shown)
        if not ratios:
            return []
        terms = np.log1p(np.square(np.stack([*ratios.values()])))  # (streams, K)
        known = np.isfinite(terms)
        total = np.where(known, terms, 0.0).sum(axis=0)
        distances = np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.inf)
        found: list[int] = []
        for row in np.argsort(distances, kind="stable").tolist():
            if len(found) == count or not np.isfinite(distances[row]):
                break
            if all(abs(int(self.start_ns[row] - self.start_ns[one])) >= APART_NS for one in found):
                found.append(row)
        return [self._near(row, float(distances[row]), ratios) for row in found]

    def _ratios(self, shown: Mapping[str, Array]) -> dict[str, Array]:
        """Distance of each stream to each moment, in usual ones; NaN where not seen, ``(K,)``."""
        found: dict[str, Array] = {}
        for number, (name, kept) in enumerate(self.streams.items()):
            if name in shown:
                apart = np.linalg.norm(kept.embedding.astype(np.float64) - shown[name], axis=1)
                found[name] = np.where(self.seen[:, number], apart / self.scales[number], np.nan)
        return found

    def _near(self, row: int, distance: float, ratios: Mapping[str, Array]) -> Near:
        known = {name: float(ratio[row]) for name, ratio in ratios.items()}
        return Near(row, distance, {n: x for n, x in known.items() if np.isfinite(x)})
