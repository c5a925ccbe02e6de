"""Recordings as things that are kept for a while and then removed, by when they began."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.file_stock import FileStock
from pipeline.recording.folder import begun_ns


class RecordingStock(FileStock):
    """Files of a recording folder, of which none is open that is old enough to be removed."""

    def at_ns(self, path: Path) -> int:
        """When the first arrival in a file came."""
        return begun_ns(path)
