"""Which version a store's tables are of, and what that means for who opens it.

Rules:

- `SCHEMA_TABLE` has a row for each component (``fusion``, ``outbox``, ...) with the version of
  its tables. A version says exactly which tables there are, but for version 1: it grew tables
  before the first release, and those that are missing are added.
- A new store is made as the tables are described (`Schema.metadata`), one of an older version
  is brought there by the revisions of `pipeline.store.migrations`. A test keeps the two equal.
- One of a newer version is refused, never guessed at.
- All changes are made in one transaction by one process at a time (`lock`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite

SCHEMA_TABLE = "fusewatch_schema"
GREW = 1
"""The version of which tables may be missing."""

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x66757365  # any number that no other program takes on the same PostgreSQL database


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one component.

    Attributes:
        component: Its name.
        version: The version that this code reads and writes.
        metadata: The tables, as of that version.
        migrations: Folder that has the component's folder of revisions.
    """

    component: str
    version: int
    metadata: MetaData
    migrations: Path = MIGRATIONS

    @property
    def revisions(self) -> Path:
        """Folder of the revisions."""
        return self.migrations / self.component


class Standing(StrEnum):
    """How a store stands to the code that opens it."""

    CURRENT = "current"
    ABSENT = "absent"  # no such tables
    GROWING = "growing"  # of `GREW`, lacking tables
    UNMARKED = "unmarked"  # tables, but no version
    OLDER = "older"
    NEWER = "newer"


class Found(NamedTuple):
    """What is in a database.

    Attributes:
        version: Version of the component's tables; None where none is written down.
        marked: Whether any component has written down its version.
        standing: What follows.
    """

    version: int | None
    marked: bool
    standing: Standing


def look(connection: Connection, schema: Schema) -> Found:
    """What a database holds of a component, by two small queries."""
    there = set(inspect(connection).get_table_names())
    missing = schema.metadata.tables.keys() - there
    version, table = None, _schema_table()
    if SCHEMA_TABLE in there:
        own = select(table.c.version).where(table.c.component == schema.component)
        version = connection.execute(own).scalar()
    return Found(version, SCHEMA_TABLE in there, _standing(version, schema, missing))


def _standing(version: int | None, schema: Schema, missing: set[str]) -> Standing:
    if version is None:
        none = missing == schema.metadata.tables.keys()
        return Standing.ABSENT if none else Standing.UNMARKED
    if version != schema.version:
        return Standing.OLDER if version < schema.version else Standing.NEWER
    return Standing.GROWING if missing and version == GREW else Standing.CURRENT


def lock(connection: Connection) -> None:
    """Be the only one who changes tables until the transaction ends.

    With SQLite the transaction itself is that, if it was begun as a writing one.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def mark(connection: Connection, schema: Schema) -> None:
    """Write down that a component's tables are of the version of `schema`."""
    table = _schema_table()
    table.create(connection, checkfirst=True)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    put = dialect.insert(table).values(component=schema.component, version=schema.version)
    said = {"version": put.excluded.version}
    connection.execute(put.on_conflict_do_update(index_elements=["component"], set_=said))


def _schema_table() -> Table:
    return Table(
        SCHEMA_TABLE,
        MetaData(),
        Column("component", String(32), primary_key=True),
        Column("version", Integer, nullable=False),
    )
