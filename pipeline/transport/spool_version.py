"""Of which version a spool folder is: a file beside its segments says so.

The file has a checksum: one that is damaged, like one that is missing (an older fusewatch wrote
none, a full disk takes none), stands for version 1 and keeps no spool from opening. A folder of
another version is left as it is.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from pathlib import Path

from pipeline.core.errors import SpoolVersionError

SPOOL_VERSION = 1
NAME = "version"
_LONGEST = 100


def check_version(folder: Path) -> None:
    """Refuse a folder that another version wrote.

    Raises:
        SpoolVersionError: It is of another version.
        OSError: It cannot be read.
    """
    found = _read(folder / NAME)
    if found in (None, SPOOL_VERSION):
        return
    raise SpoolVersionError(
        f"the spool is of version {found}, this fusewatch reads version {SPOOL_VERSION}",
        where=str(folder),
        fix="let the fusewatch that wrote it send what it holds, or move the folder away",
    )


def write_version(folder: Path) -> None:
    """Say of which version a folder is from now on."""
    path = folder / NAME
    text = f"fusewatch spool {SPOOL_VERSION}"
    if not path.exists():
        with suppress(OSError):  # a full disk must not keep the spool from opening
            path.write_text(f"{text} {_checksum(text)}\n", "ascii")


def _read(path: Path) -> int | None:
    """The version that is written down; None where nothing credible is."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        text = file.read(_LONGEST).decode("ascii", "replace").strip()
    text, _, checksum = text.rpartition(" ")
    words = text.split()
    if checksum != _checksum(text) or words[:2] != ["fusewatch", "spool"]:
        return None
    return int(words[2]) if len(words) == 3 and words[2].isdecimal() else None


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode('ascii', 'replace')):08x}"
