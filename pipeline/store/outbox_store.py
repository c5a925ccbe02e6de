"""The alert node's outbox: every accepted event, and one delivery of it per sink.

Rules, kept by the database alone:

- An event and its deliveries are accepted in one transaction, once per `Event.key`.
- Per sink, the events of one scene go in the order in which they were accepted: a later one
  is not due before the earlier one was delivered or moved aside.
- A delivery ends as *delivered*, as *dead* (moved aside, listed, revivable) or as *called off*
  (ruled to be needed no more, with the reason), never by itself: nothing here forgets an event
  that a sink has not taken.
- What is held (quiet hours, escalation; `pipeline.store.outbox_holds`) is out of that order until
  it is let go.
- Deliveries that are told together, as a digest, are bound together before they are first sent,
  see `pipeline.store.outbox_digests`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from sqlalchemy import (
    ColumnElement,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)

from pipeline.core.answered import EventAnswer, answer_key, answered_json
from pipeline.core.event import Event, to_json
from pipeline.core.told_incident import ToldIncident
from pipeline.store import outbox_incidents
from pipeline.store.database import Database, stored_event
from pipeline.store.outbox_digests import bind, digests_of, to_bind
from pipeline.store.outbox_holds import OutboxHolds, Ruling, apply
from pipeline.store.outbox_incidents import Grouped
from pipeline.store.outbox_rows import Delivery, as_told, bound, deliveries_wanted, delivery_of
from pipeline.store.outbox_tables import (
    DEAD,
    DELIVERED,
    DELIVERIES,
    DIGESTS,
    DONE,
    EVENTS,
    PENDING,
    SCHEMA,
    TOLD,
)

BACKLOG = 4_000
"""Phases of one scene that are looked at for a digest."""


class OutboxStore:
    """Durable queue of deliveries. Safe to share by threads.

    Args:
        target: Path of an SQLite file, or a database URL.
        create: Make it when absent; otherwise its absence is an error.

    Raises:
        StoreError: See `Database`.
    """

    def __init__(self, target: str | Path, *, create: bool = True) -> None:
        self._db = Database(target, SCHEMA, create=create)
        self.holds = OutboxHolds(self._db)
        """What is held."""

    @property
    def database(self) -> Database:
        """The database, for what removes rows of it."""
        return self._db

    def accept(
        self,
        event: Event,
        sinks: Sequence[str],
        *,
        answer: EventAnswer | None = None,
        rulings: Mapping[str, Ruling] | None = None,
        earlier: Iterable[tuple[Sequence[Delivery], Ruling]] = (),
        grouped: Sequence[Grouped] = (),
    ) -> bool:
        """Take an event in for all `sinks`; False when its key was taken in before.

        Args:
            event: The event.
            sinks: Whom to tell.
            answer: What was answered to it: that is told then.
            rulings: By sink, what is to become of its delivery instead of being told at once.
            earlier: What is to become of earlier deliveries with it.
            grouped: What those of them that group are told instead. That goes in order with what
                 else they are told of the incident, not of the event's scene.

        Raises:
            StoreError: It could not be written; it was not accepted.
        """
        key = event.key if answer is None else answer_key(event.id, answer)
        body = to_json(event) if answer is None else answered_json(event, answer)
        put = self._db.insert(EVENTS).on_conflict_do_nothing(index_elements=["key"])
        row = {"key": key, "scene": event.scene, "body": body.decode()}
        with self._db.write() as connection:
            position = connection.execute(put.values(row).returning(EVENTS.c.position)).scalar()
            if position is None:
                return False
            for deliveries, ruling in earlier:
                apply(connection, [one.id for one in deliveries], ruling)
            outbox_incidents.put(self._db, connection, position, grouped)
            told: dict[str, Event | None] = dict.fromkeys(sinks, event)
            told |= {one.sink: one.told for one in grouped}
            for sink, one in told.items():
                if one is None:
                    continue
                new = {"event": position, "scene": one.scene, "sink": sink, "state": PENDING}
                made = connection.execute(insert(DELIVERIES).values(new)).inserted_primary_key
                if rulings and sink in rulings and made:
                    apply(connection, [made[0]], rulings[sink])
        return True

    def incidents(self, sink: str) -> Mapping[str, ToldIncident]:
        """What a sink that groups knows of each incident that is not over."""
        with self._db.read() as connection:
            return outbox_incidents.known_to(connection, sink)

    def due(
        self,
        sink: str,
        now_ns: int,
        *,
        busy: Collection[str] = (),
        over_before_ns: int | None = None,
    ) -> Delivery | None:
        """What to try next: of each scene's oldest, the one longest due at `now_ns`.

        Args:
            sink: Name of the sink.
            now_ns: Node time.
            busy: Scenes of which something is on its way already.
            over_before_ns: Tell together what is over since then, see `pipeline.core.digest`;
                None: tell each phase by itself.
        """
        heads = (
            select(func.min(DELIVERIES.c.event))
            .where(DELIVERIES.c.sink == sink, DELIVERIES.c.state == PENDING)
            .where(DELIVERIES.c.scene.not_in(busy))
            .group_by(DELIVERIES.c.scene)
        )
        wanted = (
            as_told()
            .where(DELIVERIES.c.sink == sink, DELIVERIES.c.event.in_(heads))
            .where(DELIVERIES.c.next_ns <= now_ns)
            .order_by(DELIVERIES.c.next_ns, DELIVERIES.c.event)
            .limit(1)
        )
        with self._db.read() as connection:
            row = connection.execute(wanted).mappings().one_or_none()
        if row is None:
            return None
        head = delivery_of(row)
        if over_before_ns is None or head.answer is not None:
            return head
        return self._together(head, over_before_ns)

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
        wanted = deliveries_wanted().where(DELIVERIES.c.state == DEAD).order_by(DELIVERIES.c.id)
        if sink is not None:
            wanted = wanted.where(DELIVERIES.c.sink == sink)
        with self._db.read() as connection:
            return [delivery_of(row) for row in connection.execute(wanted).mappings()]

    def deliveries(self, event_id: str) -> list[Delivery]:
        """Every delivery of every phase of the events whose id begins with `event_id`."""
        begins = self._db.begins(EVENTS.c.key, event_id)
        with self._db.read() as connection:
            rows = connection.execute(deliveries_wanted().where(begins).order_by(DELIVERIES.c.id))
            return [delivery_of(row) for row in rows.mappings()]

    def told(self, event_id: str) -> set[str]:
        """Sinks that an earlier phase of an event goes to or went to."""
        begins = self._db.begins(EVENTS.c.key, f"{event_id}.")
        joined = DELIVERIES.join(EVENTS, EVENTS.c.position == DELIVERIES.c.event)
        with self._db.read() as connection:
            wanted = select(DELIVERIES.c.sink).select_from(joined).where(begins).distinct()
            return set(connection.execute(wanted).scalars())

    def digests(self, ids: Collection[int]) -> dict[int, str]:
        """Key of the digest that each of these deliveries is told in, of those that are."""
        with self._db.read() as connection:
            return digests_of(connection, ids)

    def oldest_ns(self) -> Mapping[str, int]:
        """Per sink, when the oldest phase that waits for it ended, site time."""
        first = (
            select(DELIVERIES.c.sink, func.min(DELIVERIES.c.event).label("event"))
            .where(DELIVERIES.c.state == PENDING)
            .group_by(DELIVERIES.c.sink)
            .subquery()
        )
        wanted = select(first.c.sink, EVENTS.c.body).join(
            EVENTS, EVENTS.c.position == first.c.event
        )
        with self._db.read() as connection:
            rows = connection.execute(wanted).all()
        return {row.sink: stored_event(row.body).end_ns for row in rows}

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
        """Deliveries per sink and state; those of `PENDING`, `DELIVERED` and `DEAD` always."""
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
        open_ends = select(DELIVERIES.c.event).where(DELIVERIES.c.state.not_in(DONE))
        newest = select(func.max(EVENTS.c.position)).scalar_subquery()
        done = select(EVENTS.c.position).where(
            and_(EVENTS.c.position <= newest - keep, EVENTS.c.position.not_in(open_ends))
        )
        with self._db.write() as connection:
            connection.execute(delete(DELIVERIES).where(DELIVERIES.c.event.in_(done)))
            gone = DIGESTS.c.delivery.not_in(select(DELIVERIES.c.id))
            connection.execute(delete(DIGESTS).where(gone))
            connection.execute(delete(TOLD).where(TOLD.c.event.in_(done)))
            return connection.execute(delete(EVENTS).where(EVENTS.c.position.in_(done))).rowcount

    def close(self) -> None:
        """Let go of the database; may be called twice."""
        self._db.close()

    def _together(self, head: Delivery, before_ns: int) -> Delivery:
        """A scene's oldest delivery with all that is to be told together with it."""
        key = self.digests([head.id]).get(head.id)
        if key is not None:
            same = select(DIGESTS.c.delivery).where(DIGESTS.c.key == key)
            return bound(head, self._backlog(head, DELIVERIES.c.id.in_(same)), key)
        if head.event.end_ns > before_ns:
            return head
        apart = DELIVERIES.c.id.not_in(select(DIGESTS.c.delivery))
        waiting = [one for one in self._backlog(head, apart) if one.answer is None]
        together = to_bind(waiting, before_ns)
        if head.id not in {one.id for one in together}:
            return head
        with self._db.write() as connection:
            key = bind(connection, together)
        return bound(head, together, key)

    def _backlog(self, head: Delivery, *which: ColumnElement[bool]) -> list[Delivery]:
        """What waits for a sink of the scene of `head`, in order."""
        d = DELIVERIES.c
        same = (d.sink == head.sink, d.scene == head.event.scene, d.state == PENDING, *which)
        wanted = as_told().where(*same).order_by(d.event).limit(BACKLOG)
        with self._db.read() as connection:
            return [delivery_of(row) for row in connection.execute(wanted).mappings()]

    def _settle(self, delivery: Delivery, **changes: str | int) -> None:
        ids = delivery.members or (delivery.id,)
        with self._db.write() as connection:
            connection.execute(
                update(DELIVERIES)
                .where(DELIVERIES.c.id.in_(ids))
                .values(attempts=delivery.attempts + 1, **changes)
            )
