"""Where the fusion node of each scene is: its address and key, kept beside its lease.

A row is written in the transaction that confirms the leases it is for, so only who holds a scene
can say that it is to be found there, and it carries the fencing token of that lease. It counts
while that token is the newest of the scene and the lease is not let go of or expired: of a node
that lost a scene nobody is told any more, whatever it wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, literal_column, select

from pipeline.store.database import Database
from pipeline.store.fusion_tables import DIRECTORY, LEASES
from pipeline.store.leases import LEASE_S, NOW, STALE_S, Leases


@dataclass(frozen=True, slots=True)
class Served:
    """Where a scene is fused.

    Attributes:
        scene: The scene.
        address: Address of its fusion node; empty: it does not listen yet.
        public: Public key of that; empty: without encryption.
        token: Fencing token of its lease; one that is higher is newer.
        holder: Who it is, for people.
        since_s: When it claimed the scene, seconds since 1970.
        live: Whether the lease holds.
        age_s: How long ago it was renewed, seconds; long ago too when it was let go of.
    """

    scene: str
    address: str
    public: str
    token: int
    holder: str
    since_s: float
    live: bool
    age_s: float = field(default=0.0, compare=False)

    def held_by(self, pid: int) -> bool:
        """Whether the holder is a process of this id."""
        return self.holder.endswith(f"(process {pid})")

    @property
    def stale(self) -> bool:
        """Whether a holder that is well would have renewed it since."""
        return not self.live or self.age_s >= STALE_S


class Directory:
    """The directory in a fusion node's store. Safe to share by threads.

    Args:
        database: The store's.
        leases: This node's; it publishes the scenes that it has claimed.
    """

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database = database
        self._leases = leases

    def publish(self, address: str, public: str) -> None:
        """Say that the scenes this node holds are to be found at an address.

        Raises:
            LeaseLost: Another node has claimed one of them; nothing was written.
            StoreError: It could not be written.
        """
        put = self._database.insert(DIRECTORY)
        changed = {name: put.excluded[name] for name in ("address", "public", "token")}
        rows = [
            {"scene": scene, "address": address, "public": public, "token": token}
            for scene, token in self._leases.tokens.items()
        ]
        if not rows:
            return
        with self._database.write() as connection:
            self._leases.confirm(connection)
            connection.execute(
                put.on_conflict_do_update(index_elements=["scene"], set_=changed), rows
            )

    def served(self) -> dict[str, Served]:
        """Every scene that was ever claimed, by name, and where it is now.

        Raises:
            StoreError: The store cannot be read.
        """
        current = (DIRECTORY.c.scene == LEASES.c.scene) & (DIRECTORY.c.token == LEASES.c.token)
        columns = (LEASES, DIRECTORY.c.address, DIRECTORY.c.public)
        with self._database.read() as connection:
            now: ColumnElement[float] = literal_column(NOW[connection.dialect.name])
            wanted = select(*columns, now.label("now_s")).join(DIRECTORY, current, isouter=True)
            return {row.scene: _served(row) for row in connection.execute(wanted)}


def _served(row: Row[Any]) -> Served:
    age_s = float(row.now_s) - row.renewed_s
    return Served(
        scene=row.scene,
        address=row.address or "",
        public=row.public or "",
        token=row.token,
        holder=row.holder,
        since_s=row.since_s,
        live=age_s < LEASE_S,
        age_s=age_s,
    )


def place_of(scenes: Sequence[str], served: Mapping[str, Served]) -> Served | None:
    """Where all of these scenes are fused together; None when that is nowhere now."""
    found = [served[scene] for scene in scenes if scene in served and served[scene].live]
    if len(found) < len(scenes) or len({(one.address, one.public) for one in found}) != 1:
        return None
    newest = max(found, key=lambda one: one.token)
    return newest if newest.address else None
