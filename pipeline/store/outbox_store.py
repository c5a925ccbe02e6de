"""The alert node's outbox: every accepted event, and one delivery of it per sink.

Rules, kept by the database alone:

- An event and its deliveries are accepted in one transaction, once per `Event.key`.
- Per sink, the events of one scene go in the order in which they were accepted: a later one
  is not due before the earlier one was delivered or moved aside.
- A delivery ends as *delivered* or as *dead* (moved aside, listed, revivable), never by
  itself: nothing here forgets an event that a sink has not taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    RowMapping,
    Select,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)

from pipeline.core.event import Event, to_json
from pipeline.store.database import Database, stored_event

VERSION = 1
PENDING, DELIVERED, DEAD = "pending", "delivered", "dead"

_METADATA = MetaData()
_POSITION = BigInteger().with_variant(Integer, "sqlite")

EVENTS = Table(
    "outbox_events",
    _METADATA,
    Column("position", _POSITION, primary_key=True, autoincrement=True),
    Column("key", String(96), nullable=False, unique=True),
    Column("scene", String(64), nullable=False),
    Column("body", Text, nullable=False),
)
DELIVERIES = Table(
    "outbox_deliveries",
    _METADATA,
    Column("id", _POSITION, primary_key=True, autoincrement=True),
    Column("event", _POSITION, ForeignKey(EVENTS.c.position), nullable=False),
    Column("scene", String(64), nullable=False),
    Column("sink", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("strikes", Integer, nullable=False, default=0),
    Column("next_ns", BigInteger, nullable=False, default=0),
    Column("error", Text, nullable=False, default=""),
    UniqueConstraint("event", "sink"),
)
Index(
    "outbox_deliveries_heads",
    DELIVERIES.c.sink,
    DELIVERIES.c.state,
    DELIVERIES.c.scene,
    DELIVERIES.c.event,
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one sink.

    Attributes:
        id: Of this delivery, for `OutboxStore.revive`.
        sink: Name of the sink.
        event: What is delivered.
        state: `PENDING`, `DELIVERED` or `DEAD`.
        attempts: Tries so far, for any reason.
        strikes: Tries that count against this event rather than against the sink.
        error: Why the last try failed; empty before the first.
    """

    id: int
    sink: str
    event: Event
    state: str
    attempts: int
    strikes: int
    error: str


class OutboxStore:
    """Durable queue of deliveries. Safe to share by threads.

    Args:
        target: Path of an SQLite file, or a database URL.
        create: Make it when absent; otherwise its absence is an error.

    Raises:
        StoreError: See `Database`.
    """

    def __init__(self, target: str | Path, *, create: bool = True) -> None:
        self._db = Database(
            target, component="outbox", version=VERSION, metadata=_METADATA, create=create
        )

    @property
    def database(self) -> Database:
        """The database, for what removes rows of it."""
        return self._db

    def accept(self, event: Event, sinks: Sequence[str]) -> bool:
        """Take an event in for all `sinks`; False when its key was taken in before.

        Raises:
            StoreError: It could not be written; it was not accepted.
        """
        put = self._db.insert(EVENTS).on_conflict_do_nothing(index_elements=["key"])
        body = to_json(event).decode()
        with self._db.write() as connection:
            position = connection.execute(
                put.values(key=event.key, scene=event.scene, body=body).returning(EVENTS.c.position)
            ).scalar()
            if position is None:
                return False
            if sinks:
                connection.execute(
                    insert(DELIVERIES),
                    [
                        {"event": position, "scene": event.scene, "sink": sink, "state": PENDING}
                        for sink in dict.fromkeys(sinks)
                    ],
                )
        return True

    def due(self, sink: str, now_ns: int) -> Delivery | None:
        """What to try next: of each scene's oldest, the one longest due at `now_ns`."""
        heads = (
            select(func.min(DELIVERIES.c.event))
            .where(DELIVERIES.c.sink == sink, DELIVERIES.c.state == PENDING)
            .group_by(DELIVERIES.c.scene)
        )
        wanted = (
            _deliveries()
            .where(DELIVERIES.c.sink == sink, DELIVERIES.c.event.in_(heads))
            .where(DELIVERIES.c.next_ns <= now_ns)
            .order_by(DELIVERIES.c.next_ns, DELIVERIES.c.event)
            .limit(1)
        )
        with self._db.read() as connection:
            row = connection.execute(wanted).mappings().one_or_none()
        return None if row is None else _delivery(row)

    def delivered(self, delivery: Delivery) -> None:
        """The sink has it for good."""
        self._settle(delivery, state=DELIVERED, error="")

    def retry(self, delivery: Delivery, at_ns: int, error: str, *, strike: bool = False) -> None:
        """It failed and is due again at `at_ns`; `strike` counts against the event itself."""
        strikes = delivery.strikes + int(strike)
        self._settle(delivery, state=PENDING, next_ns=at_ns, error=error, strikes=strikes)

    def dead(self, delivery: Delivery, error: str) -> None:
        """Move it aside; the next event of its scene becomes due."""
        self._settle(delivery, state=DEAD, error=error, strikes=delivery.strikes + 1)

    def dead_letters(self, sink: str | None = None) -> list[Delivery]:
        """What was moved aside and not revived, in order of acceptance."""
        wanted = _deliveries().where(DELIVERIES.c.state == DEAD).order_by(DELIVERIES.c.id)
        if sink is not None:
            wanted = wanted.where(DELIVERIES.c.sink == sink)
        with self._db.read() as connection:
            return [_delivery(row) for row in connection.execute(wanted).mappings()]

    def deliveries(self, event_id: str) -> list[Delivery]:
        """Every delivery of every phase of the events whose id begins with `event_id`."""
        begins = EVENTS.c.key.startswith(event_id, autoescape=True)
        with self._db.read() as connection:
            rows = connection.execute(_deliveries().where(begins).order_by(DELIVERIES.c.id))
            return [_delivery(row) for row in rows.mappings()]

    def revive(self, ids: Iterable[int] | None = None) -> int:
        """Make dead letters due again, all when `ids` is None; returns how many."""
        chosen = update(DELIVERIES).where(DELIVERIES.c.state == DEAD)
        if ids is not None:
            chosen = chosen.where(DELIVERIES.c.id.in_(list(ids)))
        with self._db.write() as connection:
            fresh = chosen.values(state=PENDING, next_ns=0, strikes=0)
            return connection.execute(fresh).rowcount

    def wake(self) -> None:
        """Make everything pending due now: waits set by an earlier run mean nothing any more."""
        with self._db.write() as connection:
            connection.execute(
                update(DELIVERIES).where(DELIVERIES.c.state == PENDING).values(next_ns=0)
            )

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Deliveries per sink and state (`PENDING`, `DELIVERED`, `DEAD`)."""
        wanted = select(DELIVERIES.c.sink, DELIVERIES.c.state, func.count()).group_by(
            DELIVERIES.c.sink, DELIVERIES.c.state
        )
        found: dict[str, dict[str, int]] = {}
        with self._db.read() as connection:
            for sink, state, count in connection.execute(wanted):
                found.setdefault(sink, {PENDING: 0, DELIVERED: 0, DEAD: 0})[state] = count
        return found

    def prune(self, keep: int = 10_000) -> int:
        """Forget events older than the newest `keep` that every sink has taken; how many.

        A forgotten key could be accepted again, so `keep` is far more than a fusion node
        ever sends anew.
        """
        open_ends = select(DELIVERIES.c.event).where(DELIVERIES.c.state != DELIVERED)
        newest = select(func.max(EVENTS.c.position)).scalar_subquery()
        done = select(EVENTS.c.position).where(
            and_(EVENTS.c.position <= newest - keep, EVENTS.c.position.not_in(open_ends))
        )
        with self._db.write() as connection:
            connection.execute(delete(DELIVERIES).where(DELIVERIES.c.event.in_(done)))
            return connection.execute(delete(EVENTS).where(EVENTS.c.position.in_(done))).rowcount

    def close(self) -> None:
        """Let go of the database; may be called twice."""
        self._db.close()

    def _settle(self, delivery: Delivery, **changes: str | int) -> None:
        with self._db.write() as connection:
            connection.execute(
                update(DELIVERIES)
                .where(DELIVERIES.c.id == delivery.id)
                .values(attempts=delivery.attempts + 1, **changes)
            )


def _deliveries() -> Select[Any]:
    d = DELIVERIES.c
    return select(d.id, d.sink, d.state, d.attempts, d.strikes, d.error, EVENTS.c.body).join(
        EVENTS, EVENTS.c.position == d.event
    )


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(
        id=row["id"],
        sink=row["sink"],
        event=stored_event(row["body"]),
        state=row["state"],
        attempts=row["attempts"],
        strikes=row["strikes"],
        error=row["error"],
    )
