"""Events as things that are kept for a while and then removed, rows and bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import case, delete, false, func, inspect, select

from pipeline.core.event import Phase
from pipeline.core.retention import Item
from pipeline.store.database import Database
from pipeline.store.fusion_tables import EVENTS, HELD, SEALS

OPEN = "open"
UNDELIVERED = "not delivered"


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """What must be known of an event to remove it.

    Attributes:
        id: Its id.
        scene: Its scene.
        end_ns: When it ended, as far as is known.
        held: Why it is still needed, `OPEN` or `UNDELIVERED`; empty when it is not.
        revisions: Its revisions.
    """

    id: str
    scene: str
    end_ns: int
    held: str
    revisions: int


class EventStock:
    """Events of a fusion node's store, all revisions of one together.

    Args:
        database: The store's.
        asked: Gives until when people asked for what needs an event, by id, see `Item`.
    """

    def __init__(self, database: Database, asked: Callable[[], Mapping[str, int]] = dict) -> None:
        self._db = database
        self._asked = asked

    def events(self, before_ns: int | None = None) -> list[KeptEvent]:
        """Events, those that ended first first; only those that ended before a time."""
        end = func.max(EVENTS.c.end_ns)
        cleared = func.max(case((EVENTS.c.phase == Phase.CLEARED.value, 1), else_=0))
        waiting = func.max(case((EVENTS.c.forwarded == false(), 1), else_=0))
        count = func.max(EVENTS.c.revision) + 1
        wanted = select(EVENTS.c.id, func.min(EVENTS.c.scene), end, cleared, waiting, count)
        wanted = wanted.group_by(EVENTS.c.id).order_by(end)
        if before_ns is not None:
            wanted = wanted.having(end < before_ns)
        with self._db.read() as connection:
            return [
                KeptEvent(i, scene, at, _held(bool(clear), bool(wait)), revisions)
                for i, scene, at, clear, wait, revisions in connection.execute(wanted)
            ]

    def items(self, before_ns: int | None = None) -> list[Item]:
        """See `Stock`; an event's age counts from its end."""
        asked = self._asked()
        return [Item(e.id, e.end_ns, e.held, asked.get(e.id, 0)) for e in self.events(before_ns)]

    def remove(self, keys: Sequence[str]) -> int:
        """See `Stock`."""
        with self._db.write() as connection:
            chosen = EVENTS.c.id.in_(list(keys))
            gone = connection.execute(select(func.count(EVENTS.c.id.distinct())).where(chosen))
            count = gone.scalar() or 0
            connection.execute(delete(EVENTS).where(chosen))
            if inspect(connection).has_table(HELD.name):
                connection.execute(delete(HELD).where(HELD.c.event.in_(list(keys))))
            if inspect(connection).has_table(SEALS.name):
                connection.execute(delete(SEALS).where(SEALS.c.event.in_(list(keys))))
        self._db.scrub()
        return count


def _held(cleared: bool, waiting: bool) -> str:
    if not cleared:
        return OPEN
    return UNDELIVERED if waiting else ""
