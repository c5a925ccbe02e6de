"""The tables of an export: readings, lines of text, and the exact times of a track."""

from __future__ import annotations

import csv
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path

import numpy as np

from pipeline.core.sample import Modality, Sample, StreamInfo

_ENDINGS = {Modality.SENSOR: "csv", Modality.TEXT: "txt"}


@dataclass(slots=True)
class ExportedStream:
    """What came of one stream.

    Attributes:
        name: The stream.
        modality: Kind of signal.
        files: What holds it, names in the folder.
        samples: Samples written.
        left_out: Samples left out, by reason.
    """

    name: str
    modality: str
    files: tuple[str, ...]
    samples: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, reason: str) -> None:
        """Count a sample that cannot be written."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


def file_beside(info: StreamInfo) -> str:
    """What holds a stream, or the times of its track, beside the Matroska file."""
    return f"{info.name}.{_ENDINGS.get(info.modality, 'times.csv')}"


class ReadingsTable:
    """A sensor as a table: nanoseconds since 1970, the same for people, a column a channel."""

    def __init__(self, info: StreamInfo, folder: Path, stack: ExitStack) -> None:
        self.told = ExportedStream(info.name, info.modality.value, (file_beside(info),))
        self._rows = csv.writer(opened(folder / file_beside(info), stack))
        self._width = info.shape[0]
        names = info.channels or tuple(f"channel{n}" for n in range(self._width))
        self._rows.writerow(("timestamp", "utc", *names))

    def write(self, sample: Sample) -> None:
        """Add a reading."""
        values = np.asarray(sample.data, np.float64).ravel()
        if len(values) != self._width:
            self.told.leave_out("another number of channels")
            return
        cells = ["" if np.isnan(v) else repr(v) for v in values.tolist()]
        self._rows.writerow((sample.timestamp_ns, utc(sample.timestamp_ns), *cells))
        self.told.samples += 1


class LinesFile:
    """Text with its time at the head of each line."""

    def __init__(self, info: StreamInfo, folder: Path, stack: ExitStack) -> None:
        self.told = ExportedStream(info.name, info.modality.value, (file_beside(info),))
        self._file = opened(folder / file_beside(info), stack)

    def write(self, sample: Sample) -> None:
        """Add a line."""
        self._file.write(f"{utc(sample.timestamp_ns)} {sample.data!s}\n")
        self.told.samples += 1


def opened(path: Path, stack: ExitStack) -> TextIOWrapper:
    """A text file for writing, closed with `stack`."""
    return stack.enter_context(path.open("w", newline="", encoding="utf-8"))


def utc(time_ns: int) -> str:
    """ISO 8601 in UTC with microseconds."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
