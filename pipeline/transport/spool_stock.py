"""Files of a spool as things that are kept for a while and then removed, by their last write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.core.retention import Item
from pipeline.transport.spool_segment import QUARANTINE, segments_in


class SpoolStock:
    """A spool's segments, which its node alone removes, by its own limits.

    Args:
        folder: The spool.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def items(self, before_ns: int | None = None) -> list[Item]:
        """See `Stock`."""
        return _aged([s.path for s in segments_in(self._folder)], before_ns)

    def remove(self, keys: Sequence[str]) -> int:
        """Nothing: the ledger must know of it, and only the node has it."""
        del keys
        return 0


class QuarantineStock:
    """Damaged parts that were put aside.

    Args:
        folder: The spool.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / QUARANTINE

    def items(self, before_ns: int | None = None) -> list[Item]:
        """See `Stock`."""
        return _aged([p for p in self._folder.glob("*") if p.is_file()], before_ns)

    def remove(self, keys: Sequence[str]) -> int:
        """See `Stock`."""
        gone = 0
        for path in map(Path, keys):
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue
            gone += 1
        return gone


def _aged(files: Sequence[Path], before_ns: int | None) -> list[Item]:
    """Files and when each was last written, oldest first."""
    items = []
    for path in files:
        try:
            written_ns = path.stat().st_mtime_ns
        except OSError:  # it went meanwhile
            continue
        if before_ns is None or written_ns < before_ns:
            items.append(Item(str(path), written_ns))
    return sorted(items, key=lambda item: item.at_ns)
