"""Times files: one row per frame or block of sound, saying when it happened.

Columns ``index, seconds, present`` by name or in this order; ``present`` may be missing. The
index counts frames or blocks from 0 as they stand in the media file. Rows with ``present`` 0
were lost where they were recorded: what the media file holds in their place is left out. A
media file that holds only what is present (fewer frames than rows) is matched row by row.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from itertools import pairwise
from pathlib import Path

from pipeline.core.errors import RecordingError
from pipeline.recording.import_table import Moment, Table, number, parse_moment, read_table

_INDEX = ("index", "frame", "block", "i", "n", "number")
_SECONDS = ("seconds", "time", "timestamp", "t", "s", "time_s", "datetime")
_PRESENT = ("present", "ok", "valid", "available")
_NO = ("0", "false", "no", "n", "")


@dataclass(frozen=True, slots=True)
class TimeRow:
    """One row: the frame or block, when it happened, whether it is there."""

    index: int
    moment: Moment | None
    present: bool


@dataclass(frozen=True, slots=True)
class TimesFile:
    """The rows of a times file, by growing index."""

    path: Path
    rows: tuple[TimeRow, ...]

    @property
    def present(self) -> tuple[TimeRow, ...]:
        """Rows of what is there."""
        return tuple(row for row in self.rows if row.present and row.moment is not None)

    @property
    def count(self) -> int:
        """Frames or blocks there would be without loss."""
        return self.rows[-1].index + 1 if self.rows else 0

    @property
    def period_ns(self) -> float | None:
        """Usual time from one frame or block to the next; None when there is none."""
        rows = self.present
        steps = [
            (b.moment.ns - a.moment.ns) / (b.index - a.index)
            for a, b in pairwise(rows)
            if a.moment and b.moment
        ]
        return statistics.median(steps) if steps else None

    def first_ns(self) -> int | None:
        """Earliest time when the file has times on the calendar; else None."""
        absolute = [r.moment.ns for r in self.present if r.moment and r.moment.absolute]
        return min(absolute, default=None)

    def by_position(self, held: int | None) -> dict[int, TimeRow]:
        """Rows of what is there, by position in a media file that holds `held` of them."""
        rows = self.present
        if held is not None and held == len(rows) and held < self.count:
            return dict(enumerate(rows))
        return {row.index: row for row in rows}


def read_times(path: Path, zone: tzinfo = UTC) -> TimesFile:
    """Read a times file.

    Args:
        path: The file.
        zone: That of times which name none.

    Raises:
        SourceUnavailable: There is no such file.
        RecordingError: A row cannot be understood, or none says that anything is there.
    """
    table = read_table(path)
    columns = _columns(table)
    rows: list[TimeRow] = []
    near_ns: int | None = None
    for line, cells in table.rows:
        row = _row(table, columns, line, cells, zone, near_ns)
        near_ns = near_ns if row.moment is None else row.moment.ns
        rows.append(row)
    rows.sort(key=lambda row: row.index)
    for first, second in pairwise(rows):
        if first.index == second.index:
            raise RecordingError(f"index {first.index} stands there twice", where=str(path))
    times = TimesFile(path, tuple(rows))
    if not times.present:
        raise RecordingError("no row says that anything is there", where=str(path))
    return times


def _columns(table: Table) -> tuple[int, int, int | None]:
    names = [name.lower() for name in table.header]

    def find(wanted: Sequence[str], default: int) -> int | None:
        named = next((i for i, name in enumerate(names) if name in wanted), None)
        return named if named is not None else default if default < len(names) else None

    index, seconds = find(_INDEX, 0), find(_SECONDS, 1)
    if index is None or seconds is None or index == seconds:
        raise RecordingError(
            "a times file has the columns index, seconds and present",
            where=str(table.path),
            fix=f"found: {', '.join(table.header)}",
        )
    present = find(_PRESENT, 2)
    return index, seconds, present if present not in (index, seconds) else None


def _row(
    table: Table,
    columns: tuple[int, int, int | None],
    line: int,
    cells: Sequence[str],
    zone: tzinfo,
    near_ns: int | None,
) -> TimeRow:
    index, seconds, present = columns
    there = present is None or (len(cells) > present and _is_true(cells[present]))
    try:
        position = number(cells[index], table.separator)
        if position is None or position != int(position) or position < 0:
            raise ValueError(f"{cells[index]!r} is not an index")
        written = cells[seconds].replace(",", ".") if there else ""
        moment = parse_moment(written, zone, near_ns) if there else None
    except (ValueError, IndexError, OverflowError) as error:
        raise RecordingError(
            f"cannot read the row: {error}",
            where=f"{table.path}:{line}",
            fix="write index, seconds, present",
        ) from error
    return TimeRow(int(position), moment, there)


def _is_true(cell: str) -> bool:
    try:
        return float(cell) != 0
    except ValueError:
        return cell.lower() not in _NO
