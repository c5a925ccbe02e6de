"""Sensor tables into samples: one row a reading, every column of numbers a channel.

Cells that are empty, hold text or an infinity become NaN and are counted. Rows whose time
cannot be read, or lies behind the row before, are left out and counted.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import RecordingError
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording.import_marks import marks_in_a_row, marks_of
from pipeline.recording.import_report import InputReport
from pipeline.recording.import_table import Moment, Table, number, read_table
from pipeline.recording.time_columns import time_column

LABEL_NAMES = frozenset({"anomaly", "changepoint", "label", "is_anomaly", "target", "class"})
ROW_NAMES = frozenset({"row", "index", "id", "no", "nr", "#", "unnamed: 0"})
_LEAST_COUNTED = 5  # fewer rows may go up by one by chance
_HOLDS = 1.0  # usual steps for which the last row of a table is what its folder says
_REGULAR = 0.9  # share of steps near the median that makes a rate


class SensorInput:
    """One table of readings.

    Args:
        stream: Name of the stream it becomes.
        path: The file.
        exclude: Columns that are not channels, by name.
        zone: That of times which name none.
        label: Column that says in which rows something was wrong; None: none.
        kind: What the folder that it lies in says of it; empty: nothing.

    Attributes:
        report: What was found and left out.
        marks: What the column of labels says, and of a table on the calendar its folder: others
            are clips, each labelled as a whole.
        guess: What is taken for the time by its place alone, in words; empty when it is named.
        info: The stream.

    Raises:
        SourceUnavailable: There is no such file.
        RecordingError: It has no column of times, or none of numbers.
    """

    def __init__(
        self,
        stream: str,
        path: Path,
        exclude: Sequence[str] = (),
        zone: tzinfo = UTC,
        label: str | None = None,
        kind: str = "",
    ) -> None:
        self.report = InputReport(stream, "sensors", str(path))
        self._zone = zone
        table = read_table(path)
        self._time = time_column(table)
        name = table.header[self._time.columns[0]]
        self.guess = "" if self._time.sure else f"column {name!r} is taken for the time"
        if self.guess:
            self.report.note(f"{self.guess}; call it 'time' if it is")
        self._columns = self._channels(table, [*exclude, *([label] if label else [])])
        self._label = table.header.index(label) if label in table.header else None
        self._moments, self._values, said = self._read(table)
        if len(self._moments) > 1 and not self.duration_ns:
            self.report.note(f"all rows are of one time by column {name!r}; is it the time?")
        marks = marks_of(self._moments, said, label or "", table.separator)
        whole = bool(kind) and self._label is None and self.first_ns is not None
        kinds = [kind] * len(self._moments) if whole else []
        self.marks = marks_in_a_row(self._moments, kinds, _HOLDS) if kinds else marks
        names = tuple(table.header[i] for i in self._columns)
        self.info = StreamInfo(
            name=stream,
            modality=Modality.SENSOR,
            rate_hz=_rate_hz(self._moments),
            shape=(len(names),),
            dtype="float64",
            channels=names,
            stamp="exact",
        )

    @property
    def local(self) -> bool:
        """Whether its times name no zone."""
        return bool(self._moments) and self._moments[0].local

    @property
    def first_ns(self) -> int | None:
        """Time of the first row when the table has times on the calendar; else None."""
        first = self._moments[0] if self._moments else None
        return first.ns if first and first.absolute else None

    @property
    def duration_ns(self) -> int:
        """From the first row to the last."""
        return self._moments[-1].ns - self._moments[0].ns if self._moments else 0

    @property
    def last_ns(self) -> int:
        """Time of the last row, from where its times are counted."""
        return self._moments[-1].ns if self._moments else 0

    def samples(self, start_ns: int) -> Iterator[tuple[int, Sample]]:
        """Arrival and sample of each row."""
        name = self.info.name
        for row, moment in enumerate(self._moments):
            time_ns = moment.at(start_ns)
            self.report.took(time_ns)
            yield time_ns, Sample(name, row, time_ns, self._values[row], Encoding.FLOAT)

    def _channels(self, table: Table, exclude: Sequence[str]) -> list[int]:
        unknown = set(exclude) - set(table.header)
        if unknown and len(table.header) > 0:
            self.report.note(f"no column {', '.join(sorted(unknown))} to leave out")
        columns = []
        for i, name in enumerate(table.header):
            if i in self._time.columns or name in exclude:
                continue
            cells = [cells[i] for _, cells in table.rows if i < len(cells)]
            values = [number(cell, table.separator) for cell in cells]
            if all(value is None for value in values):
                self.report.note(f"column {name!r} holds no numbers and is left out")
            elif name.lower() in ROW_NAMES | {f"column{i}"} and _counts(values):
                self.report.note(f"column {name!r} counts the rows and is left out")
            else:
                columns.append(i)
                self._warn_of(name, values)
        if not columns:
            raise RecordingError(
                "no column holds numbers",
                where=str(table.path),
                fix="a sensor table has a column of times and columns of numbers",
            )
        return columns

    def _warn_of(self, name: str, values: Sequence[float | None]) -> None:
        if name.lower() in LABEL_NAMES or _counts(values):
            what = "looks like a label" if name.lower() in LABEL_NAMES else "counts the rows"
            way = f"--label {name} makes labels of it, --exclude {name} leaves it out"
            if name.lower() not in LABEL_NAMES:
                way = f"leave it out with --exclude {name}"
            self.report.note(f"column {name!r} {what}; {way}")

    def _read(self, table: Table) -> tuple[list[Moment], npt.NDArray[np.float64], list[str]]:
        """Times and readings of the rows, and what the column of labels says of each."""
        moments: list[Moment] = []
        values = array("d")
        said: list[str] = []
        for _, cells in table.rows:
            moment = self._moment(cells, moments)
            if moment is None:
                continue
            moments.append(moment)
            values.extend(self._value(cells, i, table.separator) for i in self._columns)
            if self._label is not None:
                said.append(cells[self._label] if self._label < len(cells) else "")
            if len(cells) > len(table.header):
                self.report.fault("rows with more cells than columns")
        if not moments:
            raise RecordingError("no row has a time that can be read", where=str(table.path))
        shape = (len(moments), len(self._columns))
        return moments, np.frombuffer(values, np.float64).reshape(shape), said

    def _moment(self, cells: Sequence[str], moments: Sequence[Moment]) -> Moment | None:
        try:
            near_ns = moments[-1].ns if moments else None
            moment = self._time.read(cells, self._zone, near_ns)
        except (ValueError, IndexError):
            self.report.drop(DropReason.CORRUPT)
            return None
        if moments and moment.absolute != moments[-1].absolute:
            self.report.drop(DropReason.CORRUPT)
            return None
        if moments and moment.ns < moments[-1].ns:
            self.report.drop(DropReason.OUT_OF_ORDER)
            return None
        return moment

    def _value(self, cells: Sequence[str], column: int, separator: str) -> float:
        cell = cells[column] if column < len(cells) else ""
        value = number(cell, separator)
        if value is None:
            self.report.fault("cells with text in a number column" if cell else "empty cells")
            return math.nan
        if math.isnan(value):
            self.report.fault("empty cells")
        elif math.isinf(value):
            self.report.fault("cells with an infinite number")
            return math.nan
        return value


def _counts(values: Sequence[float | None]) -> bool:
    """Whether a column goes up by one with each row: it says nothing, and never stops growing."""
    if len(values) < _LEAST_COUNTED or None in values:
        return False
    return bool((np.diff(np.array(values, np.float64)) == 1.0).all())


def _rate_hz(moments: Sequence[Moment]) -> float | None:
    """The rate when most steps are alike; None when they are not."""
    times = np.array([moment.ns for moment in moments], dtype=np.int64)
    steps = np.diff(times).astype(np.float64)
    if len(steps) < 2 or (median := float(np.median(steps))) <= 0:
        return None
    near = np.abs(steps - median) <= 0.2 * median
    return round(1e9 / median, 6) if float(np.mean(near)) >= _REGULAR else None
