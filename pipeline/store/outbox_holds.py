"""Deliveries that are held for a while, and what is ruled of them.

A held delivery is in nobody's way: what comes after it may be told before it. Once it is let go
it takes the place that it had, so that within an event nothing overtakes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, insert, inspect, select, update

from pipeline.core.answered import EventAnswer, answer_of, answers_begin
from pipeline.store.database import Database
from pipeline.store.outbox_digests import bind, to_bind
from pipeline.store.outbox_rows import Delivery, deliveries_wanted, delivery_of
from pipeline.store.outbox_tables import CALLED_OFF, DELIVERIES, EVENTS, HELD, HOLDS

LATEST_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is to become of deliveries.

    Attributes:
        state: `PENDING`: tell it; `HELD`: not yet; `CALLED_OFF`: not at all.
        until_ns: Until when it is held, node time.
        reason: Why it is held or called off.
    """

    state: str
    until_ns: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a delivery is held.

    Attributes:
        until_ns: Until when, node time.
        reason: Why.
    """

    until_ns: int
    reason: str


class OutboxHolds:
    """What is held in an outbox.

    Args:
        database: The outbox's.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def recall(self) -> None:
        """Make all that is held due, to be ruled anew: what held it may have changed."""
        with self._db.write() as connection:
            connection.execute(update(HOLDS).values(until_ns=0))

    def due(self, now_ns: int) -> list[tuple[str, str]]:
        """Sink and event id of what is not to be held longer, in order of acceptance."""
        wanted = (
            select(DELIVERIES.c.sink, EVENTS.c.key)
            .join(HOLDS, HOLDS.c.delivery == DELIVERIES.c.id)
            .join(EVENTS, EVENTS.c.position == DELIVERIES.c.event)
            .where(HOLDS.c.until_ns <= now_ns)
            .order_by(DELIVERIES.c.id)
        )
        with self._db.read() as connection:
            rows = connection.execute(wanted).all()
        return list(dict.fromkeys((row.sink, row.key.rpartition(".")[0]) for row in rows))

    def deliveries(self) -> list[Delivery]:
        """What is held, in order of acceptance."""
        wanted = deliveries_wanted().where(DELIVERIES.c.state == HELD).order_by(DELIVERIES.c.id)
        with self._db.read() as connection:
            return [delivery_of(row) for row in connection.execute(wanted).mappings()]

    def of(self, ids: Collection[int]) -> dict[int, Hold]:
        """The holds of these deliveries, of those that are held."""
        with self._db.read() as connection:
            if not inspect(connection).has_table(HOLDS.name):
                return {}  # written by an older fusewatch
            rows = connection.execute(select(HOLDS).where(HOLDS.c.delivery.in_(list(ids))))
            return {row.delivery: Hold(row.until_ns, row.reason) for row in rows}

    def counts(self) -> Mapping[tuple[str, str], int]:
        """How many deliveries are held, by sink and reason."""
        wanted = (
            select(DELIVERIES.c.sink, HOLDS.c.reason, func.count())
            .join(HOLDS, HOLDS.c.delivery == DELIVERIES.c.id)
            .group_by(DELIVERIES.c.sink, HOLDS.c.reason)
        )
        with self._db.read() as connection:
            return {(sink, why): count for sink, why, count in connection.execute(wanted)}

    def open(self, event_id: str, called_off: str) -> dict[str, list[Delivery]]:
        """What of an event is held or may be told after all, in order, by sink.

        Args:
            event_id: Id of the event.
            called_off: How the reason begins for which what is called off may be told after all.
        """
        state = DELIVERIES.c.state
        back = (state == CALLED_OFF) & DELIVERIES.c.error.startswith(called_off, autoescape=True)
        wanted = deliveries_wanted().where(self._of_event(event_id), (state == HELD) | back)
        found: dict[str, list[Delivery]] = {}
        with self._db.read() as connection:
            for row in connection.execute(wanted.order_by(DELIVERIES.c.id)).mappings():
                found.setdefault(row["sink"], []).append(delivery_of(row))
        return found

    def told(self, event_id: str) -> set[str]:
        """Sinks that something of an event was let go to."""
        joined = DELIVERIES.join(EVENTS, EVENTS.c.position == DELIVERIES.c.event)
        wanted = select(DELIVERIES.c.sink).select_from(joined).where(self._of_event(event_id))
        gone = DELIVERIES.c.state.not_in((HELD, CALLED_OFF))
        with self._db.read() as connection:
            return set(connection.execute(wanted.where(gone).distinct()).scalars())

    def answers(self, event_id: str) -> list[EventAnswer]:
        """What was answered to an event, in the order in which that came."""
        begins = self._db.begins(EVENTS.c.key, answers_begin(event_id))
        wanted = select(EVENTS.c.body).where(begins, EVENTS.c.body != "")
        with self._db.read() as connection:
            bodies = connection.execute(wanted.order_by(EVENTS.c.position)).scalars().all()
        return [one for one in map(answer_of, bodies) if one is not None]

    def rule(
        self, ruled: Iterable[tuple[Sequence[Delivery], Ruling]], together: Collection[int] = ()
    ) -> None:
        """Make rulings durable, all or none.

        Args:
            ruled: Deliveries, and what is to become of them.
            together: Ids of those that are let go to be told in digests where they are over.
        """
        lanes: dict[tuple[str, str], list[Delivery]] = {}
        with self._db.write() as connection:
            for deliveries, ruling in ruled:
                apply(connection, [one.id for one in deliveries], ruling)
                for one in deliveries:
                    if one.id in together and one.answer is None:
                        lanes.setdefault((one.sink, one.event.scene), []).append(one)
            for waiting in lanes.values():
                left = sorted(waiting, key=lambda one: one.id)
                while bound := to_bind(left, LATEST_NS):
                    bind(connection, bound)
                    left = [one for one in left if one not in bound]

    def _of_event(self, event_id: str) -> ColumnElement[bool]:
        return self._db.begins(EVENTS.c.key, f"{event_id}.")


def apply(connection: Connection, ids: Sequence[int], ruling: Ruling) -> None:
    """Put a ruling down for these deliveries."""
    said = ruling.reason if ruling.state == CALLED_OFF else ""
    connection.execute(
        update(DELIVERIES)
        .where(DELIVERIES.c.id.in_(ids))
        .values(state=ruling.state, next_ns=0, error=said)
    )
    connection.execute(delete(HOLDS).where(HOLDS.c.delivery.in_(ids)))
    if ruling.state == HELD and ids:
        hold = {"until_ns": ruling.until_ns, "reason": ruling.reason}
        connection.execute(insert(HOLDS), [{"delivery": one} | hold for one in ids])
