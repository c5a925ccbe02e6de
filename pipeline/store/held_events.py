"""Which events are not sent to anybody, as they follow from another.

A row is there from when an event is first held until it is sent after all; of one that was never
sent it stays. So a fusion node that was killed goes on holding, and people are told why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, inspect, select

from pipeline.store.database import Database
from pipeline.store.fusion_tables import HELD
from pipeline.store.leases import Leases


@dataclass(frozen=True, slots=True)
class Held:
    """Why an event is not sent.

    Attributes:
        event: Its id.
        cause: Id of the event that it follows from.
        words: Why, in words.
    """

    event: str
    cause: str
    words: str


class HeldEvents:
    """Rows of a fusion node's store. Safe to share by threads.

    Args:
        database: The store's.
        leases: Confirmed at each write.
    """

    def __init__(self, database: Database, leases: Leases) -> None:
        self._db = database
        self._leases = leases

    def put(self, held: Held) -> None:
        """An event is held, or for another cause than before.

        Raises:
            StoreError: It could not be written.
        """
        row = self._db.insert(HELD).values(event=held.event, cause=held.cause, words=held.words)
        changed = {"cause": held.cause, "words": held.words}
        with self._db.write() as connection:
            self._leases.confirm(connection)
            connection.execute(row.on_conflict_do_update(index_elements=["event"], set_=changed))

    def drop(self, event_id: str) -> None:
        """An event is sent after all; raises as `put`."""
        with self._db.write() as connection:
            self._leases.confirm(connection)
            connection.execute(delete(HELD).where(HELD.c.event == event_id))

    def of(self, event_ids: Iterable[str]) -> dict[str, Held]:
        """Why each of these events is not sent, of those that are not."""
        wanted = select(HELD).where(HELD.c.event.in_(list(event_ids)))
        with self._db.read() as connection:
            if not inspect(connection).has_table(HELD.name):
                return {}  # written by an older fusewatch, and not opened to be written since
            return {r.event: Held(r.event, r.cause, r.words) for r in connection.execute(wanted)}
