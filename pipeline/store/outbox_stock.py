"""Accepted events and their deliveries as things that are kept for a while and then removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, delete, func, select

from pipeline.core.errors import StoreError
from pipeline.core.retention import Item
from pipeline.store.database import Database
from pipeline.store.event_stock import UNDELIVERED, KeptEvent
from pipeline.store.outbox_store import DEAD, DELIVERED, DELIVERIES, EVENTS


class _Ended(msgspec.Struct):
    """The one part of a stored event that its age depends on."""

    end_ns: int


@dataclass(frozen=True, slots=True)
class _Row:
    position: int
    end_ns: int
    states: frozenset[str]


class OutboxStock:
    """Accepted phases of events, each with its deliveries.

    Args:
        database: The outbox's.
        dead: Only those that a sink refused for good (True), only the others (False), or all,
            where what was refused counts as not delivered (None).
    """

    def __init__(self, database: Database, dead: bool | None = None) -> None:
        self._db = database
        self._dead = dead

    def items(self, before_ns: int | None = None) -> list[Item]:
        """See `Stock`; the age of a phase counts from the event's end as it was then."""
        with self._db.read() as connection:
            rows = [row for row in _rows(connection) if self._dead in (None, DEAD in row.states)]
        aged = (row for row in rows if before_ns is None or row.end_ns < before_ns)
        return [
            Item(str(row.position), row.end_ns, self._held(row.states))
            for row in sorted(aged, key=lambda row: row.end_ns)
        ]

    def remove(self, keys: Sequence[str]) -> int:
        """See `Stock`."""
        positions = [int(key) for key in keys]
        with self._db.write() as connection:
            connection.execute(delete(DELIVERIES).where(DELIVERIES.c.event.in_(positions)))
            gone = connection.execute(delete(EVENTS).where(EVENTS.c.position.in_(positions)))
        self._db.scrub()
        return gone.rowcount

    def _held(self, states: frozenset[str]) -> str:
        done = {DELIVERED} if self._dead is None else {DELIVERED, DEAD}
        return UNDELIVERED if states - done else ""


def undelivered(database: Database) -> set[str]:
    """Ids of events of which a delivery waits or was moved aside."""
    wanted = select(EVENTS.c.key).join(DELIVERIES, DELIVERIES.c.event == EVENTS.c.position)
    with database.read() as connection:
        keys = connection.execute(wanted.where(DELIVERIES.c.state != DELIVERED)).scalars()
        return {key.rpartition(".")[0] for key in keys}


def forget(database: Database, events: Sequence[KeptEvent]) -> dict[str, int]:
    """Take events out of an outbox, delivered or not.

    What stays of each phase is its key: it is refused if it comes once more, as one that is just
    under way from the fusion node may.

    Args:
        database: The outbox's.
        events: The events, whether they were accepted or not.

    Returns:
        Per sink, how many phases of them it has been given already.
    """
    stubs = [
        {"key": f"{event.id}.{revision}", "scene": event.scene, "body": ""}
        for event in events
        for revision in range(event.revisions)
    ]
    names = [stub["key"] for stub in stubs]
    with database.write() as connection:
        chosen = select(EVENTS.c.position).where(EVENTS.c.key.in_(names))
        theirs = DELIVERIES.c.event.in_(chosen)
        given = connection.execute(
            select(DELIVERIES.c.sink, func.count())
            .where(theirs, DELIVERIES.c.state == DELIVERED)
            .group_by(DELIVERIES.c.sink)
        )
        counts = {sink: count for sink, count in given}
        connection.execute(delete(DELIVERIES).where(theirs))
        connection.execute(delete(EVENTS).where(EVENTS.c.key.in_(names)))
        connection.execute(database.insert(EVENTS), stubs)
    database.scrub()
    return counts


def _rows(connection: Connection) -> Iterator[_Row]:
    """Phases that have a body."""
    states: dict[int, set[str]] = {}
    for position, state in connection.execute(select(DELIVERIES.c.event, DELIVERIES.c.state)):
        states.setdefault(position, set()).add(state)
    bodies = select(EVENTS.c.position, EVENTS.c.body).where(EVENTS.c.body != "")
    for position, body in connection.execute(bodies):
        yield _Row(position, _end_ns(body), frozenset(states.get(position, ())))


def _end_ns(body: str) -> int:
    try:
        return msgspec.json.decode(body, type=_Ended).end_ns
    except msgspec.DecodeError as error:
        raise StoreError(f"a stored event cannot be read: {error}") from error
