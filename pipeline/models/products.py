"""Products of rows with a matrix, each as if it were the only one.

A library multiplies one row by other steps than it does many, and the last bits differ. What a
window is told must not depend on which windows are scored in the same call: live they come one
by one, in a replay or after an outage many at once, and both are to give the same events.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, cat, split

MOST_IN_A_ROW = 32
"""Windows of a scene that are scored in one call; more cost no less each."""


def each_alone(rows: Tensor) -> bool:
    """Whether rows ``(B, ...)`` are to be multiplied one by one.

    Not those on a GPU, where the last bits are not promised, and not more than are ever scored in
    one call: these are learnt from, where nothing depends on the last bits.
    """
    return 1 < len(rows) <= MOST_IN_A_ROW and not rows.is_cuda


def one_by_one(rows: Tensor, work: Callable[[Tensor], Tensor], dim: int = 0) -> Tensor:
    """What `work` makes of rows ``(B, ...)``, put together along `dim`; see `each_alone`."""
    if not each_alone(rows):
        return work(rows)
    # A row of its own memory begins where memory is aligned, as it does when it is alone.
    return cat([work(row.clone()) for row in split(rows, 1)], dim=dim)


def row_by_row(rows: Tensor, matrix: Tensor) -> Tensor:
    """``rows @ matrix``, ``(B, K)`` with ``(K, N)`` to ``(B, N)``; see `each_alone`."""
    return one_by_one(rows, lambda row: row @ matrix)
