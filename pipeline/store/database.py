"""Opening a store's database: SQLite beside the node, or PostgreSQL for many machines.

What is promised:

- A transaction is whole or absent, whatever is killed and when.
- A committed transaction survives SIGKILL and, with SQLite, loss of power: the write-ahead
  log is synced at each commit (``synchronous=FULL``). An ack to another node may therefore
  follow a commit at once. PostgreSQL promises the same by its own defaults.
- One of an older version is brought to today's, whole or not at all, by the first process that
  opens it for writing, an SQLite file with a copy beside it first; one of a newer version is
  refused and left alone, see `pipeline.store.schema`.

Writers take SQLite's write lock at the start of their transaction, so that two of them wait
for each other (`BUSY_S`) instead of failing halfway.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import structlog
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from pipeline.core.errors import StoreError, StoreVersionError
from pipeline.core.event import Event, from_json
from pipeline.core.redact import redact_url
from pipeline.store.connecting import BUSY_S, engine_of, is_sqlite, sqlite_file, url_of
from pipeline.store.copying import copy_beside
from pipeline.store.schema import Found, Schema, Standing, lock, look, mark

log = structlog.get_logger(__name__)

SCRUB_MS = 500
"""Longest wait for readers before a log is emptied, milliseconds."""

_LAST = "\U0010ffff"
"""The character that sorts after all others."""

CHECKED_BYTES = 256 * 2**20
"""SQLite files up to this size are checked for damage when they are opened."""

_FIXES = (
    (("malformed", "not a database", "quick_check"), "damaged"),
    (("disk is full", "disk i/o"), "free space on its disk and start again"),
    (("is locked", "lock timeout"), "another process holds it: stop that one, or wait"),
    (("readonly", "read-only", "unable to open"), "check the folder's owner and permissions"),
)


class Database:
    """One opened database of one component.

    Args:
        target: Path of an SQLite file, or a URL (``sqlite:///...``, ``postgresql+psycopg://...``).
        schema: The component's tables.
        create: Make file and tables when absent, bring older ones to today's version; otherwise
            either is an error.
        any_version: Open it whatever it holds, for who only asks `found`; changes nothing.

    Raises:
        StoreError: It cannot be opened, is damaged, or is of another version.
    """

    def __init__(
        self,
        target: str | Path,
        schema: Schema,
        *,
        create: bool = True,
        any_version: bool = False,
    ) -> None:
        url = url_of(target)
        self.where = redact_url(url.database or "" if is_sqlite(url) else str(url))
        self.file = sqlite_file(url)
        """The file; None where it is on a server or in memory."""
        self._schema = schema
        self._prepare(create and not any_version)
        self._engine = engine_of(url)
        self._by_bytes = is_sqlite(url)  # how it sorts; a server does by its language
        self.insert = sqlite.insert if self._by_bytes else postgresql.insert
        self.copy: Path | None = None
        """Copy of the file as it was before its version was changed by opening it."""
        try:
            self._check_damage()
            with self.read() as connection:
                self.found = look(connection, schema)
            if not any_version:
                self._insist(create)
        except StoreError as error:
            self.close()
            error.at(self.where)
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

    def begins(self, column: ColumnElement[str], text: str) -> ColumnElement[bool]:
        """Whether what stands in a column begins with a text; its case counts."""
        if self._by_bytes:  # SQLite scans the whole table for LIKE, but not for a range
            return (column >= text) & (column < text + _LAST)
        return column.startswith(text, autoescape=True)

    def scrub(self, *, compact: bool = False) -> bool:
        """Take bytes of deleted rows out of the files; SQLite only, others do so themselves.

        Deleted rows are overwritten where they lay (``secure_delete``); this empties the
        write-ahead log, in which they were written once.

        Args:
            compact: Write the whole file anew, for rows deleted before fusewatch did so.

        Returns:
            False when others use the log just now: the next time will do.
        """
        if self.file is None:
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
        if self.file is None:
            return
        if not create and not self.file.exists():
            raise StoreError(
                "there is no such store yet", where=self.where, fix="it is made by the first run"
            )
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make its folder: {error.strerror}",
                where=self.where,
                fix="check the path of 'data' and its permissions",
            ) from error

    def _check_damage(self) -> None:
        if self.file is None or not self.file.exists():
            return
        if self.file.stat().st_size > CHECKED_BYTES:
            return
        with self.read() as connection:
            verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if verdict != "ok":
            raise StoreError(f"the file is damaged: {verdict}", where=self.where, fix=self._salvage)

    def _insist(self, create: bool) -> None:
        if create and self.found.standing is not Standing.CURRENT:
            self._settle()
        elif self.found.standing not in (Standing.CURRENT, Standing.GROWING):
            raise self._refusal(self.found)

    def _settle(self) -> None:
        """Make the tables, or bring them to today's version; others may try so at once."""
        with self._exclusive() as connection:
            found = look(connection, self._schema)
            match found.standing:
                case Standing.CURRENT:
                    return
                case Standing.ABSENT | Standing.GROWING:
                    self._schema.metadata.create_all(connection)
                case Standing.UNMARKED:
                    self._refuse_foreign(connection)
                case Standing.OLDER:
                    self._upgrade(connection, found.version or 0)
                case Standing.NEWER:
                    raise self._refusal(found)
            mark(connection, self._schema)

    def _upgrade(self, connection: Connection, version: int) -> None:
        from pipeline.store.upgrading import upgrade

        if self.file is not None:
            self.copy = copy_beside(self.file, version)
        upgrade(connection, self._schema, version)
        log.info(
            "store upgraded",
            store=self._schema.component,
            where=self.where,
            from_version=version,
            to_version=self._schema.version,
            copy=str(self.copy or ""),
        )

    def _refuse_foreign(self, connection: Connection) -> None:
        """Tables without a version are ours only if they are as ours."""
        from pipeline.store.upgrading import differences

        told = differences(connection, self._schema)
        if told:
            raise StoreVersionError(
                f"holds {self._schema.component} tables of no known version: {told[0]}",
                fix="they were made by another program: give fusewatch a database of its own",
            )

    def _refusal(self, found: Found) -> StoreError:
        own = self._schema
        if not found.marked:
            return StoreError("not a fusewatch store")
        if found.version is None:
            return StoreError(f"holds no {own.component} tables")
        what = (
            f"the store is of version {found.version}, this fusewatch reads version {own.version}"
        )
        if found.standing is Standing.NEWER:
            fix = "upgrade fusewatch, or let it start with another 'data' folder"
            return StoreVersionError(what, fix=fix)
        fix = "start its node, or run 'fusewatch store upgrade', which brings it there"
        return StoreError(what, fix=fix)

    @contextmanager
    def _exclusive(self) -> Iterator[Connection]:
        """A transaction that may change tables, one process at a time."""
        with self._translated(), self._engine.connect() as connection:
            connection.execution_options(fusewatch_write=True)
            if self.file is not None:  # a table is rebuilt while others refer to it
                _refer(connection, "OFF")
            try:
                with connection.begin():
                    lock(connection)
                    yield connection
            finally:
                if self.file is not None:
                    _refer(connection, "ON")

    @property
    def _salvage(self) -> str:
        name = self.file.name if self.file else ""
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


def _refer(connection: Connection, state: str) -> None:
    """Have SQLite check foreign keys, or not; it can only be told between transactions."""
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA foreign_keys={state}")
    cursor.close()
