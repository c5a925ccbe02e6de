"""What a column of a table says of its rows, as labels: in which of them something was wrong.

And what the name of a folder says of the clips in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from pipeline.recording.import_table import Moment, number

_NORMAL = "normal"  # as labels say that somebody looked and nothing was wrong
_NOTHING = frozenset({"", "normal", "ok", "good", "no", "none", "false", "nan"})
_SOMETHING = frozenset({"true", "yes"})
_GAP = 2.0  # usual steps; a row says no more than that of what follows


def kind_of_folder(name: str) -> str:
    """What a folder says of what is in it: ``normal`` where its name says that nothing is wrong."""
    return _NORMAL if name.lower() in _NOTHING and name else name


@dataclass(frozen=True, slots=True)
class Mark:
    """Rows in a row that say the same.

    Attributes:
        start: Time of the first.
        end: Of the one that follows the last, if that is not far.
        kind: What they say.
    """

    start: Moment
    end: Moment
    kind: str


def marks_of(
    moments: Sequence[Moment], cells: Sequence[str], column: str, separator: str
) -> Iterator[Mark]:
    """The rows of a table that something is wrong in.

    Args:
        moments: Time of each row.
        cells: What its label says: a number that is not 0, yes, or a word for what is wrong;
            none: the table has no such column.
        column: Name of the column: of what numbers and a yes mark.
        separator: What stands between cells.
    """
    kinds = [_kind(cell, column, separator) for cell in cells]
    return marks_in_a_row(moments, kinds, _GAP) if kinds else iter(())


def marks_in_a_row(
    moments: Sequence[Moment], kinds: Sequence[str], holds: float, far: float = math.inf
) -> Iterator[Mark]:
    """What stands in a row and is of the same kind; what is of none is left out.

    Args:
        moments: When each was, growing.
        kinds: Of each; empty: none.
        holds: For how many usual steps the last of a row says something, if nothing follows.
        far: Usual steps beyond which one is not in a row with the next.
    """
    times = np.array([moment.ns for moment in moments], np.int64)
    steps = np.diff(times)
    usual_ns = float(np.median(steps)) if len(steps) else 0.0
    row = np.concatenate([[0], np.cumsum(steps > far * usual_ns)])
    at = 0
    for (kind, _), same in groupby(zip(kinds, row, strict=True)):
        first, at = at, at + len(list(same))
        if not kind:
            continue
        end_ns = int(times[at - 1]) + round(holds * usual_ns)
        if at < len(times):
            end_ns = min(end_ns, int(times[at]))
        yield Mark(moments[first], Moment(end_ns, moments[first].absolute), kind)


def _kind(cell: str, column: str, separator: str) -> str:
    """What a cell says is wrong; empty: nothing."""
    value = number(cell, separator)
    if value is not None and not np.isnan(value):
        return column if value else ""
    word = cell.strip().lower()
    if word in _NOTHING:
        return ""
    return column if word in _SOMETHING else cell.strip()
