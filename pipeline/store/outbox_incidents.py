"""What sinks that group know of each incident, and what they are told of it instead of an event.

Both are written in the transaction that accepts the event, so that a kill at any time leaves
neither behind the other, and an event that comes twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, delete, select

from pipeline.core.event import Event, to_json
from pipeline.core.told_incident import ToldIncident
from pipeline.store.database import Database
from pipeline.store.outbox_tables import INCIDENTS, TOLD

_TOLD_INCIDENT_DECODER = msgspec.json.Decoder(ToldIncident)


@dataclass(frozen=True, slots=True)
class Grouped:
    """One event for one sink that groups.

    Attributes:
        sink: Name of the sink.
        incident: Id of the first event of the incident.
        known: What the sink knows of the incident after it.
        told: What it is told; None: nothing.
    """

    sink: str
    incident: str
    known: ToldIncident
    told: Event | None


def put(database: Database, link: Connection, position: int, grouped: Sequence[Grouped]) -> None:
    """Keep what sinks know after an event, and what they are told of it."""
    for one in grouped:
        mine = (INCIDENTS.c.sink == one.sink) & (INCIDENTS.c.incident == one.incident)
        link.execute(delete(INCIDENTS).where(mine))
        if not one.known.over:
            state = msgspec.json.encode(one.known, order="deterministic").decode()
            row = {"sink": one.sink, "incident": one.incident, "state": state}
            link.execute(database.insert(INCIDENTS).values(**row))
        if one.told is not None:
            body = to_json(one.told).decode()
            told = {"event": position, "sink": one.sink, "body": body}
            link.execute(database.insert(TOLD).values(**told))


def known_to(link: Connection, sink: str) -> Mapping[str, ToldIncident]:
    """What a sink knows of each incident that is not over, by the id of its first event."""
    rows = link.execute(select(INCIDENTS).where(INCIDENTS.c.sink == sink))
    return {row.incident: _TOLD_INCIDENT_DECODER.decode(row.state) for row in rows}
