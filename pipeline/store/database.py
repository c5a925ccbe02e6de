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
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from pipeline.core.errors import DependencyMissing, StoreError
from pipeline.core.event import Event, from_json
from pipeline.core.redact import redact_url

BUSY_S = 15.0
"""Longest wait of a writer for another writer, seconds."""

SCRUB_MS = 500
"""Longest wait for readers before a log is emptied, milliseconds."""

HELD_S = 10.0
"""Longest time that a process may rest within a transaction (PostgreSQL), seconds."""

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
        url = _url(target)
        self.where = redact_url(url.database or "" if _is_sqlite(url) else str(url))
        self._file = _sqlite_file(url)
        self._prepare(create)
        self._engine = _engine(url)
        self.insert = sqlite.insert if _is_sqlite(url) else postgresql.insert
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


def _url(target: str | Path) -> URL:
    if isinstance(target, Path):
        return URL.create("sqlite", database=str(target))
    try:
        url = make_url(target)
    except ArgumentError as error:
        raise StoreError(
            f"{redact_url(target)!r} is not a database URL",
            fix="write sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE",
        ) from error
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise StoreError(
            f"a store cannot be kept in {url.get_backend_name()}",
            fix="use an sqlite or a postgresql URL",
        )
    return url


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _sqlite_file(url: URL) -> Path | None:
    if not _is_sqlite(url) or url.database in {None, "", ":memory:"}:
        return None
    return Path(str(url.database))


def _engine(url: URL) -> Engine:
    try:
        if not _is_sqlite(url):
            return create_engine(url, pool_pre_ping=True, connect_args=_patience(url))
        engine = create_engine(url, connect_args={"timeout": BUSY_S})
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise DependencyMissing(
            f"the driver of {url.drivername!r} is not installed",
            fix="pip install 'fusewatch[postgres]'",
        ) from error
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _patience(url: URL) -> dict[str, str]:
    """How long PostgreSQL lets a process that sleeps within a transaction keep its locks.

    Without it, one that is stopped halfway through a commit would hold up all others.
    """
    if not url.get_driver_name().startswith("psycopg"):
        return {}
    held_ms, wait_ms = round(HELD_S * 1e3), round(BUSY_S * 1e3)
    options = f"-c idle_in_transaction_session_timeout={held_ms} -c lock_timeout={wait_ms}"
    return {"options": options}


def _configure_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - DBAPI border
    # The driver must not begin transactions by itself: it would begin them too late.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("fusewatch_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
