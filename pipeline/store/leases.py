"""Who fuses a scene, where several fusion nodes share one store: a lease with a fencing token.

- A fusion node *claims* its scenes before it does anything else. A claim that is let in raises
  the token of each scene by one; tokens never go back.
- Everything the node writes from then on is *confirmed*: in the same transaction its tokens must
  still be the newest. If they are not, nothing is written and the node must stop (`LeaseLost`).
  A holder that was stopped for an hour and wakes up can therefore do no harm, whatever it
  believes. Confirming also renews the lease.
- A lease that was not renewed for `LEASE_S` may be claimed by anybody, and one that was let go of
  at once. So may one of a process of the same place: there `nodes.lock` lets only one run, so the
  other must have died.

Time is the database's own, the one clock that all share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Row, and_, literal_column, or_, select, update

from pipeline.core.errors import AlreadyRunning, LeaseLost
from pipeline.store.database import Database
from pipeline.store.fusion_tables import LEASES

log = structlog.get_logger(__name__)

LEASE_S = 10.0
"""A lease that was not renewed for so long is free, seconds."""
STALE_S = LEASE_S / 2
"""One that is well is renewed twice in so long: holders renew it five times in `LEASE_S`."""
NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch from clock_timestamp())",
}
"""The database's time in its SQL, seconds since 1970, by dialect."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that claims scenes.

    Attributes:
        node: What it is, such as ``fusion of home``.
        host: Name of its machine.
        pid: Its process id.
        place: Machine and data folder; of two processes of one place only one can run.
    """

    node: str
    host: str
    pid: int
    place: str

    def __str__(self) -> str:
        return f"{self.node} on {self.host} (process {self.pid})"


class Leases:
    """The leases of one fusion node on its scenes.

    Args:
        database: The store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tokens: dict[str, int] = {}

    @property
    def tokens(self) -> dict[str, int]:
        """Fencing tokens of what was claimed, by scene."""
        return dict(self._tokens)

    def claim(self, scenes: Sequence[str], holder: Holder) -> None:
        """Take the leases of all these scenes, or none.

        Raises:
            AlreadyRunning: Somebody holds one; it tells who, where and since when.
            StoreError: The store cannot be read or written.
        """
        with self._database.write() as connection:
            tokens = {s: self._claim(connection, s, holder) for s in sorted(scenes)}
        self._tokens = tokens
        log.info("scenes claimed", tokens=tokens)

    def confirm(self, connection: Connection) -> None:
        """See, within a transaction, that this node still holds what it claimed, and renew it.

        Raises:
            LeaseLost: Somebody else has claimed one of its scenes.
        """
        if not self._tokens:
            return
        renewed = {"renewed_s": self._now(connection)}
        held = connection.execute(update(LEASES).where(self._ours()).values(renewed)).rowcount
        if held == len(self._tokens):
            return
        newest = {row.scene: row for row in connection.execute(select(LEASES)).all()}
        lost = next(s for s, token in self._tokens.items() if newest[s].token != token)
        leases = {"lease": self._tokens[lost], "newest": newest[lost].token}
        log.warning("write refused", scene=lost, **leases, holder=newest[lost].holder)
        raise LeaseLost(
            f"scene {lost} is fused by {newest[lost].holder} since {_when(newest[lost])}",
            where=self._database.where,
            fix="nothing was written since; stop this node, or let it stand by",
        )

    def renew(self) -> None:
        """Renew the leases when there is nothing else to write.

        Raises:
            LeaseLost: Somebody else has claimed one of the scenes.
            StoreError: The store cannot be written.
        """
        with self._database.write() as connection:
            self.confirm(connection)

    def release(self) -> None:
        """Let go of what is still held, so that another need not wait."""
        if not self._tokens:
            return
        with self._database.write() as connection:
            connection.execute(update(LEASES).where(self._ours()).values(renewed_s=0.0))
        self._tokens = {}

    def _claim(self, connection: Connection, scene: str, holder: Holder) -> int:
        blank = {"scene": scene, "token": 0, "holder": "", "place": "", "since_s": 0.0}
        new = self._database.insert(LEASES).on_conflict_do_nothing(index_elements=["scene"])
        connection.execute(new.values(**blank, renewed_s=0.0))
        found = select(LEASES).where(LEASES.c.scene == scene).with_for_update()
        row = connection.execute(found).one()  # from here on nobody else can claim or renew it
        now_s = float(connection.execute(select(self._now(connection))).scalar_one())
        if now_s - row.renewed_s < LEASE_S and row.place != holder.place:
            raise AlreadyRunning(
                f"scene {scene} is fused by {row.holder} since {_when(row)}",
                where=self._database.where,
                fix=f"stop that one and wait {LEASE_S:.0f} s, or set 'fusion.standby: true'",
            )
        taken = {"token": row.token + 1, "holder": str(holder), "place": holder.place}
        wanted = update(LEASES).where(LEASES.c.scene == scene)
        connection.execute(wanted.values(**taken, since_s=now_s, renewed_s=now_s))
        return int(row.token) + 1

    def _ours(self) -> ColumnElement[bool]:
        """Rows of these leases: a term for each token, as most scenes have one of a few."""
        scenes: dict[int, list[str]] = {}
        for scene, token in self._tokens.items():
            scenes.setdefault(token, []).append(scene)
        return or_(
            *(and_(LEASES.c.scene.in_(s), LEASES.c.token == token) for token, s in scenes.items())
        )

    def _now(self, connection: Connection) -> ColumnElement[float]:
        return literal_column(NOW[connection.dialect.name])


def _when(row: Row[Any]) -> str:
    return datetime.fromtimestamp(row.since_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
