"""Recordings as things that are kept for a while and then removed: files by when they began."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.core.retention import Item
from pipeline.recording.folder import begun_ns


class RecordingStock:
    """Files of a recording folder.

    Args:
        files: The files, of which none is open that is old enough to be removed.
    """

    def __init__(self, files: Callable[[], Sequence[Path]]) -> None:
        self._files = files

    def items(self, before_ns: int | None = None) -> list[Item]:
        """See `Stock`; a file's age counts from the first arrival in it."""
        found = [Item(str(path), begun_ns(path)) for path in self._files()]
        return [item for item in found if before_ns is None or item.at_ns < before_ns]

    def remove(self, keys: Sequence[str]) -> int:
        """See `Stock`."""
        gone = 0
        for path in map(Path, keys):
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue
            gone += 1
        return gone
