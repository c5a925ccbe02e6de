"""Opening a store's database: SQLite beside the node, or PostgreSQL for many machines.

What is promised:

- A transaction is whole or absent, whatever is killed and when.
- A committed transaction survives SIGKILL and, with SQLite, loss of power: the write-ahead
  log is synced at each commit (``synchronous=FULL``). An ack to another node may therefore
  follow a commit at once. PostgreSQL promises the same by its own defaults.
- Each component (``fusion``, ``outbox``) has a row with its schema version. A database
  written by a newer fusewatch is refused, never guessed at. A table that an older one did
  not have is added when the database is opened for writing, and changes no version.

Writers take SQLite's write lock at the start of their transaction, so that two of them wait
for each other (`BUSY_S`) instead of failing halfway.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from pipeline.core.errors import StoreError
from pipeline.core.event import Event, from_json
from pipeline.core.redact import redact_url
from pipeline.store.connecting import BUSY_S, engine_of, is_sqlite, sqlite_file, url_of

SCRUB_MS = 500
"""Longest wait for readers before a log is emptied, milliseconds."""

CHECKED_BYTES = 256 * 2**20
"""SQLite files up to this size are checked for damage when they are opened."""

SCHEMA_TABLE = "fusewatch_schema"

_FIXES = (
    (("malformed", "not a database", "quick_check"), "damaged"),
    (("disk is full", "disk i/o"), "free space on its disk and start again"),
    (("is locked",), "another process holds it: stop that one, or wait"),
    (("readonly", "read-only", "unable to open"), "check the folder's owner and permissions"),
)


class Database:
    """One opened database of one component.

    Args:
        target: Path of an SQLite file, or a URL (``sqlite:///...``, ``postgresql+psycopg://...``).
        component: Name under which the schema version is kept.
        version: Schema version of this code.
        metadata: The component's tables.
        create: Make file and tables when absent; otherwise their absence is an error.

    Raises:
        StoreError: It cannot be opened, is damaged, or is of a newer version.
    """

    def __init__(
        self,
        target: str | Path,
        *,
        component: str,
        version: int,
        metadata: MetaData,
        create: bool = True,
    ) -> None:
        url = url_of(target)
        self.where = redact_url(url.database or "" if is_sqlite(url) else str(url))
        self._file = sqlite_file(url)
        self._prepare(create)
        self._engine = engine_of(url)
        self.insert = sqlite.insert if is_sqlite(url) else postgresql.insert
        try:
            self._check_damage()
            self._check_schema(component, version, metadata, create)
        except StoreError:
            self.close()
            raise

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write; committed at the end, undone on an error."""
        with self._translated(), self._engine.connect() as connection:
            connection.execution_options(fusewatch_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads and holds up nobody."""
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    def scrub(self, *, compact: bool = False) -> bool:
        """Take bytes of deleted rows out of the files; SQLite only, others do so themselves.

        Deleted rows are overwritten where they lay (``secure_delete``); this empties the
        write-ahead log, in which they were written once.

        Args:
            compact: Write the whole file anew, for rows deleted before fusewatch did so.

        Returns:
            False when others use the log just now: the next time will do.
        """
        if self._file is None:
            return True
        with self._translated(), closing(self._engine.raw_connection()) as connection:
            cursor = connection.cursor()
            if compact:
                cursor.execute("VACUUM")
            cursor.execute(f"PRAGMA busy_timeout={SCRUB_MS}")
            busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            cursor.execute(f"PRAGMA busy_timeout={round(BUSY_S * 1000)}")
        return not busy

    def close(self) -> None:
        """Let go of all connections; may be called twice."""
        self._engine.dispose()

    def _prepare(self, create: bool) -> None:
        if self._file is None:
            return
        if not create and not self._file.exists():
            raise StoreError(
                "there is no such store yet", where=self.where, fix="it is made by the first run"
            )
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make its folder: {error.strerror}",
                where=self.where,
                fix="check the path of 'data' and its permissions",
            ) from error

    def _check_damage(self) -> None:
        if self._file is None or not self._file.exists():
            return
        if self._file.stat().st_size > CHECKED_BYTES:
            return
        with self.read() as connection:
            verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if verdict != "ok":
            raise StoreError(f"the file is damaged: {verdict}", where=self.where, fix=self._salvage)

    def _check_schema(self, component: str, version: int, metadata: MetaData, create: bool) -> None:
        schema = _schema_table()
        with self.write() if create else self.read() as connection:
            if create:
                schema.create(connection, checkfirst=True)
            elif not inspect(connection).has_table(SCHEMA_TABLE):
                raise StoreError("not a fusewatch store", where=self.where)
            chosen = select(schema.c.version).where(schema.c.component == component)
            found = connection.execute(chosen).scalar()
            if create and found in (None, version):
                metadata.create_all(connection)
            if found is None and create:
                connection.execute(insert(schema).values(component=component, version=version))
            elif found is None:
                raise StoreError(f"holds no {component} tables", where=self.where)
            elif found != version:
                raise StoreError(
                    f"the store is of version {found}, this fusewatch reads version {version}",
                    where=self.where,
                    fix="upgrade fusewatch, or let it start with another 'data' folder",
                )

    @property
    def _salvage(self) -> str:
        name = self._file.name if self._file else ""
        return (
            f"stop fusewatch, save what is readable with "
            f"'sqlite3 {name} .recover | sqlite3 rescued.db', move rescued.db or nothing "
            f"into its place (its -wal and -shm files away) and start again"
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            text = redact_url(str(getattr(error, "orig", None) or error))
            raise StoreError(text, where=self.where, fix=self._fix(text)) from error

    def _fix(self, text: str) -> str:
        for signs, fix in _FIXES:
            if any(sign in text.lower() for sign in signs):
                return self._salvage if fix == "damaged" else fix
        return ""


def stored_event(body: str) -> Event:
    """An event as it was stored.

    Raises:
        StoreError: The row holds something else; the database was written by another hand.
    """
    try:
        return from_json(body)
    except msgspec.DecodeError as error:
        raise StoreError(f"a stored event cannot be read: {error}") from error


def _schema_table() -> Table:
    return Table(
        SCHEMA_TABLE,
        MetaData(),
        Column("component", String(32), primary_key=True),
        Column("version", Integer, nullable=False),
    )
