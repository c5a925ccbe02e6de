"""The tables of the alert node's outbox, see `OutboxStore`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from pipeline.store.schema import Schema

VERSION = 1
PENDING, DELIVERED, DEAD = "pending", "delivered", "dead"
HELD, CALLED_OFF = "held", "called off"
DONE = (DELIVERED, CALLED_OFF)
"""States in which nothing is to be done for a delivery any more."""

METADATA = MetaData()
SCHEMA = Schema("outbox", VERSION, METADATA)
_POSITION = BigInteger().with_variant(Integer, "sqlite")

EVENTS = Table(
    "outbox_events",
    METADATA,
    Column("position", _POSITION, primary_key=True, autoincrement=True),
    Column("key", String(96), nullable=False, unique=True),
    Column("scene", String(64), nullable=False),
    Column("body", Text, nullable=False),
)
DELIVERIES = Table(
    "outbox_deliveries",
    METADATA,
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
DIGESTS = Table(
    "outbox_digests",
    METADATA,
    Column("delivery", _POSITION, primary_key=True, autoincrement=False),
    Column("key", String(64), nullable=False, index=True),
)
"""Which deliveries are told together, and under which idempotency key."""
HOLDS = Table(
    "outbox_holds",
    METADATA,
    Column("delivery", _POSITION, primary_key=True, autoincrement=False),
    Column("until_ns", BigInteger, nullable=False, index=True),
    Column("reason", String(32), nullable=False),
)
"""Until when each delivery that is held is held, and why."""
INCIDENTS = Table(
    "outbox_incidents",
    METADATA,
    Column("sink", String(128), primary_key=True),
    Column("incident", String(64), primary_key=True),
    Column("state", Text, nullable=False),
)
"""What each sink that groups knows of incidents that are not over."""

TOLD = Table(
    "outbox_told",
    METADATA,
    Column("event", _POSITION, primary_key=True, autoincrement=False),
    Column("sink", String(128), primary_key=True),
    Column("body", Text, nullable=False),
)
"""What such a sink is told instead of an event."""
