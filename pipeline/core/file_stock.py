"""Files as things that are kept for a while and then removed, by their last write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pipeline.core.retention import Item


class FileStock:
    """Files of one kind.

    Args:
        files: Gives those that are there.
    """

    def __init__(self, files: Callable[[], Iterable[Path]]) -> None:
        self._files = files

    def items(self, before_ns: int | None = None) -> list[Item]:
        """See `Stock`."""
        found = [Item(str(path), at_ns) for path in self._files() if (at_ns := self.at_ns(path))]
        aged = (item for item in found if before_ns is None or item.at_ns < before_ns)
        return sorted(aged, key=lambda item: item.at_ns)

    def remove(self, keys: Sequence[str]) -> int:
        """See `Stock`."""
        return sum(_removed(Path(key)) for key in keys)

    def at_ns(self, path: Path) -> int:
        """When a file came to be; 0 when it is gone."""
        try:
            return path.stat().st_mtime_ns
        except OSError:
            return 0


def _removed(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
