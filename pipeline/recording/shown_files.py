"""What of a folder is taken: nothing that begins with a dot, as drafts and thumbnails do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def shown_within(folder: Path) -> Iterator[Path]:
    """Files and folders at any depth; what begins with a dot is passed over, and all in it."""
    for path in folder.rglob("*"):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def shown_in(folder: Path) -> Iterator[Path]:
    """Files and folders of a folder itself, likewise."""
    return (path for path in folder.iterdir() if not path.name.startswith("."))
