"""Reading the tables that an import takes: separator and header found, times understood."""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path

from pipeline.core.errors import RecordingError
from pipeline.core.timestamps import iso_ns
from pipeline.recording.import_report import check_file

_SEPARATORS = (",", ";", "\t", "|")
_EPOCH_UNITS_NS = (  # numbers from here on count from 1970, in this unit
    (Decimal("1e17"), 1),
    (Decimal("1e14"), 1_000),
    (Decimal("1e11"), 1_000_000),
    (Decimal("1e8"), 1_000_000_000),
)
_LOOKED_AT = 50  # rows that tell the separator
_BEYOND_NS = 2**63  # what 64 bits hold, signed


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as it was written.

    Attributes:
        ns: Since 1970, or since a start that is to be given.
        absolute: Whether since 1970.
        local: Whether it is a time on the calendar that names no zone.
    """

    ns: int
    absolute: bool
    local: bool = False

    def at(self, start_ns: int) -> int:
        """Site time, when counting began at `start_ns`."""
        return self.ns if self.absolute else start_ns + self.ns


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Attributes:
        path: The file.
        header: Column names; made up when the file has none.
        rows: Line number and cells of each row that is not empty.
        separator: What stands between cells.
        headed: Whether the file names its columns itself.
    """

    path: Path
    header: tuple[str, ...]
    rows: Sequence[tuple[int, list[str]]]
    separator: str
    headed: bool = True


def parse_moment(text: str, zone: tzinfo = UTC, near_ns: int | None = None) -> Moment:
    """ISO 8601; a number of seconds; or seconds, ms, us or ns since 1970 by its size.

    Args:
        text: The time.
        zone: See `iso_ns`.
        near_ns: See `iso_ns`.

    Raises:
        ValueError: It is none of these.
    """
    text = text.strip()
    try:
        value = Decimal(text)
    except InvalidOperation:
        local = datetime.fromisoformat(text).tzinfo is None
        return _moment(text, iso_ns(text, zone, near_ns), absolute=True, local=local)
    if not value.is_finite() or not -_BEYOND_NS < value < _BEYOND_NS:
        raise ValueError(f"{text!r} is not a time")
    for least, unit_ns in _EPOCH_UNITS_NS:
        if value >= least:
            return _moment(text, int(value * unit_ns), absolute=True)
    return _moment(text, int(value * 1_000_000_000), absolute=False)


def _moment(text: str, ns: int, absolute: bool, local: bool = False) -> Moment:
    if not -_BEYOND_NS <= ns < _BEYOND_NS:
        raise ValueError(f"{text!r} is too far off")
    return Moment(ns, absolute, local)


def is_moment(text: str) -> bool:
    """Whether `parse_moment` can read it."""
    try:
        parse_moment(text)
    except ValueError:
        return False
    return True


def number(text: str, separator: str) -> float | None:
    """The number in a cell, None when it is none; ``1,5`` is one unless commas separate."""
    try:
        return float(text)
    except ValueError:
        if separator == "," or "," not in text:
            return None
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def read_table(path: Path) -> Table:
    """Read a file of separated values.

    Raises:
        SourceUnavailable: There is no such file.
        RecordingError: It is empty or not a table.
    """
    check_file(path)
    try:
        text = _decoded(path.read_bytes())
    except OSError as error:
        raise RecordingError(f"cannot read: {error.strerror}", where=str(path)) from error
    separator = max(_SEPARATORS, key=lambda one: _fitness(text, one))
    rows = list(_rows(path, text, separator))
    if not rows:
        raise RecordingError("the file is empty", where=str(path))
    header = _header(rows, separator)
    if header is None:
        header = tuple(f"column{i}" for i in range(len(rows[0][1])))
        return Table(path, header, rows, separator, headed=False)
    return Table(path, header, [_trimmed(row, len(header)) for row in rows[1:]], separator)


def _decoded(data: bytes) -> str:
    """The text of a file: UTF-8, and lines that are not as Excel on Windows writes them."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        lines = data.removeprefix(BOM_UTF8).splitlines(keepends=True)
        return "".join(map(_line, lines))


def _line(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _fitness(text: str, separator: str) -> tuple[float, float, int]:
    """How well a separator does: cells that can be read, rows of the same width, how many it makes.

    In ``0,5;20,1`` both make as many cells in each row, and one makes numbers.
    """
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        rows = list(islice((row for row in reader if any(map(str.strip, row))), _LOOKED_AT))
    except csv.Error:
        return 0.0, 0.0, 0
    ((width, alike),) = Counter(map(len, rows)).most_common(1) or ((0, 0),)
    if width < 2 or len(rows[0]) < 2:
        return 0.0, 0.0, 0
    cells = [cell.strip() for row in rows for cell in row if cell.strip()]
    read = sum(number(cell, separator) is not None or is_moment(cell) for cell in cells)
    return read / len(cells), alike / len(rows), len(rows[0])


def _rows(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise RecordingError(
            f"not a table of separated values: {error}", where=f"{path}:{reader.line_num}"
        ) from error


def _header(rows: Sequence[tuple[int, list[str]]], separator: str) -> tuple[str, ...] | None:
    """Column names from the first row; None when that row is data already."""
    names = rows[0][1]
    if any(number(name, separator) is not None or is_moment(name) for name in names if name):
        return None
    if len(rows) > 1 and len(rows[1][1]) == len(names) + 1 and _filled(rows, len(names)):
        names = ["row", *names]  # written by R: row names have no heading
    return tuple(name or f"column{i}" for i, name in enumerate(names))


def _filled(rows: Sequence[tuple[int, list[str]]], width: int) -> bool:
    """Whether any cell beyond a width says something; else each row ends in a separator."""
    return any(any(cells[width:]) for _, cells in rows)


def _trimmed(row: tuple[int, list[str]], width: int) -> tuple[int, list[str]]:
    """A row without what a separator at its end makes."""
    line, cells = row
    return (line, cells) if any(cells[width:]) else (line, cells[:width])
