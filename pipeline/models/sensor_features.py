"""How each channel of a sensor behaves: value, trend, noise, steps, spectrum.

A channel that is stuck has less noise than usual, a loose contact has larger steps, a
bearing that goes has more energy in one part of the spectrum.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.core.sample import StreamInfo
from pipeline.core.window import SensorSlice, Slice
from pipeline.models.features import NO_ITEMS, StreamFeatures

Array = npt.NDArray[np.float64]
_BANDS = 3
_LARGEST = 1e100
_DUST = 1e-9  # of the value; less is the rounding of float64 and no noise


class SensorFeatures:
    """Extractor of a sensor stream. ``P`` is the number of channels, ``d`` is 9."""

    columns: tuple[str, ...] = (
        "value",
        "dip",
        "peak",
        "slope",
        "noise",
        "largest step",
        "slow vibration",
        "middle vibration",
        "fast vibration",
    )
    tolerances: tuple[float, ...] = (0.02, 0.02, 0.02, 0.02, 0.2, 0.2, 0.2, 0.2, 0.2)
    relative_columns: tuple[int, ...] = (0, 1, 2, 3)
    log_columns: tuple[int, ...] = (4, 5, 6, 7, 8)
    common_columns: tuple[int, ...] = ()
    level_column: int | None = 0
    places_order: float | None = 3.0
    item_dims = 0
    item_neighbours: int | None = None

    def __init__(self, info: StreamInfo, min_coverage: float) -> None:
        count = info.shape[0] if info.shape else max(1, len(info.channels))
        self.labels = info.channels or tuple(f"channel {i}" for i in range(count))
        self._min_coverage = min_coverage

    def extract(self, part: Slice) -> StreamFeatures | None:
        """Features ``(C, 9)``; channels with too few cells are not present."""
        return extract_together([(self, part)])[0]

    def usable(self, part: Slice) -> tuple[Array, npt.NDArray[np.bool_]] | None:
        """Readings without gaps ``(T, C)`` and channels with enough of them ``(C,)``, if any."""
        if not isinstance(part, SensorSlice) or part.values.shape[1] != len(self.labels):
            return None
        good = part.present & np.isfinite(part.values)  # (T, C)
        if not len(good):
            return None
        # Channel by channel: those that are silent, however many, hide none of the others.
        present = good.mean(axis=0) >= self._min_coverage
        if not present.any():
            return None
        usable = np.clip(part.values, -_LARGEST, _LARGEST)  # squares of what is larger overflow
        return _filled(np.where(good, usable, 0.0), good), present


def extract_together(
    asked: Sequence[tuple[SensorFeatures, Slice]],
) -> list[StreamFeatures | None]:
    """Features of windows of sensors, of as many readings each: one call for all channels.

    Args:
        asked: Windows with the extractors of their streams.
    """
    usable = [(extractor.usable(part), part) for extractor, part in asked]
    values = [one[0] for one, _ in usable if one is not None]
    if not values:
        return [None] * len(asked)
    limit = float(np.finfo(np.float32).max) / 1e6
    columns = np.clip(_columns(np.concatenate(values, axis=1)), -limit, limit)
    found: list[StreamFeatures | None] = []
    first = 0
    for one, part in usable:
        if one is None or not isinstance(part, SensorSlice):
            found.append(None)
            continue
        present = one[1]
        here = columns[first : first + len(present)]
        first += len(present)
        places = np.where(present[:, None], here, 0.0).astype(np.float32)
        found.append(StreamFeatures(places, present, NO_ITEMS, start_ns=int(part.grid_ns[0])))
    return found


def _filled(values: Array, good: npt.NDArray[np.bool_]) -> Array:
    """Missing cells by linear interpolation within the window, ``(T, C)``."""
    times = np.arange(len(values))
    for channel in np.flatnonzero(~good.all(axis=0) & good.any(axis=0)):
        seen = good[:, channel]
        values[:, channel] = np.interp(times, times[seen], values[seen, channel])
    return values


def _columns(values: Array) -> Array:
    """The nine columns of each channel: ``(T, C)`` to ``(C, 9)``."""
    count = len(values)
    mean = values.mean(axis=0)
    place = np.linspace(-0.5, 0.5, count) if count > 1 else np.zeros(1)
    norm = float((place**2).sum())
    slope = (place[:, None] * (values - mean)).sum(axis=0) / norm if norm else np.zeros_like(mean)
    rest = values - mean - place[:, None] * slope
    rest[np.abs(rest) <= _DUST * np.abs(values).max(axis=0)] = 0.0
    steps = np.abs(np.diff(values, axis=0)).max(axis=0) if count > 1 else np.zeros_like(mean)
    dip, peak = mean - values.min(axis=0), values.max(axis=0) - mean
    head = [mean, dip, peak, slope, rest.std(axis=0), steps]
    return np.stack([*head, *_bands(rest)], axis=1)


def _bands(rest: Array) -> list[Array]:
    """Root mean square of the detrended channel in three parts of its spectrum."""
    count = len(rest)
    power = np.abs(np.fft.rfft(rest, axis=0))[1:] ** 2 * 2 / count**2  # (F, C)
    edges = np.geomspace(1, len(power) + 1, _BANDS + 1).round().astype(int) - 1
    pairs = itertools.pairwise(edges)
    return [np.sqrt(power[low:high].sum(axis=0)) for low, high in pairs]
