"""Bringing the tables of an older version to today's, by Alembic's operations.

Alembic takes a while to import, so nothing here is imported before a store needs it. Its own
table of versions and its global ``op`` are not used: the version stands in the store's own table
(`pipeline.store.schema`), which programs without Alembic know too, and a revision is handed its
operations, so that threads may upgrade different stores.
"""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Column, Connection, Constraint, Index, Table

from pipeline.core.errors import StoreError, StoreVersionError
from pipeline.store.schema import GREW, Schema


def upgrade(connection: Connection, schema: Schema, found: int) -> None:
    """Apply every revision after `found`, in order, within the transaction of `connection`.

    Raises:
        StoreVersionError: No revision leads on from that version.
        StoreError: Rows would be left that refer to nothing.
    """
    steps = revisions(schema)
    known = [number_of(step) for step in steps]
    if found not in known or known[-1] != schema.version:
        raise StoreVersionError(
            f"its {schema.component} tables are of version {found}; nothing leads from there to "
            f"version {schema.version}",
            fix="let an older fusewatch that reads it upgrade it first, or start with another "
            "'data' folder",
        )
    # Version 1 may lack tables; its revision makes those that are missing.
    first = known.index(found) + (found != GREW)
    operations = Operations(MigrationContext.configure(connection))
    for step in steps[first:]:
        step.module.upgrade(operations)
    _refuse_dangling(connection)


def differences(connection: Connection, schema: Schema) -> list[str]:
    """In what the component's tables differ from what they should be, in words; none if equal."""
    own = schema.metadata.tables

    def ours(name: str | None, kind: str, parents: object) -> bool:
        del parents
        return kind != "table" or name in own

    context = MigrationContext.configure(
        connection,
        opts={"include_name": ours, "compare_type": True},
    )
    return [_in_words(one) for one in compare_metadata(context, schema.metadata)]


def revisions(schema: Schema) -> list[Script]:
    """All revisions of a component, from the first to the last.

    Raises:
        StoreError: They are not one chain without gaps.
    """
    folder = str(schema.revisions)
    chain = list(ScriptDirectory(folder, version_locations=[folder]).walk_revisions())[::-1]
    if [number_of(step) for step in chain] != list(range(1, len(chain) + 1)):
        raise StoreError("its revisions do not follow each other", where=folder)
    return chain


def number_of(step: Script) -> int:
    """The version that a revision leads to: its id."""
    return int(step.revision)


def _refuse_dangling(connection: Connection) -> None:
    """SQLite rebuilds a table with its foreign keys switched off; they must hold afterwards."""
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise StoreError(f"rows of {broken[0]} would refer to nothing; nothing was changed")


def _in_words(difference: object) -> str:
    """Alembic's ``("add_table", Table)``, or a list of changes of one column."""
    if isinstance(difference, list):
        return "; ".join(_in_words(one) for one in difference)
    kind, *rest = difference if isinstance(difference, tuple) else (difference,)
    named = [
        one.name if isinstance(one, Table | Column | Index | Constraint) else one for one in rest
    ]
    return " ".join((str(kind), *(one for one in named if isinstance(one, str))))
