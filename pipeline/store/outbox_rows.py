"""One delivery of the outbox, and how it is read from the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import RowMapping, Select, and_, func, select

from pipeline.core.answered import EventAnswer, answer_key, answer_of
from pipeline.core.digest import Digest
from pipeline.core.event import Event
from pipeline.store.database import stored_event
from pipeline.store.outbox_tables import DELIVERIES, EVENTS, TOLD


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one sink.

    Attributes:
        id: Of this delivery, for `OutboxStore.revive`.
        sink: Name of the sink.
        event: What is delivered; of a digest its first phase.
        state: `PENDING`, `DELIVERED`, `DEAD`, `HELD` or `CALLED_OFF`.
        attempts: Tries so far, for any reason.
        strikes: Tries that count against this event rather than against the sink.
        error: Why the last try failed, or why it was called off; else empty.
        digest: What is delivered instead, together with other deliveries.
        members: Ids of all of them.
        answer: What is delivered instead: what was answered to the event.
    """

    id: int
    sink: str
    event: Event
    state: str
    attempts: int
    strikes: int
    error: str
    digest: Digest | None = None
    members: tuple[int, ...] = ()
    answer: EventAnswer | None = None

    @property
    def key(self) -> str:
        """Idempotency key of what is delivered."""
        if self.answer is not None:
            return answer_key(self.event.id, self.answer)
        return self.event.key if self.digest is None else self.digest.key


def deliveries_wanted() -> Select[Any]:
    """Every delivery with its event, to be narrowed down."""
    d = DELIVERIES.c
    return select(d.id, d.sink, d.state, d.attempts, d.strikes, d.error, EVENTS.c.body).join(
        EVENTS, EVENTS.c.position == d.event
    )


def as_told() -> Select[Any]:
    """Likewise, each with what its sink is told instead of the event, if it is."""
    d, told = DELIVERIES.c, TOLD.c
    body = func.coalesce(told.body, EVENTS.c.body).label("body")
    theirs = and_(told.event == d.event, told.sink == d.sink)
    return (
        select(d.id, d.sink, d.state, d.attempts, d.strikes, d.error, body)
        .join(EVENTS, EVENTS.c.position == d.event)
        .outerjoin(TOLD, theirs)
    )


def delivery_of(row: RowMapping) -> Delivery:
    """The delivery of a row of `deliveries_wanted`."""
    return Delivery(
        id=row["id"],
        sink=row["sink"],
        event=stored_event(row["body"]),
        state=row["state"],
        attempts=row["attempts"],
        strikes=row["strikes"],
        error=row["error"],
        answer=answer_of(row["body"]),
    )


def bound(head: Delivery, deliveries: Sequence[Delivery], key: str) -> Delivery:
    """A scene's oldest delivery, to be told together with all of these."""
    digest = Digest(key, tuple(one.event for one in deliveries))
    return replace(head, digest=digest, members=tuple(one.id for one in deliveries))
