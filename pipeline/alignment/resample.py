"""Putting values on a regular grid: sensor interpolation and fractional delay of sound.

Nothing is invented: a cell without readings near enough is NaN and marked absent, and a
reading that lies exactly on a grid point comes through exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pipeline.alignment.settings import Interpolation

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

TAPS = 16
_PHASES = 4096


@dataclass(frozen=True, slots=True)
class Cells:
    """Readings on a grid.

    Attributes:
        values: ``(T, C)``, NaN where absent.
        present: ``(T, C)``.
        used: Which readings contributed, ``(R,)``.
    """

    values: Floats
    present: Bools
    used: Bools


@dataclass(frozen=True, slots=True)
class Plan:
    """How the channels of a sensor reach the grid.

    Attributes:
        columns: Channels of each mode in use.
        max_gap_ns: Longest bridge from reading to reading, or from reading to cell.
        half_ns: Half a grid period, the reach of mode ``none``.
    """

    columns: tuple[tuple[Interpolation, Ints], ...]
    max_gap_ns: int
    half_ns: int


def plan(modes: Sequence[Interpolation], max_gap_ns: int, half_ns: int) -> Plan:
    """The plan for channels of these modes, ``(C,)``."""
    columns = tuple(
        (mode, np.array([c for c, m in enumerate(modes) if m == mode], dtype=np.int64))
        for mode in dict.fromkeys(modes)
    )
    return Plan(columns, max_gap_ns, half_ns)


def onto_grid(stamps: Ints, readings: Floats, grid: Ints, how: Plan) -> Cells:
    """Put readings on a grid.

    A cell that is not finite counts as not read: its neighbours in time serve instead. Of
    readings with the same stamp the first counts.

    Args:
        stamps: Times of the readings, ascending, ``(R,)`` ns.
        readings: ``(R, C)``.
        grid: Times of the grid points, ``(T,)`` ns.
        how: Interpolation of each channel.
    """
    read = np.isfinite(readings)
    linear = len(how.columns) == 1 and how.columns[0][0] == "linear"
    if linear and len(stamps) and read.all() and (stamps[1:] != stamps[:-1]).all():
        return _all_linear(stamps, readings, grid, how.max_gap_ns)
    values = np.full((len(grid), readings.shape[1]), np.nan)
    used = np.zeros(len(stamps), dtype=np.bool_)
    for rows, columns, mode in _groups(stamps, read, how):
        if len(rows):
            reach = how.half_ns if mode == "none" else how.max_gap_ns
            _MODES[mode](values, used, rows, columns, stamps[rows], readings, grid, reach)
    return Cells(values, ~np.isnan(values), used)


def _all_linear(stamps: Ints, readings: Floats, grid: Ints, reach_ns: int) -> Cells:
    """The common case at once: every channel linear, every cell read, no stamp twice."""
    after = stamps.searchsorted(grid)
    right = np.minimum(after, len(stamps) - 1)
    left = np.maximum(after - 1, 0)
    later, earlier = stamps[right], stamps[left]
    exact = later == grid
    bridge = later - earlier
    between = (after > 0) & (after < len(stamps)) & (bridge <= reach_ns) & ~exact
    part = (grid - earlier) / np.maximum(bridge, 1)
    part[exact] = 1.0
    values = readings[left] * (1.0 - part)[:, None]
    values += readings[right] * part[:, None]
    present = between | exact
    values[~present] = np.nan
    used = np.zeros(len(stamps), dtype=np.bool_)
    used[right[present]] = True
    used[left[between]] = True
    return Cells(values, np.broadcast_to(present[:, None], values.shape).copy(), used)


def _groups(stamps: Ints, read: Bools, how: Plan) -> list[tuple[Ints, Ints, Interpolation]]:
    """Channels that share the rows they were read in and their mode, as (rows, columns, mode)."""
    every = _distinct(stamps, np.arange(len(stamps)))
    if read.all():
        return [(every, columns, mode) for mode, columns in how.columns]
    groups: list[tuple[Ints, Ints, Interpolation]] = []
    whole = np.asarray(read.all(axis=0))
    for mode, columns in how.columns:
        complete = columns[whole[columns]]
        if len(complete):
            groups.append((every, complete, mode))
        for column in columns[~whole[columns]]:
            rows = _distinct(stamps, np.flatnonzero(read[:, column]))
            groups.append((rows, np.array([column]), mode))
    return groups


def _distinct(stamps: Ints, rows: Ints) -> Ints:
    """`rows` without those whose stamp the row before has."""
    if len(rows) < 2:
        return rows
    fresh = np.diff(stamps[rows]) > 0
    return rows if fresh.all() else rows[np.concatenate(([True], fresh))]


def _linear(
    values: Floats,
    used: Bools,
    rows: Ints,
    columns: Ints,
    times: Ints,
    readings: Floats,
    grid: Ints,
    reach_ns: int,
) -> None:
    after = np.searchsorted(times, grid, side="left")
    right = np.minimum(after, len(times) - 1)
    exact = times[right] == grid
    left = np.maximum(after - 1, 0)
    bridge = times[right] - times[left]
    between = ~exact & (after > 0) & (after < len(times)) & (bridge <= reach_ns)
    points = np.flatnonzero(exact)
    values[points[:, None], columns] = readings[rows[right[points]]][:, columns]
    used[rows[right[points]]] = True
    points = np.flatnonzero(between)
    if len(points):
        low, high = rows[left[points]], rows[right[points]]
        part = ((grid[points] - times[left[points]]) / bridge[points])[:, None]
        start, stop = readings[low][:, columns], readings[high][:, columns]
        values[points[:, None], columns] = start * (1.0 - part) + stop * part
        used[low] = True
        used[high] = True


def _previous(
    values: Floats,
    used: Bools,
    rows: Ints,
    columns: Ints,
    times: Ints,
    readings: Floats,
    grid: Ints,
    reach_ns: int,
) -> None:
    left = np.searchsorted(times, grid, side="right") - 1
    points = np.flatnonzero((left >= 0) & (grid - times[np.maximum(left, 0)] <= reach_ns))
    chosen = rows[left[points]]
    values[points[:, None], columns] = readings[chosen][:, columns]
    used[chosen] = True


def _nearest(
    values: Floats,
    used: Bools,
    rows: Ints,
    columns: Ints,
    times: Ints,
    readings: Floats,
    grid: Ints,
    reach_ns: int,
) -> None:
    after = np.searchsorted(times, grid, side="left")
    right = np.minimum(after, len(times) - 1)
    left = np.maximum(after - 1, 0)
    to_left, to_right = np.abs(grid - times[left]), np.abs(times[right] - grid)
    near = np.where(to_left <= to_right, left, right)
    points = np.flatnonzero(np.minimum(to_left, to_right) <= reach_ns)
    chosen = rows[near[points]]
    values[points[:, None], columns] = readings[chosen][:, columns]
    used[chosen] = True


_MODES = {"linear": _linear, "previous": _previous, "none": _nearest}


@lru_cache(maxsize=1)
def _kernel() -> npt.NDArray[np.float32]:
    """Hann-windowed sinc for each of 4096 fractions of a sample, ``(4096, TAPS)``.

    Rows are scaled to a sum of one, so that a constant stays a constant.
    """
    fraction = np.arange(_PHASES)[:, None] / _PHASES
    distance = np.arange(TAPS)[None, :] - (TAPS // 2 - 1) - fraction
    weights = np.sinc(distance) * (0.5 + 0.5 * np.cos(2 * np.pi * distance / TAPS))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)


def stretch(
    sound: npt.NDArray[np.float32], heard: Bools, count: int
) -> tuple[npt.NDArray[np.float32], Bools]:
    """Stretch sound to `count` samples; the first stays where it is.

    Args:
        sound: ``(N, channels)``.
        heard: Which of them were heard, ``(N,)``.
        count: Samples wanted; near N.

    Returns:
        Samples ``(count, channels)`` and which of them rest on heard ones, ``(count,)``.
    """
    place = np.arange(count) * (len(sound) / count)
    floor = place.astype(np.int64)
    phase = np.rint((place - floor) * _PHASES).astype(np.int64)
    floor += phase == _PHASES
    phase %= _PHASES
    taps = floor[:, None] + np.arange(TAPS) - (TAPS // 2 - 1)
    np.clip(taps, 0, len(sound) - 1, out=taps)
    ceil = np.minimum(floor + (phase > 0), len(sound) - 1)
    floor = np.minimum(floor, len(sound) - 1)
    present = heard[floor] & heard[ceil]
    out: npt.NDArray[np.float32] = np.einsum("nt,ntc->nc", _kernel()[phase], sound[taps])
    if not heard.all():
        rough = ~heard[taps].all(axis=1)  # a hole within reach of the filter would ring
        part = (place - floor)[rough, None].astype(np.float32)
        out[rough] = sound[floor[rough]] * (1 - part) + sound[ceil[rough]] * part
        out[~present] = 0.0
    return out, present
