"""What operators want of a cluster, and how its placer sees the workers: a table for each.

*Wishes* are written by whoever types a command and taken away by the placer once they are
fulfilled; so a command needs no way to the placer but the store, and none is lost while the placer
is away. *Sights* are the placer's last look at each group. Neither decides who may write a scene:
that is for the leases alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    Integer,
    String,
    Table,
    Text,
    delete,
    literal_column,
    select,
)

from pipeline.store.database import Database
from pipeline.store.fusion_tables import METADATA
from pipeline.store.leases import NOW

WISHES = Table(
    "cluster_wishes",
    METADATA,
    Column("kind", String(16), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
SIGHTS = Table(
    "cluster_sights",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("machine", Text, nullable=False),
    Column("state", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("restarts", Integer, nullable=False),
    Column("seen_s", Double, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of a group.

    Attributes:
        kind: ``down``, ``move`` or ``upgrade``.
        name: The group; empty: all.
        value: Where to, for ``move``.
    """

    kind: str
    name: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """How the placer last saw a group, or a machine that is free.

    Attributes:
        name: The group.
        machine: Address of the machine it is on; empty: on none.
        state: ``running``, ``waiting``, ``stopping``, ``given up``, ``unplaced`` ...
        detail: Why, in words.
        restarts: How often its process was started again.
        age_s: How long ago that was, seconds.
    """

    name: str
    machine: str
    state: str
    detail: str = ""
    restarts: int = 0
    age_s: float = 0.0


class ClusterStore:
    """Both tables. Safe to share by threads.

    Args:
        database: The fusion store's.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def wish(self, wishes: Sequence[Wish]) -> None:
        """Ask for something; of two wishes of a kind for a group the later one counts.

        Raises:
            StoreError: It could not be written.
        """
        put = self._db.insert(WISHES)
        put = put.on_conflict_do_update(
            index_elements=["kind", "name"], set_={"value": put.excluded.value}
        )
        with self._db.write() as connection:
            connection.execute(put, [asdict(wish) for wish in wishes])

    def wishes(self) -> list[Wish]:
        """What is asked for and not fulfilled."""
        with self._db.read() as connection:
            rows = connection.execute(select(WISHES).order_by(WISHES.c.kind, WISHES.c.name))
            return [Wish(row.kind, row.name, row.value) for row in rows]

    def fulfil(self, wishes: Sequence[Wish]) -> None:
        """They are fulfilled, unless they were changed meanwhile; raises as `wish`."""
        with self._db.write() as connection:
            for wish in wishes:
                of = (WISHES.c.kind == wish.kind) & (WISHES.c.name == wish.name)
                connection.execute(delete(WISHES).where(of & (WISHES.c.value == wish.value)))

    def see(self, sights: Sequence[Sight]) -> None:
        """This is how it is now, and nothing else; raises as `wish`."""
        with self._db.write() as connection:
            now_s = self._now_s(connection)
            connection.execute(delete(SIGHTS))
            rows = [
                {
                    "name": sight.name,
                    "machine": sight.machine,
                    "state": sight.state,
                    "detail": sight.detail,
                    "restarts": sight.restarts,
                    "seen_s": now_s,
                }
                for sight in sights
            ]
            if rows:
                connection.execute(SIGHTS.insert(), rows)

    def sights(self) -> Mapping[str, Sight]:
        """How it was at the placer's last look, by group."""
        with self._db.read() as connection:
            now_s = self._now_s(connection)
            return {
                r.name: Sight(
                    r.name, r.machine, r.state, r.detail, r.restarts, max(0.0, now_s - r.seen_s)
                )
                for r in connection.execute(select(SIGHTS).order_by(SIGHTS.c.name))
            }

    def _now_s(self, connection: Connection) -> float:
        now: ColumnElement[float] = literal_column(NOW[connection.dialect.name])
        return float(connection.execute(select(now)).scalar_one())
