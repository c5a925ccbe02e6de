"""The recordings that were named: files, and what lies in folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import structlog

from pipeline.core.errors import RecordingError

logger = structlog.get_logger(__name__)


def recording_files(named: Iterable[Path]) -> list[Path]:
    """Files as they were named, and for each folder the recordings in it, by name.

    A deployment's own are named by their time. Of a folder, what begins with a dot is passed over,
    and what is empty, as a node leaves it that was stopped as it began one: that is told.

    Raises:
        RecordingError: There is none in a folder.
    """
    found: list[Path] = []
    for path in named:
        inside = _inside(path) if path.is_dir() else [path]
        if not inside:
            raise RecordingError(
                "no recordings (*.mcap) there", where=str(path), fix="name another folder, or files"
            )
        found += inside
    return found


def _inside(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.glob("*.mcap") if not file.name.startswith("."))
    empty = [file for file in files if file.is_file() and not file.stat().st_size]
    for file in empty:
        logger.warning("recording is empty and passed over", file=str(file))
    return [file for file in files if file not in empty]
