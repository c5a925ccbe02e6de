"""Lines of text with a time in them into samples.

Where the time stands is looked for, see `pipeline.recording.line_times`. A line without one belongs
to the line before and takes its time.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from pipeline.core.errors import RecordingError
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording.import_report import InputReport, check_file
from pipeline.recording.import_table import Moment
from pipeline.recording.line_times import KNOWN, LineTimes, times_of


class TextInput:
    """One file of lines.

    Args:
        stream: Name of the stream it becomes.
        path: The file; one that ends in ``.gz`` is unpacked, as rotation leaves them.
        zone: That of times which name none.

    Raises:
        SourceUnavailable: There is no such file.
        RecordingError: No line has a time, or it cannot be unpacked.
    """

    def __init__(self, stream: str, path: Path, zone: tzinfo = UTC) -> None:
        check_file(path)
        self.report = InputReport(stream, "text", str(path))
        self.info = StreamInfo(stream, Modality.TEXT, stamp="exact")
        lines = [line for line in _text(path).splitlines() if line.strip()]
        times = times_of(lines, datetime.fromtimestamp(path.stat().st_mtime, UTC), zone)
        if times is None:
            raise RecordingError(
                "no line says when it was written", where=str(path), fix=f"it may be: {KNOWN}"
            )
        self._lines = list(self._read(lines, times))

    @property
    def local(self) -> bool:
        """Whether its times name no zone."""
        return self._lines[0][0].local

    @property
    def first_ns(self) -> int | None:
        """Time of the first line when it is on the calendar; else None."""
        first = self._lines[0][0]
        return first.ns if first.absolute else None

    @property
    def last_ns(self) -> int:
        """Time of the last line."""
        return self._lines[-1][0].ns

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

    def _read(self, lines: Sequence[str], times: LineTimes) -> Iterator[tuple[Moment, str]]:
        last: Moment | None = None
        for line in lines:
            found = times.split(line, None if last is None else last.ns)
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


def _text(path: Path) -> str:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"cannot be unpacked: {error}", where=str(path)) from error
    return data.decode("utf-8-sig", errors="replace")
