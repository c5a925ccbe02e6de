"""The day on which a recording begins of which nothing says when it was made.

Two such recordings, what is learnt and what is judged, are of different times, and everything
after goes by time: which windows were learnt, what follows on what. So each has a day of its
own, made of what is in the files: the same files have the same day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.core.undated import undated_ns
from pipeline.recording.shown_files import shown_within

_ENDS = 65_536  # bytes read of either end of a file: a collection may be large


def day_of(paths: Iterable[Path]) -> int:
    """Site time of the first moment of its day, nanoseconds, in the years 2000 to 2009.

    Args:
        paths: The files; of folders, all that is shown within.

    Raises:
        OSError: One cannot be read.
    """
    found = hashlib.sha256()
    for path in _files(paths):
        with path.open("rb") as file:
            for part in _ends(file, path.stat().st_size):
                found.update(part)
    return undated_ns(int.from_bytes(found.digest()[:8]))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        within = sorted(shown_within(path)) if path.is_dir() else [path]
        yield from (file for file in within if file.is_file())


def _ends(file: BinaryIO, size: int) -> Iterator[bytes]:
    yield size.to_bytes(8)
    yield file.read(_ENDS)
    if size > _ENDS:
        file.seek(max(_ENDS, size - _ENDS))
        yield file.read(_ENDS)
