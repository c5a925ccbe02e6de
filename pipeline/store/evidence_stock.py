"""Evidence of events as things that are kept for a while and then removed: a folder each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline.core.retention import Item
from pipeline.store.event_stock import KeptEvent


class EvidenceStock:
    """Folders of pictures, clips and sound, by event id.

    Args:
        folder: Where they lie.
        events: What is known of events, by id; of an event that is not known, the newest file
            says how old the folder is.
    """

    def __init__(self, folder: Path, events: Callable[[], Mapping[str, KeptEvent]]) -> None:
        self._folder = folder
        self._events = events

    def items(self, before_ns: int | None = None) -> list[Item]:
        """See `Stock`; the age of evidence counts from the event's end."""
        folders = sorted(p for p in self._folder.glob("*") if p.is_dir())
        known = self._events() if folders else {}
        found = [self._item(path, known.get(path.name)) for path in folders]
        aged = (item for item in found if before_ns is None or item.at_ns < before_ns)
        return sorted(aged, key=lambda item: item.at_ns)

    def remove(self, keys: Sequence[str]) -> int:
        """See `Stock`."""
        for key in keys:
            shutil.rmtree(self._folder / key, ignore_errors=True)
        return sum(not (self._folder / key).exists() for key in keys)

    @staticmethod
    def _item(path: Path, event: KeptEvent | None) -> Item:
        if event is not None:
            return Item(path.name, event.end_ns, event.held)
        files = (path, *path.rglob("*"))
        return Item(path.name, max(_changed_ns(file) for file in files))


def _changed_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:  # it went meanwhile
        return 0
