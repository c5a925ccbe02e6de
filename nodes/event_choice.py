"""Which event is meant by how its id begins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.core.errors import StoreError
from pipeline.core.event import Event


def require_one(phases: Iterable[Event], event: str, data: Path) -> str:
    """Id of the one event that was meant.

    Raises:
        StoreError: No id begins so, or several do.
    """
    ids = sorted({phase.id for phase in phases})
    if not ids:
        raise StoreError(f"no event begins with {event!r}", where=str(data / "fusion.db"))
    if len(ids) > 1:
        raise StoreError(
            f"{len(ids)} events begin with {event!r}", fix=f"write more of it: {', '.join(ids[:5])}"
        )
    return ids[0]
