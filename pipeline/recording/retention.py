"""How long recordings are kept: the oldest go beyond a total size, and those beyond an age.

Rules. A file is as old as its last write. Only the files handed in are ever removed. Each
removal is logged and counted by its reason. A file that cannot be removed is left, said so and
tried again with the next sweep; recording goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

_DAY_NS = 86_400_000_000_000


class Removal(StrEnum):
    """Why a recording was removed."""

    SIZE = "size"  # the folder would hold more than its total
    AGE = "age"  # nothing in it is younger than allowed


class Retention:
    """Removes recordings that are to be kept no longer.

    Args:
        max_total: Bytes that all files together may take.
        max_age_days: Files whose last write is older are removed; None: none are.

    Attributes:
        removed: Files removed since the start, by reason.
    """

    def __init__(self, max_total: int, max_age_days: float | None = None) -> None:
        self.removed = dict.fromkeys(Removal, 0)
        self._max_total = max_total
        self._max_age_ns = None if max_age_days is None else round(max_age_days * _DAY_NS)

    def sweep(self, files: Iterable[Path], now_ns: int, *, room: int) -> None:
        """Remove what is too old, then the oldest until `room` bytes more fit the total.

        Args:
            files: Oldest first, without the one being written.
            now_ns: UTC.
            room: Bytes that the file being written may grow to.
        """
        sizes: dict[Path, int] = {}
        for path in files:
            status = _status(path)
            if status is None:
                continue
            written_ns, size = status
            old = self._max_age_ns is not None and now_ns - written_ns > self._max_age_ns
            if not (old and self._remove(path, Removal.AGE)):
                sizes[path] = size
        over = sum(sizes.values()) + room - self._max_total
        for path, size in sizes.items():
            if over <= 0:
                return
            if self._remove(path, Removal.SIZE):
                over -= size

    def _remove(self, path: Path, why: Removal) -> bool:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot remove an old recording", path=str(path), reason=error.strerror)
            return False
        self.removed[why] += 1
        log.info("oldest recording removed", path=str(path), limit=why.value)
        return True


def _status(path: Path) -> tuple[int, int] | None:
    """When a file was last written (ns) and its size; None when it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
