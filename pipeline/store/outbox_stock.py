"""Accepted events and their deliveries as things that are kept for a while and then removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, delete, func, inspect, or_, select, update

from pipeline.core.answered import answers_begin
from pipeline.core.errors import StoreError
from pipeline.core.retention import Item
from pipeline.store.database import Database
from pipeline.store.event_stock import UNDELIVERED, KeptEvent
from pipeline.store.outbox_tables import (
    DEAD,
    DELIVERED,
    DELIVERIES,
    DIGESTS,
    DONE,
    EVENTS,
    HOLDS,
    TOLD,
)


class _Ended(msgspec.Struct):
    """The one part of a stored event that its age depends on."""

    end_ns: int


_ENDED_DECODER = msgspec.json.Decoder(_Ended)


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
        with self._db.write() as connection:
            _drop(connection, [int(key) for key in keys])
        self._db.scrub()
        return len(keys)

    def _held(self, states: frozenset[str]) -> str:
        done = {*DONE} if self._dead is None else {*DONE, DEAD}
        return UNDELIVERED if states - done else ""


def undelivered(database: Database) -> set[str]:
    """Ids of events of which a delivery waits, is held or was moved aside."""
    wanted = select(EVENTS.c.key).join(DELIVERIES, DELIVERIES.c.event == EVENTS.c.position)
    with database.read() as connection:
        keys = connection.execute(wanted.where(DELIVERIES.c.state.not_in(DONE))).scalars()
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
    with database.write() as connection:
        named = or_(
            EVENTS.c.key.in_([stub["key"] for stub in stubs]),
            *(database.begins(EVENTS.c.key, answers_begin(event.id)) for event in events),
        )
        positions = list(connection.execute(select(EVENTS.c.position).where(named)).scalars())
        given = connection.execute(
            select(DELIVERIES.c.sink, func.count())
            .where(DELIVERIES.c.event.in_(positions), DELIVERIES.c.state == DELIVERED)
            .group_by(DELIVERIES.c.sink)
        )
        counts = {sink: count for sink, count in given}
        _drop(connection, positions)
        put = database.insert(EVENTS).on_conflict_do_nothing(index_elements=["key"])
        connection.execute(put, stubs)
    database.scrub()
    return counts


def _drop(connection: Connection, positions: Sequence[int]) -> None:
    """Remove phases and their deliveries.

    The newest delivery of all stays, empty and as delivered, with the key of its phase: its number
    must not be given again while a sink may still be at work on it.
    """
    theirs = DELIVERIES.c.event.in_(positions)
    newest = connection.execute(select(func.max(DELIVERIES.c.id))).scalar()
    gone_too = select(DELIVERIES.c.id).where(theirs)
    for table in (DIGESTS, HOLDS):
        if inspect(connection).has_table(table.name):  # else written by an older fusewatch
            connection.execute(delete(table).where(table.c.delivery.in_(gone_too)))
    if inspect(connection).has_table(TOLD.name):  # not where an older fusewatch wrote it
        connection.execute(delete(TOLD).where(TOLD.c.event.in_(positions)))
    connection.execute(delete(DELIVERIES).where(theirs, DELIVERIES.c.id != newest))
    connection.execute(update(DELIVERIES).where(theirs).values(state=DELIVERED, error=""))
    kept = set(connection.execute(select(DELIVERIES.c.event).where(theirs)).scalars())
    gone = [position for position in positions if position not in kept]
    connection.execute(delete(EVENTS).where(EVENTS.c.position.in_(gone)))
    connection.execute(update(EVENTS).where(EVENTS.c.position.in_(kept)).values(body=""))


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
        return _ENDED_DECODER.decode(body).end_ns
    except msgspec.DecodeError as error:
        raise StoreError(f"a stored event cannot be read: {error}") from error
