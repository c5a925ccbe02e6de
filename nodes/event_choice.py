"""Which event is meant by how its id begins."""

from __future__ import annotations

from pipeline.core.errors import StoreError
from pipeline.core.event import Event
from pipeline.store import FusionStore


def one_event(store: FusionStore, begins: str) -> list[Event]:
    """All phases of the one event whose id begins so.

    Raises:
        StoreError: None does, or several do.
    """
    phases = store.phases(begins)
    ids = sorted({phase.id for phase in phases})
    if not ids:
        raise StoreError(
            f"no event begins with {begins!r}",
            where=store.database.where,
            fix="see fusewatch events list",
        )
    if len(ids) > 1:
        raise StoreError(
            f"{len(ids)} events begin with {begins!r}",
            fix=f"write more of it: {', '.join(ids[:5])}",
        )
    return phases
