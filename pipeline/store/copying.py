"""Whole copies of SQLite files that others may write to meanwhile.

SQLite's online backup gives the state of one moment, and with a write-ahead log holds up no
writer. Copying the file alone would miss what is still in that log, and tear what is being written.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.core.errors import StoreError


def copy_store(file: Path, copy: Path) -> None:
    """Copy an SQLite file, whole and checked, readable by its owner alone.

    Args:
        file: The file.
        copy: Where its copy goes; an existing one is replaced once the new one is whole.

    Raises:
        StoreError: It cannot be read, the copy cannot be written or would be damaged.
    """
    part = copy.with_name(copy.name + ".part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        _copy(file, part)
        _sync(part)
        part.replace(copy)
        _sync(copy.parent)
    except (OSError, sqlite3.Error) as error:
        part.unlink(missing_ok=True)
        raise StoreError(
            f"cannot be copied to {copy}: {error}",
            where=str(file),
            fix="make room for as much again, and check the permissions there",
        ) from error


def copy_beside(file: Path, version: int) -> Path:
    """Keep a copy of a store as it is before its version changes.

    Returns:
        The copy: ``NAME.version-1.bak`` beside the file, numbered where that is taken.

    Raises:
        StoreError: See `copy_store`.
    """
    copy = file.with_name(f"{file.name}.version-{version}.bak")
    number = 2
    while copy.exists():
        copy = file.with_name(f"{file.name}.version-{version}.{number}.bak")
        number += 1
    copy_store(file, copy)
    return copy


def _copy(file: Path, copy: Path) -> None:
    with (
        closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)  # in one go: in steps it begins anew at every commit of a writer
        verdict = target.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"the copy is damaged: {verdict}")


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
