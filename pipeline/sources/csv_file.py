"""Readings from a CSV file: replayed with their own spacing, or followed as it grows."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.core.errors import BadReading, SourceEnded, SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.time_zone import ZoneName, zone_of
from pipeline.core.timestamps import TIME_NAMES, TimeUnit, parse_ns
from pipeline.sources.base import Source, SourceContext, SourceSettings
from pipeline.sources.fields import number
from pipeline.sources.pace import Pace
from pipeline.sources.tail import FileTail

BATCH = 256


class CsvFileSettings(SourceSettings):
    """A CSV file with a header line and a time column."""

    type: Literal["csv_file"] = "csv_file"
    """Kind of source."""

    path: Path
    """The file."""

    stream: str
    """Name of the stream."""

    mode: Literal["replay", "tail"] = "replay"
    """Replay the rows with their own spacing, or follow a file that grows."""

    times: Literal["now", "own"] = "now"
    """Replay: shift the rows so that the first is now, or keep their own times as site time."""

    speed: float = Field(default=1.0, ge=0)
    """Replay: times real time; 0: as fast as it is taken."""

    time_column: str | None = None
    """Column with the time; none: the first with a usual name, else the first column."""

    time_unit: TimeUnit = TimeUnit.AUTO
    """How times are written: iso, s, ms, us, ns, or auto (ISO 8601 or seconds)."""

    timezone: ZoneName | None = None
    """Zone of times that name none, as ``Europe/Berlin``; none: UTC."""

    columns: list[str] | None = None
    """Columns to read as channels; none: every column but the time."""

    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """Column separator; none: found from the header."""

    rate_hz: float | None = Field(default=None, gt=0)
    """Nominal rate of rows; none: irregular."""

    def stream_names(self) -> tuple[str, ...]:
        """The one stream."""
        return (self.stream,)

    def channel_names(self, stream: str) -> tuple[str, ...]:
        """The columns asked for."""
        return tuple(self.columns or ())

    def build(self, context: SourceContext) -> Source:
        """Make the reader."""
        return CsvFile(self, context)


class CsvFile:
    """Reads rows as sensor samples; see `CsvFileSettings`."""

    def __init__(self, settings: CsvFileSettings, context: SourceContext) -> None:
        self._settings = settings
        self._context = context
        self._tail: FileTail | None = None
        self._waiting: deque[Sample] = deque()
        self._pace = Pace(context.clock, settings.speed)
        self._shift_ns: int | None = None
        self._last_ns: int | None = None
        self._zone = zone_of(settings.timezone)
        self._written_ns: int | None = None

    def open(self) -> tuple[StreamInfo, ...]:
        """Read the header."""
        self._tail = FileTail(self._settings.path, from_start=True, refuse=self._refuse)
        header = self._tail.first_line()
        if header is None:
            raise SourceUnavailable("the CSV file is empty", where=str(self._settings.path))
        self._delimiter = self._settings.delimiter or _separator(header)
        names = [n.strip() for n in next(csv.reader([header], delimiter=self._delimiter))]
        self._time_index = self._find_time(names)
        self._columns = self._find_columns(names)
        if not self._columns:
            raise SourceUnavailable(
                f"no column but the time, {names[self._time_index]!r}",
                where=str(self._settings.path),
                fix=f"is {self._delimiter!r} the delimiter? else name the columns",
            )
        if self._settings.mode == "tail":
            self._tail.skip_to_end()
        self._shift_ns = None
        own = self._settings.mode == "replay" and self._settings.times == "own"
        channels = tuple(names[i] for i in self._columns)
        return (
            StreamInfo(
                name=self._settings.stream,
                modality=Modality.SENSOR,
                rate_hz=self._settings.rate_hz,
                shape=(len(channels),),
                dtype="float64",
                channels=channels,
                stamp="exact" if own else "device",
            ),
        )

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """Rows that are due."""
        if self._tail is None:
            raise SourceUnavailable("not open", where=str(self._settings.path))
        if self._settings.mode == "tail":
            return [s for s in map(self._row, self._tail.lines(timeout_s)) if s is not None]
        self._fill(self._tail)
        if not self._waiting:
            raise SourceEnded("end of file", where=str(self._settings.path))
        due: list[Sample] = []
        while self._waiting and self._pace.due(self._waiting[0].timestamp_ns, timeout_s):
            due.append(self._waiting.popleft())
            timeout_s = 0.0
        return due

    def close(self) -> None:
        """Close the file."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def _fill(self, tail: FileTail) -> None:
        while len(self._waiting) < BATCH:
            lines = tail.take(BATCH)
            if not lines:
                return
            self._waiting.extend(s for s in map(self._row, lines) if s is not None)

    def _row(self, line: str) -> Sample | None:
        if not line.strip():
            return None
        cells = next(csv.reader(StringIO(line), delimiter=self._delimiter), [])
        try:
            time_ns = self._stamp(cells)
            values = self._values(cells)
        except BadReading as error:
            self._refuse(error.message)
            return None
        if self._last_ns is not None and time_ns < self._last_ns:
            detail = f"row at {cells[self._time_index]} is older than the one before"
            self._context.reject(self._settings.stream, DropReason.OUT_OF_ORDER, detail)
            return None
        self._last_ns = time_ns
        return Sample(self._settings.stream, 0, time_ns, values, Encoding.FLOAT)

    def _refuse(self, detail: str) -> None:
        self._context.reject(self._settings.stream, DropReason.CORRUPT, detail)

    def _stamp(self, cells: list[str]) -> int:
        try:
            written = cells[self._time_index]
            time_ns = parse_ns(written, self._settings.time_unit, self._zone, self._written_ns)
        except (IndexError, ValueError) as error:
            raise BadReading(f"no time in row {','.join(cells)[:80]!r}: {error}") from error
        self._written_ns = time_ns
        if self._settings.mode == "tail" or self._settings.times == "own":
            return time_ns
        if self._shift_ns is None:
            self._shift_ns = self._context.clock.now_ns() - time_ns
        return time_ns + self._shift_ns

    def _values(self, cells: list[str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        values = np.full(len(self._columns), np.nan)
        faults = []
        for i, column in enumerate(self._columns):
            text = cells[column].strip() if column < len(cells) else ""
            if text == "" or text.lower() == "nan":
                continue
            try:
                values[i] = number(text)
            except BadReading as error:
                faults.append(error.message)
        if faults and np.isnan(values).all():
            raise BadReading("; ".join(faults))
        return values

    def _find_time(self, names: list[str]) -> int:
        wanted = self._settings.time_column
        if wanted is not None:
            if wanted in names:
                return names.index(wanted)
            raise SourceUnavailable(
                f"no column {wanted!r}; there are {', '.join(names)}",
                where=str(self._settings.path),
                fix="set time_column to one of them",
            )
        usual = [i for i, n in enumerate(names) if n.lower() in TIME_NAMES]
        return usual[0] if usual else 0

    def _find_columns(self, names: list[str]) -> list[int]:
        wanted = self._settings.columns
        if wanted is None:
            return [i for i in range(len(names)) if i != self._time_index]
        absent = [n for n in wanted if n not in names]
        if absent:
            raise SourceUnavailable(
                f"no column {', '.join(absent)}; there are {', '.join(names)}",
                where=str(self._settings.path),
                fix="correct columns",
            )
        return [names.index(n) for n in wanted]


def _separator(header: str) -> str:
    return max(",;\t|", key=header.count)


PLUGIN = CsvFileSettings
