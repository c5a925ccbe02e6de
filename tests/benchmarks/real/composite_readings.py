"""What the sensors of the real composite read: a room's climate, and a machine beside it.

Climate follows the label that the script gives it: rows of a session with that label, in their
order and sped up, and no jump where one session goes over into another. The machine's rows are
those of it at work while it runs, or of a fault, and stand still when it is off.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tests.benchmarks.real.composite_cause import Activity, Script, Span, running
from tests.benchmarks.real.composite_material import Floats, Material
from tests.benchmarks.synthetic_sites import RATE_HZ

CODES = {Activity.READ: 1, Activity.TALK: 2, Activity.MACHINE: 3, Activity.TYPE: 4}
"""What an activity is called in `Session.activity`."""

ROWS_A_SECOND = 4.0  # of a climate session: eight times as fast as it was
_SETTLE_S = 3.0  # from one session to another
_REST = 0.02  # noise of the machine at rest, share of what it has at work


def readings(script: Script, material: Material, seed: int) -> Floats:
    """All readings ``(n, C)``: the climate's channels, then the machine's."""
    random = np.random.default_rng([seed, 3])
    climate = _climate(script, material, random)
    return np.concatenate([climate, _machine(script, material, random)], axis=1)


def _climate(script: Script, material: Material, random: np.random.Generator) -> Floats:
    count = round(script.length_s * RATE_HZ)
    found = np.zeros((count, material.climate[0].rows.shape[1]))
    last: Floats | None = None
    for low, high, code in _stretches(script, count):
        rows = _rows(material, code, (high - low) / RATE_HZ, high - low, random)
        if last is not None:
            fade = np.exp(-np.arange(high - low) / (_SETTLE_S * RATE_HZ))
            rows = rows + fade[:, None] * (last - rows[0])
        found[low:high], last = rows, rows[-1]
    return found


def _stretches(script: Script, count: int) -> list[tuple[int, int, int]]:
    """First and last moment of every stretch, and the label that the climate has in it."""
    codes = np.zeros(count, np.int64)
    for visit in script.sensed:
        low, high = (max(0, round(at * RATE_HZ)) for at in (visit.start_s, visit.end_s))
        codes[low:high] = CODES[visit.activity]
    edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), count]
    return [(low, high, int(codes[low])) for low, high in pairwise(edges) if low < high]


def _rows(
    material: Material, code: int, length_s: float, count: int, random: np.random.Generator
) -> Floats:
    """Rows in a row with a label, from any session that has enough of them."""
    need = int(np.ceil(length_s * ROWS_A_SECOND)) + 1
    runs = [
        (session, low, high)
        for session in material.climate
        for low, high in _runs(session.activity == code)
        if high - low > min(need, 60)
    ]
    session, low, high = runs[int(random.integers(len(runs)))]
    first = low + int(random.integers(max(1, high - low - need)))
    at = np.minimum(first + np.arange(count) * (ROWS_A_SECOND / RATE_HZ), high - 1)
    return _between(session.rows, at)


def _runs(chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    return [(int(low), int(high)) for low, high in edges.reshape(-1, 2)]


def _between(rows: Floats, at: Floats) -> Floats:
    """Rows at broken positions, on a line from one to the next."""
    numbers = np.arange(len(rows))
    found: Floats = np.array([np.interp(at, numbers, column) for column in rows.T]).T
    return found


def _machine(script: Script, material: Material, random: np.random.Generator) -> Floats:
    count = round(script.length_s * RATE_HZ)
    found: Floats = material.resting + random.normal(0, 1, (count, len(material.resting))) * (
        _REST * material.running.std(axis=0)
    )
    for visit in script.sensed:
        span = running(visit)
        if span is not None:
            _put(found, span, material.running)
    for fault in script.faults:
        _put(found, fault, material.broken)
    return found


def _put(found: Floats, span: Span, rows: Floats) -> None:
    """Rows of a second each, from anywhere among `rows`, into a span."""
    low, high = (max(0, round(at * RATE_HZ)) for at in (span.start_s, span.end_s))
    high = min(high, len(found))
    room = max(1, len(rows) - int((high - low) / RATE_HZ) - 2)
    at = span.number % room + np.arange(max(0, high - low)) / RATE_HZ
    found[low:high] = _between(rows, np.minimum(at, len(rows) - 1.0))
