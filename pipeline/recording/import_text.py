"""Lines of text with a time at their head into samples.

A head is ISO 8601 or a number of seconds, in brackets or not, ended by white space, comma,
semicolon or a bar. A line without one belongs to the line before and takes its time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.errors import RecordingError
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording.import_report import InputReport, check_file
from pipeline.recording.import_table import Moment, parse_moment

_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
_HEAD = re.compile(rf"^\[?(?P<time>{_ISO}|\d+(?:\.\d+)?)\]?(?:[\s,;|]+|$)(?P<text>.*)$")


class TextInput:
    """One file of lines.

    Args:
        stream: Name of the stream it becomes.
        path: The file.

    Raises:
        SourceUnavailable: There is no such file.
        RecordingError: No line has a time at its head.
    """

    def __init__(self, stream: str, path: Path) -> None:
        check_file(path)
        self.report = InputReport(stream, "text", str(path))
        self.info = StreamInfo(stream, Modality.TEXT, stamp="exact")
        self._lines = list(self._read(path))
        if not self._lines:
            raise RecordingError(
                "no line begins with a time",
                where=str(path),
                fix="write 2024-05-01T12:00:00 or seconds at the head of each line",
            )

    @property
    def first_ns(self) -> int | None:
        """Time of the first line when it is on the calendar; else None."""
        first = self._lines[0][0]
        return first.ns if first.absolute else None

    @property
    def duration_ns(self) -> int:
        """From the first line to the last."""
        return self._lines[-1][0].ns - self._lines[0][0].ns

    def samples(self, start_ns: int) -> Iterator[tuple[int, Sample]]:
        """Arrival and sample of each line."""
        for number, (moment, line) in enumerate(self._lines):
            time_ns = moment.at(start_ns)
            self.report.took(time_ns)
            yield time_ns, Sample(self.info.name, number, time_ns, line, Encoding.UTF8)

    def _read(self, path: Path) -> Iterator[tuple[Moment, str]]:
        last: Moment | None = None
        for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
            if not line.strip():
                continue
            found = _split(line)
            if found is None and last is None:
                self.report.fault("lines before the first time, left out")
                self.report.drop(DropReason.CORRUPT)
            elif found is None and last is not None:
                self.report.fault("lines without a time of their own")
                yield last, line.rstrip()
            elif found is not None and last is not None and found[0].ns < last.ns:
                self.report.drop(DropReason.OUT_OF_ORDER)
            elif found is not None:
                last = found[0]
                yield found


def _split(line: str) -> tuple[Moment, str] | None:
    match = _HEAD.match(line.strip())
    if match is None:
        return None
    try:
        return parse_moment(match["time"].replace(",", ".")), match["text"]
    except ValueError:
        return None
