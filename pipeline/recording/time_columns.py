"""Which columns of a table say when, and how they write it.

A time on the calendar goes before a count of seconds. A day alone says when only where rows are of
different days; else the column of the clock has to stand beside it. A column that never grows is no
time where another one is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from functools import cached_property
from itertools import pairwise

from pipeline.core.errors import RecordingError
from pipeline.core.timestamps import TIME_NAMES
from pipeline.recording.import_table import Moment, Table, is_moment, number, parse_moment

_LOOKED_AT = 50  # rows that tell how a column is written
_FOLLOWED = 1000  # rows that tell how it goes on
_FORWARD = 0.75  # share of steps that do not go back in what may be times
_PASSES = 0.5  # share of steps to a later time in what says when rows were taken
_DAY = re.compile(r"(?:\d{4}-\d\d-\d\d|\d{8})(?:[T ]00:00(?::00)?)?")  # or its midnight
_CLOCK = re.compile(r"(?P<hour>\d{1,2})(?P<rest>:\d\d(?::\d\d(?:[.,]\d+)?)?)")
_DIGITS = re.compile(r"(?:19|20)\d{6}(?:\d\d){0,3}")


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """Where the rows of a table say when.

    Attributes:
        columns: The column of times, or that of the day and that of the clock.
        sure: Whether it is called so; else it is taken for it by what it holds.
        digits: Whether dates are written as 20240501, with hour, minute and second or without.
        separator: What stands between cells: where it is no comma, decimals may stand behind one.
    """

    columns: tuple[int, ...]
    sure: bool = True
    digits: bool = False
    separator: str = ","

    def read(self, cells: Sequence[str], zone: tzinfo = UTC, near_ns: int | None = None) -> Moment:
        """The time of a row.

        Args:
            cells: The row.
            zone: See `pipeline.core.timestamps.iso_ns`.
            near_ns: Likewise.

        Raises:
            ValueError: It has none that can be read.
            IndexError: It has too few cells.
        """
        text = cells[self.columns[0]]
        if self.digits:
            text = _marked(text)
        elif self.separator != ",":
            text = text.replace(",", ".")
        if len(self.columns) > 1:
            text = f"{text[:10]}T{_clock(cells[self.columns[1]])}"
        return parse_moment(text, zone, near_ns)


def time_column(table: Table) -> TimeColumn:
    """The column of times: by its name, else by what it holds.

    Raises:
        RecordingError: There is none, or one that says only the day of several rows.
    """
    names = [name.lower().strip() for name in table.header]
    named = [_Candidate(table, names.index(name)) for name in TIME_NAMES if name in names]
    called = [one for one in named if one.readable]
    found = called or list(_unnamed(table))
    column = _chosen(table, found) or (called[0].column if called else None)
    if column is not None:
        return replace(column, sure=bool(called) or not table.headed)
    raise RecordingError(
        "no column holds times",
        where=str(table.path),
        fix=f"name one of them {', '.join(TIME_NAMES[:3])}; ISO 8601 or seconds",
    )


class _Candidate:
    """A column that may be the one of times."""

    def __init__(self, table: Table, index: int) -> None:
        self._table = table
        self._index = index
        self._cells = _cells(table, index)
        self.column = TimeColumn(
            (index,), digits=_all(_is_digits, self._cells), separator=table.separator
        )
        self._moments = self._read(_LOOKED_AT)

    @property
    def readable(self) -> bool:
        """Whether most cells are times."""
        return 2 * len(self._moments) > len(self._cells)

    @property
    def calendar(self) -> bool:
        """Whether most are times on the calendar."""
        return 2 * sum(moment.absolute for moment in self._moments) > len(self._cells)

    @property
    def written(self) -> bool:
        """Whether they are so as dates, not as what numbers since 1970 look like."""
        numbers = sum(number(cell, self._table.separator) is not None for cell in self._cells)
        return self.calendar and (self.column.digits or 2 * numbers < len(self._cells))

    @property
    def day(self) -> bool:
        """Whether they tell the day only."""
        return self.calendar and _all(_DAY.fullmatch, self._cells)

    @cached_property
    def _steps(self) -> list[int]:
        times = [moment.ns for moment in self._read(_FOLLOWED)]
        return [later - earlier for earlier, later in pairwise(times)]

    @property
    def grows(self) -> bool:
        """Whether any time is later than the one before; a single one may be."""
        return not self._steps or max(self._steps) > 0

    @property
    def steady(self) -> bool:
        """Whether it never goes back."""
        return min(self._steps, default=0) >= 0

    @property
    def forward(self) -> bool:
        """Whether it hardly ever goes back, as times do and readings do not."""
        return sum(step >= 0 for step in self._steps) >= _FORWARD * len(self._steps)

    @property
    def passes(self) -> bool:
        """Whether most rows are later than the one before, as when they were taken is."""
        return sum(step > 0 for step in self._steps) >= _PASSES * len(self._steps)

    @property
    def day_by_day(self) -> bool:
        """Whether rows are of different days."""
        return self.day and self.passes

    def _read(self, rows: int) -> list[Moment]:
        moments = []
        for _, cells in self._table.rows[:rows]:
            try:
                moments.append(self.column.read(cells))
            except (ValueError, IndexError):
                continue
        return moments


def _unnamed(table: Table) -> Iterator[_Candidate]:
    """What may be the times of a table that calls none so: the first column, and dates."""
    for index in range(len(table.header)):
        one = _Candidate(table, index)
        if not table.headed and one.calendar:
            yield one
        elif index and not (one.written and (one.day or one.passes)):
            continue
        elif one.readable and one.forward and (one.grows or one.day):
            yield one


def _chosen(table: Table, found: Sequence[_Candidate]) -> TimeColumn | None:
    """The likeliest of them; None when none grows."""
    growing = [one for one in found if one.grows and one.forward]
    days = [one for one in found if one.day]
    moments = [one for one in growing if one.calendar and not one.day]
    if moments:
        return moments[0].column
    if days and (clock := _clock_of(table)) is not None:
        return replace(days[0].column, columns=(*days[0].column.columns, clock))
    counted = [one for one in growing if not one.day]
    several = [one for one in days if one in growing and not one.day_by_day]
    if several:  # a count that goes back each day is the time of day
        counted = [one for one in counted if one.steady]
    likely = [*(one for one in days if one in growing and one.day_by_day), *counted]
    if likely:
        return likely[0].column
    if several:
        name = table.header[several[0].column.columns[0]]
        raise RecordingError(
            f"column {name!r} tells only the day, for several rows each",
            where=str(table.path),
            fix="put the time of day beside it, as 13:00:00, or both into a column 'time'",
        )
    return None


def _clock_of(table: Table) -> int | None:
    """The first column of times of day."""
    every = range(len(table.header))
    return next((i for i in every if _all(_CLOCK.fullmatch, _cells(table, i))), None)


def _cells(table: Table, index: int) -> list[str]:
    return [cells[index] for _, cells in table.rows[:_LOOKED_AT] if index < len(cells)]


def _all(test: Callable[[str], object], cells: Sequence[str]) -> bool:
    """Whether all cells are so that are not empty, and there is one."""
    return any(cells) and all(test(cell) for cell in cells if cell)


def _is_digits(cell: str) -> bool:
    return _DIGITS.fullmatch(cell) is not None and is_moment(_marked(cell))


def _marked(cell: str) -> str:
    """A date in digits as ISO 8601."""
    clock = f"T{cell[8:]}" if cell[8:] else ""
    return f"{cell[:4]}-{cell[4:6]}-{cell[6:8]}{clock}"


def _clock(cell: str) -> str:
    """A time of day as ISO 8601.

    Raises:
        ValueError: It is none.
    """
    match = _CLOCK.fullmatch(cell)
    if match is None:
        raise ValueError(f"{cell!r} is not a time of day")
    return f"{int(match['hour']):02d}{match['rest'].replace(',', '.')}"
