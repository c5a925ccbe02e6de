"""What a file, or a folder of them, has to be to become a stream of an import."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pipeline.core.sample import Sample, StreamInfo
from pipeline.recording.import_report import InputReport


class Input(Protocol):
    """Something that becomes a stream."""

    info: StreamInfo
    report: InputReport

    @property
    def first_ns(self) -> int | None:
        """Its first time when it has times on the calendar; else None."""
        ...

    @property
    def duration_ns(self) -> int:
        """About how long it is."""
        ...

    def samples(self, start_ns: int) -> Iterator[tuple[int, Sample]]:
        """Arrival and sample, by growing arrival; times that are relative from `start_ns`."""
        ...
