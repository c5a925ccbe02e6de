"""Recordings as things that are kept for a while and then removed, by when they began."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.core.file_stock import FileStock
from pipeline.recording.folder import begun_ns
from pipeline.recording.mcap_output import is_written


class RecordingStock(FileStock):
    """Files of a recording folder.

    The folder's own node begins a new file long before one is old enough to be removed; a node
    that was started with another limit may still write to such a one, which is left then.
    """

    def remove(self, keys: Sequence[str]) -> int:
        """See `Stock`; a file that is being written stays."""
        return super().remove([key for key in keys if not is_written(Path(key))])

    def at_ns(self, path: Path) -> int:
        """When the first arrival in a file came."""
        return begun_ns(path)
