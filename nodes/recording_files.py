"""The recordings that were named: files, and what lies in folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.core.errors import RecordingError


def recording_files(named: Iterable[Path]) -> list[Path]:
    """Files as they were named, and for each folder the recordings in it, by name.

    A deployment's own are named by their time.

    Raises:
        RecordingError: There is none in a folder.
    """
    found: list[Path] = []
    for path in named:
        inside = sorted(path.glob("*.mcap")) if path.is_dir() else [path]
        if not inside:
            raise RecordingError(
                "no recordings (*.mcap) there", where=str(path), fix="name another folder, or files"
            )
        found += inside
    return found
