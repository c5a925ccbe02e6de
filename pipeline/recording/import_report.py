"""What an import says about each of its inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.errors import SourceUnavailable
from pipeline.core.ledger import DropReason, StreamAccount


@dataclass(slots=True)
class InputReport:
    """Counts and remarks of one input.

    Attributes:
        stream: Name of the stream it becomes.
        kind: ``video``, ``audio``, ``sensors`` or ``text``.
        path: The file.
        samples: Frames, chunks, rows or lines imported.
        start_ns: Stamp of the first.
        end_ns: End of the last: its stamp, for sound that of its last sample.
        dropped: Samples left out, by reason.
        faults: Things found wrong that did not cost a whole sample, counted.
        notes: Remarks for whoever reads the summary.
    """

    stream: str
    kind: str
    path: str
    samples: int = 0
    start_ns: int = 0
    end_ns: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def account(self) -> StreamAccount:
        """The input as a line of the loss ledger."""
        lost = sum(self.dropped.values())
        return StreamAccount(self.samples + lost, self.samples, 0, dict(self.dropped))

    def took(self, start_ns: int, end_ns: int | None = None) -> None:
        """Count one more sample."""
        if not self.samples:
            self.start_ns = start_ns
        self.end_ns = max(self.end_ns, start_ns if end_ns is None else end_ns)
        self.samples += 1

    def drop(self, reason: DropReason, count: int = 1) -> None:
        """Count samples left out."""
        self.dropped[reason.value] = self.dropped.get(reason.value, 0) + count

    def fault(self, what: str, count: int = 1) -> None:
        """Count something wrong."""
        if count:
            self.faults[what] = self.faults.get(what, 0) + count

    def add(self, other: InputReport) -> None:
        """Take in what another says, of a further part of the same input."""
        if other.samples:
            self.start_ns = min(self.start_ns, other.start_ns) if self.samples else other.start_ns
            self.end_ns = max(self.end_ns, other.end_ns)
            self.samples += other.samples
        for reason, count in other.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count
        for what, count in other.faults.items():
            self.fault(what, count)
        for remark in other.notes:
            self.note(remark)

    def note(self, remark: str) -> None:
        """Add a remark, once."""
        if remark not in self.notes:
            self.notes.append(remark)


def check_file(path: Path) -> None:
    """Make sure there is a file to read.

    Raises:
        SourceUnavailable: There is none, or it is a folder.
    """
    if not path.exists():
        raise SourceUnavailable("no such file", where=str(path), fix="check the path")
    if path.is_dir():
        raise SourceUnavailable("a folder, not a file", where=str(path))
