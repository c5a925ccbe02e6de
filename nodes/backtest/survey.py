"""What recordings a folder holds, which of them are damaged, and when they were made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import RecordingError
from pipeline.recording.coverage import Coverage
from pipeline.recording.reader import Recording


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """One recording that can be read.

    Attributes:
        path: Where it is.
        start_ns: When the first of it arrived.
        end_ns: When the last of it arrived, exclusive.
        streams: What it holds.
    """

    path: Path
    start_ns: int
    end_ns: int
    streams: frozenset[str]


@dataclass(frozen=True, slots=True)
class Survey:
    """The recordings of a folder.

    Attributes:
        folder: The folder.
        files: Those that can be read and hold something, by when they begin.
        unreadable: Why others cannot be read at all, by file.
        cut: What is missing at the end of some of `files`, by file.
        empty: Files in which nothing arrived.
    """

    folder: Path
    files: Sequence[RecordedFile]
    unreadable: dict[str, str]
    cut: dict[str, str]
    empty: Sequence[str]

    @property
    def coverage(self) -> Coverage:
        """The time that was recorded."""
        return Coverage((file.start_ns, file.end_ns) for file in self.files)

    @property
    def streams(self) -> frozenset[str]:
        """All streams that were recorded."""
        return frozenset().union(*(file.streams for file in self.files))

    def between(self, start_ns: int, end_ns: int | None) -> tuple[Path, ...]:
        """Files that hold something of ``[start_ns, end_ns)``; None: to the end."""
        return tuple(
            file.path
            for file in self.files
            if file.end_ns > start_ns and (end_ns is None or file.start_ns < end_ns)
        )


def survey(folder: Path, told: Callable[[int, int], None] = lambda *_: None) -> Survey:
    """Look into every recording of a folder and those within it.

    Args:
        folder: The folder.
        told: Told how many were looked into, of how many.

    Raises:
        RecordingError: There is no such folder, or no recording in it can be read.
    """
    paths = sorted(folder.rglob("*.mcap"))
    if not paths:
        raise RecordingError(
            "no recordings (*.mcap) there", where=str(folder), fix="give --recordings FOLDER"
        )
    found = Survey(folder, [], {}, {}, [])
    files: list[RecordedFile] = []
    empty: list[str] = []
    for number, path in enumerate(paths):
        told(number, len(paths))
        name = str(path.relative_to(folder))
        try:
            with Recording(path) as recording:
                arrived = recording.arrived_ns
                if recording.truncated:
                    found.cut[name] = recording.truncated
                streams = frozenset(recording.streams)
        except RecordingError as error:
            found.unreadable[name] = error.message
            continue
        if arrived is None:
            empty.append(name)
        else:
            files.append(RecordedFile(path, arrived[0], arrived[1] + 1, streams))
    told(len(paths), len(paths))
    if not files:
        reasons = [f"{name}: {why}" for name, why in found.unreadable.items()]
        reasons += [f"{name}: empty" for name in empty]
        raise RecordingError("none can be read: " + "; ".join(reasons[:5]), where=str(folder))
    files.sort(key=lambda file: (file.start_ns, file.path))
    return Survey(folder, files, found.unreadable, found.cut, empty)
