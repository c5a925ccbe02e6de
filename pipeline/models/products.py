"""Products of rows with a matrix, each as if it were the only one.

A library multiplies one row by other steps than it does many, and the last bits differ. What a
window is told must not depend on which windows are scored in the same call: live they come one
by one, in a replay or after an outage many at once, and both are to give the same events.
"""

from __future__ import annotations

from torch import Tensor, cat, split


def row_by_row(rows: Tensor, matrix: Tensor) -> Tensor:
    """``rows @ matrix``, ``(B, K)`` with ``(K, N)`` to ``(B, N)``.

    On the processor each row is the same to the bit as alone. On a GPU, where the last bits are
    not promised, it is one product.
    """
    if len(rows) == 1 or rows.is_cuda:
        return rows @ matrix
    # A row of its own memory begins where memory is aligned, as it does when it is alone.
    return cat([row.clone() @ matrix for row in split(rows, 1)])
