"""Events as rows of a database table, for reports and dashboards of your own.

One row per phase in ``fusewatch_events``, with ``(id, revision)`` as its key: a phase that
comes twice overwrites itself. Any database that SQLAlchemy speaks will do.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import SecretStr, field_validator
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    insert,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)

from pipeline.core.errors import DependencyMissing, SinkError, SinkRejected, SinkUnavailable
from pipeline.core.event import Event, to_json
from pipeline.core.redact import redact_url
from pipeline.sinks.base import SinkContext, SinkSettings

TABLE = Table(
    "fusewatch_events",
    MetaData(),
    Column("id", String(64), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("deployment", String(64), nullable=False),
    Column("scene", String(64), nullable=False, index=True),
    Column("alarm", String(64), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, index=True),
    Column("ended_at", DateTime(timezone=True), nullable=False),
    Column("start_ns", BigInteger, nullable=False),
    Column("end_ns", BigInteger, nullable=False),
    Column("p", Float, nullable=False),
    Column("score", Float, nullable=False),
    Column("summary", Text, nullable=False),
    Column("body", Text, nullable=False),
)


class SqlSettings(SinkSettings):
    """Write events to a database table."""

    type: Literal["sql"] = "sql"
    """Kind of sink."""

    url: SecretStr
    """SQLAlchemy URL, ``sqlite:///events.db`` or ``postgresql+psycopg://USER:PASSWORD@HOST/DB``."""

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: SecretStr) -> SecretStr:
        try:
            make_url(value.get_secret_value())
        except ArgumentError:
            raise ValueError(
                "is not a database URL; write sqlite:///FILE or "
                "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
            ) from None
        return value

    def build(self, context: SinkContext) -> SqlSink:
        """Make the sink."""
        return SqlSink(self, context)


class SqlSink:
    """Writes events to a table.

    Args:
        settings: Which database.
        context: The deployment.
    """

    def __init__(self, settings: SqlSettings, context: SinkContext) -> None:
        self._settings = settings
        self._deployment = context.deployment
        self._where = redact_url(settings.url.get_secret_value())
        self._engine: Engine | None = None

    def open(self) -> None:
        """Connect, and make the table when it is absent.

        Raises:
            SinkUnavailable: The database does not answer, or the URL is not one.
            DependencyMissing: Its driver is not installed.
        """
        self.close()
        self._engine = self._make_engine()
        try:
            TABLE.metadata.create_all(self._engine)
        except SQLAlchemyError as error:
            raise self._unavailable(error) from error

    def deliver(self, event: Event) -> None:
        """Insert the event's phase, or overwrite it with itself."""
        if self._engine is None:
            self.open()
        if self._engine is None:
            raise SinkUnavailable("not connected", where=self._where)
        row = self._row(event)
        try:
            _upsert(self._engine, row)
        except SQLAlchemyError as error:
            raise self._refusal(error) from error

    def close(self) -> None:
        """Let go of all connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _make_engine(self) -> Engine:
        timeout = max(1, round(self._settings.timeout_s))
        try:
            url = make_url(self._settings.url.get_secret_value())
            arguments = {
                "sqlite": {"timeout": timeout},
                "postgresql": {"connect_timeout": timeout},
            }.get(url.get_backend_name(), {})
            return create_engine(url, connect_args=arguments, pool_pre_ping=True)
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise DependencyMissing(
                f"the database driver is not installed: {error}",
                where=self._where,
                fix="pip install the driver that the URL names",
            ) from error
        except ArgumentError as error:
            raise SinkUnavailable("not a database URL", where=self._where) from error

    def _row(self, event: Event) -> dict[str, Any]:
        return {
            "id": event.id,
            "revision": event.revision,
            "deployment": self._deployment,
            "scene": event.scene,
            "alarm": event.alarm,
            "phase": event.phase.value,
            "severity": event.severity.value,
            "started_at": _moment(event.start_ns),
            "ended_at": _moment(event.end_ns),
            "start_ns": event.start_ns,
            "end_ns": event.end_ns,
            "p": event.p,
            "score": event.score,
            "summary": event.summary,
            "body": to_json(event).decode(),
        }

    def _refusal(self, error: SQLAlchemyError) -> SinkError:
        if isinstance(error, (DataError, IntegrityError)):
            return SinkRejected(_reason(error), where=self._where)
        return self._unavailable(error)

    def _unavailable(self, error: SQLAlchemyError) -> SinkUnavailable:
        return SinkUnavailable(_reason(error), where=self._where)


def _upsert(engine: Engine, row: dict[str, Any]) -> None:
    """Update the row, insert it when there was none; the same on every database."""
    same = (TABLE.c.id == row["id"], TABLE.c.revision == row["revision"])
    with engine.begin() as connection:
        if connection.execute(update(TABLE).where(*same).values(row)).rowcount == 0:
            connection.execute(insert(TABLE).values(row))


def _moment(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns // 10**9, UTC).replace(microsecond=at_ns % 10**9 // 1000)


def _reason(error: SQLAlchemyError) -> str:
    original = error.orig if isinstance(error, DBAPIError) else None
    return redact_url(str(original or error)).strip()


PLUGIN = SqlSettings
