"""A folder of clips that becomes one stream: its files one after the other, with pauses between.

Collections of sounds, footage or tables are many short files, as a rule without a time of day. Five
seconds lie between: a window of two seconds sees no two of them, and nobody takes the pause for a
silent device. Clips of the same name, in the folder of the sounds and in that of the pictures, are
of the same time. Files with times on the calendar keep them.

Still pictures in a folder within are a clip together (`pipeline.recording.import_stills`).

A clip that lies in a folder within may be labelled by its name: ``normal/03.wav``, ``leak/07.wav``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.core.errors import RecordingError, SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Modality, Sample, StreamInfo
from pipeline.recording.import_input import Input
from pipeline.recording.import_marks import Mark, kind_of_folder
from pipeline.recording.import_report import InputReport
from pipeline.recording.import_sensors import SensorInput
from pipeline.recording.import_stills import StillsInput
from pipeline.recording.import_table import Moment
from pipeline.recording.import_text import TextInput
from pipeline.recording.shown_files import shown_within
from pipeline.recording.still_folders import is_still, stills_folders

PAUSE_S = 5
_SECOND_NS = 1_000_000_000
_TOLD = 5  # files that were left out, by name

Open = Callable[[Path, StreamInfo | None], Input]
"""Opens a file, in the form of the stream that others made if that can be."""


@dataclass(frozen=True, slots=True)
class Clip:
    """When a clip is, in the recording.

    Attributes:
        name: Path in its folder, without the ending.
        start_s: Its beginning, seconds from the recording's start.
        end_s: Its end.
    """

    name: str
    start_s: float
    end_s: float

    @property
    def kind(self) -> str:
        """What the folder within that it lies in says; empty: it is in none."""
        return kind_of_folder(Path(self.name).parent.name)


class ClipsInput:
    """The files of a folder as one stream.

    Args:
        stream: Name of the stream.
        kind: As `InputReport.kind`.
        folder: The folder; what begins with a dot is passed over, and folders within that do.
        opened: Opens one file.

    Raises:
        RecordingError: No file in it can be imported.
    """

    def __init__(self, stream: str, kind: str, folder: Path, opened: Open) -> None:
        self.report = InputReport(stream, kind, str(folder))
        self._parts: dict[str, Input] = {}
        self._starts_ns: Mapping[str, int] = {}
        for path in _parts(folder, kind):
            name = path.relative_to(folder)
            whole = path.is_dir() or kind == "text"  # app.log.1 and app.log.2 are two
            self._take(str(name if whole else name.with_suffix("")), str(name), path, opened)
        if not self._parts:
            raise RecordingError(f"no {kind} in this folder", where=str(folder))
        self.info = next(iter(self._parts.values())).info

    def _take(self, name: str, told: str, path: Path, opened: Open) -> None:
        if self.report.kind == "video" and path.is_file() and is_still(path):
            self._leave_out(told, "a still picture among clips")
            return
        like = next((part.info for part in self._parts.values()), None)
        try:
            part = opened(path, like)
        except (RecordingError, SourceUnavailable) as error:
            self._leave_out(told, error.message)
            return
        if name in self._parts:
            self._leave_out(told, "another file has its name")
        elif like is not None and not _joins(part.info, like):
            self._leave_out(told, "it is of another form than the first")
        else:
            self._parts[name] = part

    def _leave_out(self, name: str, why: str) -> None:
        self.report.fault("files left out")
        if self.report.faults["files left out"] <= _TOLD:
            self.report.note(f"{name} is left out: {why}")

    @property
    def first_ns(self) -> int | None:
        """The first time of its files when they have times on the calendar; else None."""
        return min(
            (p.first_ns for p in self._parts.values() if p.first_ns is not None), default=None
        )

    @property
    def lengths_ns(self) -> dict[str, int]:
        """From second 0 to its end, of each clip without times on the calendar, by its name."""
        plain = {name: part for name, part in self._parts.items() if part.first_ns is None}
        return {
            name: part.last_ns if isinstance(part, SensorInput | TextInput) else part.duration_ns
            for name, part in plain.items()
        }

    @property
    def duration_ns(self) -> int:
        """About how long it is, with its pauses."""
        ends = (self._starts_ns.get(n, 0) + p.duration_ns for n, p in self._parts.items())
        return max(ends)

    @property
    def local(self) -> bool:
        """Whether its times name no zone."""
        timed = (SensorInput, StillsInput, TextInput)
        return any(part.local for part in self._parts.values() if isinstance(part, timed))

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What the columns of labels of its tables say, as `SensorInput.marks`."""
        return tuple(
            Mark(_later(mark.start, at_ns), _later(mark.end, at_ns), mark.kind)
            for name, part in self._tables.items()
            for at_ns in (self._starts_ns.get(name, 0),)
            for mark in part.marks
        )

    @property
    def _tables(self) -> dict[str, SensorInput]:
        return {name: p for name, p in self._parts.items() if isinstance(p, SensorInput)}

    def place(self, starts_ns: Mapping[str, int]) -> None:
        """Say when each clip begins, from second 0 on, by its name."""
        self._starts_ns = starts_ns

    def samples(self, start_ns: int) -> Iterator[tuple[int, Sample]]:
        """Arrival and sample of all clips, by growing arrival."""
        sequence, last_ns = 0, None
        for name, part in sorted(self._parts.items(), key=self._when):
            offset_ns = self._starts_ns.get(name, 0)
            ahead = self._position(offset_ns)
            for arrival_ns, sample in part.samples(start_ns + offset_ns):
                if last_ns is not None and arrival_ns < last_ns:
                    part.report.samples -= 1
                    part.report.drop(DropReason.OUT_OF_ORDER)
                    continue
                last_ns = arrival_ns
                yield (
                    arrival_ns,
                    replace(sample, sequence=sequence, position=sample.position + ahead),
                )
                sequence += 1
            self.report.add(part.report)

    def _when(self, item: tuple[str, Input]) -> tuple[int, int, str]:
        name, part = item
        return self._starts_ns.get(name, 0), part.first_ns or 0, name

    def _position(self, offset_ns: int) -> int:
        """Samples of sound before a clip, whose beginning is at a whole second."""
        if self.info.modality is not Modality.AUDIO:
            return 0
        return round(offset_ns // _SECOND_NS * (self.info.rate_hz or 0.0))


def _later(moment: Moment, by_ns: int) -> Moment:
    return moment if moment.absolute else replace(moment, ns=moment.ns + by_ns)


def lay_out(inputs: Sequence[ClipsInput]) -> tuple[Clip, ...]:
    """Place the clips of all folders, those of the same name together; when each is.

    Args:
        inputs: The folders.
    """
    lengths_ns: dict[str, int] = {}
    for one in inputs:
        for name, length_ns in one.lengths_ns.items():
            lengths_ns[name] = max(length_ns, lengths_ns.get(name, 0))
    starts_ns: dict[str, int] = {}
    clips: list[Clip] = []
    at_ns = 0
    for name in sorted(lengths_ns):
        starts_ns[name] = at_ns
        clips.append(Clip(name, at_ns / _SECOND_NS, (at_ns + lengths_ns[name]) / _SECOND_NS))
        at_ns += (-(-lengths_ns[name] // _SECOND_NS) + PAUSE_S) * _SECOND_NS
    for one in inputs:
        one.place(starts_ns)
    return tuple(clips)


def _parts(folder: Path, kind: str) -> list[Path]:
    """What becomes a clip each: files, and folders within of still pictures."""
    stills = stills_folders(folder) if kind == "video" else []
    within = shown_within(folder)
    files = (path for path in within if path.is_file() and path.parent not in stills)
    return sorted([*stills, *files], key=lambda path: path.relative_to(folder))


def _joins(info: StreamInfo, like: StreamInfo) -> bool:
    """Whether a file can go on a stream; of its rate the stream says the usual one."""
    return replace(info, rate_hz=like.rate_hz).like(like)
