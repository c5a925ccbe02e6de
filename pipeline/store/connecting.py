"""Connections to a store's database, set up so that they keep what the store promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from pipeline.core.errors import DependencyMissing, StoreError
from pipeline.core.extras import installing
from pipeline.core.redact import redact_url

BUSY_S = 15.0
"""Longest wait of a writer for another writer, seconds."""

CACHE_KIB = 256
"""Pages that a connection to a file keeps. Every thread has one, and SQLite's own 2 MiB each would
fill over hours, for the few rows that are read."""

HELD_S = 10.0
"""Longest time that a process may rest within a transaction (PostgreSQL), seconds."""

LINE_S = 15.0
"""A line to PostgreSQL on which nothing is acknowledged for so long is broken, seconds."""


def url_of(target: str | Path) -> URL:
    """The URL of a path or a written URL.

    Raises:
        StoreError: It is not one, or of another kind of database.
    """
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


def is_sqlite(url: URL) -> bool:
    """Whether the database is a file."""
    return url.get_backend_name() == "sqlite"


def sqlite_file(url: URL) -> Path | None:
    """The file; None where there is none."""
    if not is_sqlite(url) or url.database in {None, "", ":memory:"}:
        return None
    return Path(str(url.database))


def engine_of(url: URL) -> Engine:
    """An engine whose transactions are as `pipeline.store.database` promises.

    Raises:
        DependencyMissing: The driver is not installed.
    """
    try:
        if not is_sqlite(url):
            return create_engine(url, pool_pre_ping=True, connect_args=_patience(url))
        engine = create_engine(url, connect_args={"timeout": BUSY_S})
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise DependencyMissing(
            f"the driver of {url.drivername!r} is not installed",
            fix=installing("postgres"),
        ) from error
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _patience(url: URL) -> dict[str, str | int]:
    """How long PostgreSQL and its clients wait for each other.

    One that sleeps within a transaction loses its locks: stopped halfway through a commit, it would
    hold up all others. One that is cut off is told so by `LINE_S`, not after a quarter of an hour.
    What the URL says of it itself (``?tcp_user_timeout=60000``) stands.
    """
    if not url.get_driver_name().startswith("psycopg"):
        return {}
    held_ms, wait_ms = round(HELD_S * 1e3), round(BUSY_S * 1e3)
    options = f"-c idle_in_transaction_session_timeout={held_ms} -c lock_timeout={wait_ms}"
    ours: dict[str, str | int] = {
        "options": options,
        "connect_timeout": round(LINE_S),
        "tcp_user_timeout": round(LINE_S * 1e3),
        "keepalives_idle": round(LINE_S / 3),
        "keepalives_interval": round(LINE_S / 3),
        "keepalives_count": 2,
    }
    return {name: value for name, value in ours.items() if name not in url.query}


def _configure_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - DBAPI border
    # The driver must not begin transactions by itself: it would begin them too late.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("fusewatch_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
