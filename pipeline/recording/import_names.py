"""Stream names of an import, from what was typed: ``FILE`` or ``NAME=FILE``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_NAMED = re.compile(r"^(?P<name>[a-z0-9][a-z0-9_-]{0,62})=(?P<path>.+)$")


def named_files(values: Sequence[str], default: str) -> dict[str, Path]:
    """Files by stream name; ``default``, ``default-2`` ... where none was given.

    Raises:
        ValueError: A name was given twice.
    """
    files: dict[str, Path] = {}
    for value in values:
        name, path = _split(value)
        if name is None:
            name = _free(default, files)
        if name in files:
            raise ValueError(f"the name {name!r} was given twice")
        files[name] = path
    return files


def prefixed_files(values: Sequence[str]) -> list[tuple[str, Path]]:
    """What is to stand before the names of a file's streams, empty if nothing, and the file."""
    return [(name or "", path) for name, path in map(_split, values)]


def times_files(values: Sequence[str], media: Mapping[str, Path]) -> dict[str, Path]:
    """Times files by the stream they belong to; without a name in the order of the media.

    Raises:
        ValueError: There are more of them than media files, or a name was given twice.
    """
    files: dict[str, Path] = {}
    for value in values:
        name, path = _split(value)
        if name is None:
            name = next((n for n in media if n not in files), None)
        if name is None or name in files:
            raise ValueError(f"no file that the times {str(path)!r} can belong to")
        files[name] = path
    return files


def _split(value: str) -> tuple[str | None, Path]:
    match = _NAMED.match(value)
    if match is None or Path(value).exists():
        return None, Path(value)
    return match["name"], Path(match["path"])


def _free(default: str, taken: Mapping[str, Path]) -> str:
    name, number = default, 2
    while name in taken:
        name = f"{default}-{number}"
        number += 1
    return name
