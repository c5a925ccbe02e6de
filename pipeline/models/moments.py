"""From how alike windows are to moments: neighbours belong together, the best one speaks.

The likest window is the first moment. Its neighbours on both sides belong to it as long as they
stand out from the usual by most of what it does; what overlaps with it is taken out; then the
likest of what is left is the next (greedy non-maximum suppression, as in the detection of
objects: Felzenszwalb et al. 2010, section 7.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_OF_PEAK = 0.75  # of what the likest window stands out by
_MOST_FOR_USUAL = 100_000  # windows that the usual likeness is taken from


@dataclass(frozen=True, slots=True)
class Found:
    """A moment.

    Attributes:
        row: Its likest window.
        likeness: How alike that is.
        start_ns: Start of its first window.
        end_ns: End of its last.
    """

    row: int
    likeness: float
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Length and step of windows, nanoseconds."""

    length_ns: int
    hop_ns: int


def likest(
    likeness: Floats,
    starts_ns: Ints,
    grid: Grid,
    top: int,
    *,
    itself: int | None = None,
    without: tuple[int, int] | None = None,
) -> list[Found]:
    """The moments most alike, the likest first.

    Args:
        likeness: How alike each window is, ``(n,)``; exactly 0 says that it has nothing in
            common with what is looked for, and it is left out.
        starts_ns: Start of each window, ``(n,)``, in any order.
        grid: Length and step of the windows.
        top: Most moments.
        itself: Row of the window that the others are to be like; its moment is left out.
        without: A span of time; windows that overlap with it are left out.
    """
    order = np.argsort(starts_ns, kind="stable")
    search = _Search(likeness[order], starts_ns[order], grid)
    if itself is not None:
        search.leave_out(*search.span(int(np.flatnonzero(order == itself)[0])))
    if without is not None:
        search.leave_out(*without)
    found = zip(range(top), search.moments(), strict=False)
    return [Found(int(order[f.row]), f.likeness, f.start_ns, f.end_ns) for _, f in found]


class _Search:
    """Windows in the order of time, of which ever fewer are left."""

    def __init__(self, likeness: Floats, starts_ns: Ints, grid: Grid) -> None:
        self._left = np.where(likeness == 0, -np.inf, likeness).astype(np.float32)
        self._starts, self._grid = starts_ns, grid
        step = max(1, len(likeness) // _MOST_FOR_USUAL)
        self._usual = float(np.median(likeness[::step])) if len(likeness) else 0.0

    def leave_out(self, from_ns: int, to_ns: int) -> None:
        """Take out the windows that overlap with ``[from_ns, to_ns)``."""
        first = np.searchsorted(self._starts, from_ns - self._grid.length_ns, side="right")
        last = np.searchsorted(self._starts, to_ns, side="left")
        self._left[first:last] = -np.inf

    def moments(self) -> Iterator[Found]:
        """Moment after moment, each taken out once it was given."""
        while len(self._left):
            row = int(self._left.argmax())
            peak = float(self._left[row])
            if peak == -np.inf:
                return
            start_ns, end_ns = self.span(row)
            yield Found(row, peak, start_ns, end_ns)
            self.leave_out(start_ns, end_ns)

    def span(self, row: int) -> tuple[int, int]:
        """Start and end of the moment that a window is the likest of."""
        peak = float(self._left[row])
        least = self._usual + _OF_PEAK * abs(peak - self._usual)
        first, last = self._run(row, -1, least), self._run(row, 1, least)
        return int(self._starts[first]), int(self._starts[last]) + self._grid.length_ns

    def _run(self, row: int, step: int, least: float) -> int:
        """The last row, from this one on, that is alike enough, without a gap in time."""
        while 0 <= row + step < len(self._left) and self._left[row + step] >= least:
            if abs(int(self._starts[row + step] - self._starts[row])) > self._grid.hop_ns:
                break
            row += step
        return row
