"""Which files of a folder are still pictures, and what belongs to one sequence of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

from pipeline.recording.shown_files import shown_in, shown_within
from pipeline.recording.still_times import still_times

_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


def is_still(path: Path) -> bool:
    """Whether a file is a still picture, by its ending."""
    return path.suffix.lower() in _ENDINGS


def stills_in(folder: Path) -> list[Path]:
    """The still pictures of a folder, by their endings, if they are what it holds.

    One beside each of as many clips, as some recorders leave, is no sequence.
    """
    files = [path for path in shown_in(folder) if path.is_file()]
    stills = [path for path in files if is_still(path)]
    return stills if 2 * len(stills) > len(files) else []


def stills_folders(folder: Path) -> list[Path]:
    """A folder and those within, where they hold still pictures."""
    within = (path for path in shown_within(folder) if path.is_dir())
    return [path for path in (folder, *within) if stills_in(path)]


def one_sequence(folder: Path, still_hz: float | None) -> list[Path]:
    """All pictures of a folder when they are one sequence: in it, or at times that names tell.

    Args:
        folder: The folder; when there is anything else within, there is no one sequence.
        still_hz: Pictures a second; None: names are asked when each was taken.
    """
    folders = stills_folders(folder)
    if folders == [folder] and not any(path.is_dir() for path in shown_in(folder)):
        return stills_in(folder)
    found = [path for one in folders for path in stills_in(one)]
    every = [path for path in shown_within(folder) if path.is_file()]
    dated = still_hz is None and still_times(timed_names(folder, found), UTC) is not None
    return found if dated and len(every) == len(found) else []


def in_order(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Pictures in the order in which people number them: 2 before 10."""
    return sorted(files, key=lambda path: _order(str(path.relative_to(folder))))


def timed_names(folder: Path, files: Sequence[Path]) -> list[str]:
    """What may tell a time: the folder's name, and of each file its path in it."""
    return [str(Path(folder.name) / path.relative_to(folder).with_suffix("")) for path in files]


def _order(name: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
