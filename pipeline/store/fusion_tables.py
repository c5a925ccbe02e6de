"""The tables of the fusion node's memory, see `FusionStore`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from pipeline.store.schema import Schema

VERSION = 1
"""Also of the bytes in them that say no version of their own: a revision rewrites those."""
METADATA = MetaData()
SCHEMA = Schema("fusion", VERSION, METADATA)
_POSITION = BigInteger().with_variant(Integer, "sqlite")

SCENES = Table(
    "fusion_scenes",
    METADATA,
    Column("scene", String(64), primary_key=True),
    Column("next_window", BigInteger, nullable=False),
    Column("alarm", LargeBinary, nullable=False),
)


def _state_of_scenes(name: str) -> Table:
    """A table of its own: databases made before it stay as they are, and lack it until written."""
    return Table(
        name,
        METADATA,
        Column("scene", String(64), primary_key=True),
        Column("state", LargeBinary, nullable=False),
    )


SCORING = _state_of_scenes("fusion_scoring")
SIGHT = _state_of_scenes("fusion_sight")
EVIDENCE = _state_of_scenes("fusion_evidence")
# A table of its own likewise: what `fusion_scenes.next_window` counts by.
HOPS = Table(
    "fusion_hops",
    METADATA,
    Column("scene", String(64), primary_key=True),
    Column("hop_ns", BigInteger, nullable=False),
)
# A table of its own likewise: the digest of each event's manifest, see `evidence_manifest`.
SEALS = Table(
    "fusion_seals",
    METADATA,
    Column("event", String(64), primary_key=True),
    Column("digest", String(64), nullable=False),
)
# A table of its own likewise; empty where one fusion node alone uses the store.
LEASES = Table(
    "fusion_leases",
    METADATA,
    Column("scene", String(64), primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("since_s", Double, nullable=False),
    Column("renewed_s", Double, nullable=False),
)
# A table of its own likewise; what the workers of a cluster say of themselves.
DIRECTORY = Table(
    "fusion_directory",
    METADATA,
    Column("scene", String(64), primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("public", Text, nullable=False),
)
# A table of its own likewise.
HELD = Table(
    "fusion_held",
    METADATA,
    Column("event", String(64), primary_key=True),
    Column("cause", String(64), nullable=False),
    Column("words", Text, nullable=False),
)
RESUME = Table(
    "fusion_resume",
    METADATA,
    Column("node", String(64), primary_key=True),
    Column("session", String(64), primary_key=True),
    Column("stream", String(255), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("age", BigInteger, nullable=False),
)
EVENTS = Table(
    "fusion_events",
    METADATA,
    Column("position", _POSITION, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("scene", String(64), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("start_ns", BigInteger, nullable=False),
    Column("end_ns", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("forwarded", Boolean, nullable=False, default=False),
    UniqueConstraint("id", "revision"),
)
Index("fusion_events_time", EVENTS.c.scene, EVENTS.c.end_ns)
Index(
    "fusion_events_waiting",
    EVENTS.c.position,
    sqlite_where=EVENTS.c.forwarded == false(),
    postgresql_where=EVENTS.c.forwarded == false(),
)
