"""The fusion node's memory: what has been decided, and how far the samples were used.

One `Commit` is one transaction: the alarm state of the scenes that moved, the events that
came of it, and the sequence numbers that need not be sent again. The order around it gives
the guarantee: commit, then ack the samples; hand events on, then mark them forwarded. A crash
between any two steps repeats work and loses none, and repeated work changes nothing, because
an event is kept once per ``(id, revision)``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import (
    Column,
    Connection,
    Select,
    Table,
    delete,
    false,
    func,
    inspect,
    select,
    tuple_,
    update,
)

from pipeline.core.event import HEALTH_PREFIX, Event, Phase, to_json
from pipeline.store.cluster_store import ClusterStore
from pipeline.store.commit import Commit, SceneCheckpoint
from pipeline.store.database import Database, stored_event
from pipeline.store.directory import Directory
from pipeline.store.fusion_tables import (
    EVENTS,
    EVIDENCE,
    HOPS,
    RESUME,
    SCENES,
    SCHEMA,
    SCORING,
    SEALS,
    SIGHT,
)
from pipeline.store.held_events import HeldEvents
from pipeline.store.leases import Leases

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

SESSIONS_KEPT = 8
"""Sessions of one node whose resume points are remembered."""

_OF_EQUIPMENT = EVENTS.c.id.startswith(HEALTH_PREFIX, autoescape=True)


class FusionStore:
    """Events, alarm states and resume points of one fusion node. Safe to share by threads.

    Args:
        target: Path of an SQLite file, or a database URL.
        create: Make it when absent; otherwise its absence is an error.

    Raises:
        StoreError: See `Database`.
    """

    def __init__(self, target: str | Path, *, create: bool = True) -> None:
        self._db = Database(target, SCHEMA, create=create)
        self._known_sessions: set[tuple[str, str]] = set()
        self.scenes: frozenset[str] | None = None
        """Scenes whose events it gives, see `limit_to`; None: all."""
        self.leases = Leases(self._db)
        """Who fuses which scene: nothing is written without them."""
        self.directory = Directory(self._db, self.leases)
        """Where each scene is fused, for capture nodes that ask."""
        self.cluster = ClusterStore(self._db)
        """What operators want of a cluster, and how its workers are."""
        self.held = HeldEvents(self._db, self.leases)
        """Which events are not sent, as they follow from another."""
        self.repeated = 0
        """Events that were committed before and were left as they are."""

    @property
    def database(self) -> Database:
        """The database, for what removes rows of it."""
        return self._db

    def commit(self, commit: Commit) -> int:
        """Make all of it durable, or none; returns how many events were new.

        Raises:
            StoreError: It could not be written; nothing of it was.
            LeaseLost: Likewise, as another fusion node has taken over.
        """
        with self._db.write() as connection:
            self.leases.confirm(connection)
            self._put_scenes(connection, commit.scenes)
            self._put_resume(connection, commit.resume)
            fresh = sum(self._put_event(connection, event) for event in commit.events)
            self._put_seals(connection, commit.seals)
        self.repeated += len(commit.events) - fresh
        self._known_sessions.update((node, session) for node, session, _ in commit.resume)
        return fresh

    def checkpoint(self, scene: str) -> SceneCheckpoint | None:
        """Where the scene stood at the last commit; None when it never had one."""
        wanted = select(SCENES.c.next_window, SCENES.c.alarm).where(SCENES.c.scene == scene)
        with self._db.read() as connection:
            row = connection.execute(wanted).one_or_none()
            if row is None:
                return None
            of_tables = (_kept(connection, t.c.state, scene) for t in (SCORING, SIGHT, EVIDENCE))
            scoring, sight, evidence = (bytes(state or b"") for state in of_tables)
            hop_ns = _kept(connection, HOPS.c.hop_ns, scene) or 0
        alarm = bytes(row.alarm)
        return SceneCheckpoint(row.next_window, alarm, scoring, sight, evidence, hop_ns)

    def resume_points(self, node: str, session: str) -> dict[str, int]:
        """Last sequence committed per stream of one session of a node."""
        wanted = select(RESUME.c.stream, RESUME.c.sequence).where(
            RESUME.c.node == node, RESUME.c.session == session
        )
        with self._db.read() as connection:
            return {row.stream: row.sequence for row in connection.execute(wanted)}

    def events(
        self,
        scene: str | None = None,
        since_ns: int | None = None,
        limit: int | None = None,
        *,
        all_phases: bool = False,
        health: bool | None = None,
    ) -> list[Event]:
        """Events in commit order, each at its latest revision unless `all_phases`.

        Args:
            scene: Only of this scene.
            since_ns: Only those that ended at or after this time.
            limit: At most the newest so many.
            all_phases: Every revision instead of the latest of each event.
            health: Only those that tell of the equipment, or only those that do not; None: both.
        """
        wanted = select(EVENTS.c.body).order_by(EVENTS.c.position.desc())
        if scene is not None:
            wanted = wanted.where(EVENTS.c.scene == scene)
        if since_ns is not None:
            wanted = wanted.where(EVENTS.c.end_ns >= since_ns)
        if health is not None:
            wanted = wanted.where(_OF_EQUIPMENT if health else ~_OF_EQUIPMENT)
        if not all_phases:
            newest = select(EVENTS.c.id, func.max(EVENTS.c.revision)).group_by(EVENTS.c.id)
            wanted = wanted.where(tuple_(EVENTS.c.id, EVENTS.c.revision).in_(newest))
        return self._read(wanted.limit(limit))[::-1]

    def raised(self, scene: str, since_ns: int) -> dict[str, int]:
        """Events of a scene that began at or after this time, by id, and when, in that order.

        Events that tell of the equipment are not among them.
        """
        raised = (EVENTS.c.scene == scene) & (EVENTS.c.phase == Phase.RAISED.value)
        raised &= ~_OF_EQUIPMENT
        wanted = select(EVENTS.c.id, EVENTS.c.start_ns).order_by(EVENTS.c.start_ns)
        with self._db.read() as connection:
            rows = connection.execute(wanted.where(raised & (EVENTS.c.start_ns >= since_ns)))
            return {row.id: row.start_ns for row in rows}

    def phases(self, event_id: str) -> list[Event]:
        """Every revision of the events whose id begins with `event_id`, in commit order."""
        begins = self._db.begins(EVENTS.c.id, event_id)
        return self._read(select(EVENTS.c.body).where(begins).order_by(EVENTS.c.position))

    def life(self, event_id: str) -> list[Event]:
        """Every revision of one event, in commit order; none when there is no such event."""
        its = EVENTS.c.id == event_id
        return self._read(select(EVENTS.c.body).where(its).order_by(EVENTS.c.position))

    def revisions(self, ids: Collection[str]) -> dict[str, int]:
        """The latest revision of each of these events, of those that there are."""
        its = EVENTS.c.id.in_(list(ids))
        latest = select(EVENTS.c.id, func.max(EVENTS.c.revision).label("at")).where(its)
        with self._db.read() as connection:
            return {row.id: row.at for row in connection.execute(latest.group_by(EVENTS.c.id))}

    def seals(self) -> dict[str, str]:
        """Digest of each event's manifest, as it was when its evidence became whole."""
        with self._db.read() as connection:
            if not inspect(connection).has_table(SEALS.name):
                return {}
            rows = connection.execute(select(SEALS.c.event, SEALS.c.digest))
            return {row.event: row.digest for row in rows}

    def unforwarded(self, limit: int | None = None, but: Collection[str] = ()) -> list[Event]:
        """Events the alert node has not confirmed yet, in commit order, but those of these ids."""
        waiting = (EVENTS.c.forwarded == false()) & EVENTS.c.id.not_in(but)
        order = select(EVENTS.c.body).where(waiting).order_by(EVENTS.c.position)
        return self._read(order.limit(limit))

    def incident(self, head: Event, within_ns: int) -> list[Event]:
        """Events of the incident that an event is the head of, each at its latest revision."""
        near = EVENTS.c.start_ns.between(head.start_ns - within_ns, head.start_ns + within_ns)
        wanted = select(EVENTS.c.body).where(near).order_by(EVENTS.c.position)
        latest = {event.id: event for event in self._read(wanted)}
        return [e for e in latest.values() if head.id in (e.id, e.incident)]

    def forwarded(self, keys: Iterable[str]) -> None:
        """The alert node has confirmed the events of these keys; raises as `commit`."""
        with self._db.write() as connection:
            self.leases.confirm(connection)
            for key in keys:
                event_id, _, revision = key.rpartition(".")
                connection.execute(
                    update(EVENTS)
                    .where(EVENTS.c.id == event_id, EVENTS.c.revision == int(revision))
                    .values(forwarded=True)
                )

    def close(self) -> None:
        """Let go of the database; may be called twice."""
        self._db.close()

    def limit_to(self, scenes: Collection[str]) -> None:
        """Give and hand on events of these scenes only: others use this store for the rest."""
        self.scenes = frozenset(scenes)

    def _read(self, wanted: Select[Any]) -> list[Event]:
        if self.scenes is not None:
            wanted = wanted.where(EVENTS.c.scene.in_(sorted(self.scenes)))
        with self._db.read() as connection:
            return [stored_event(body) for body in connection.execute(wanted).scalars()]

    def _put_scenes(self, connection: Connection, scenes: Mapping[str, SceneCheckpoint]) -> None:
        if not scenes:
            return
        columns: dict[Table, Callable[[SceneCheckpoint], dict[str, Any]]] = {
            SCENES: lambda at: {"next_window": at.next_window, "alarm": at.alarm},
            SCORING: lambda at: {"state": at.scoring},
            SIGHT: lambda at: {"state": at.sight},
            EVIDENCE: lambda at: {"state": at.evidence},
            HOPS: lambda at: {"hop_ns": at.hop_ns},
        }
        for table, of in columns.items():
            rows = [{"scene": name, **of(at)} for name, at in scenes.items()]
            put = self._db.insert(table)
            changed = {name: put.excluded[name] for name in rows[0] if name != "scene"}
            connection.execute(
                put.on_conflict_do_update(index_elements=["scene"], set_=changed), rows
            )

    def _put_resume(
        self, connection: Connection, resume: Mapping[tuple[str, str, str], int]
    ) -> None:
        if not resume:
            return
        newest = connection.execute(select(func.max(RESUME.c.age))).scalar() or 0
        put = self._db.insert(RESUME)
        connection.execute(
            put.on_conflict_do_update(
                index_elements=["node", "session", "stream"],
                set_={"sequence": put.excluded.sequence},
            ),
            [
                {"node": n, "session": s, "stream": t, "sequence": q, "age": newest + 1}
                for (n, s, t), q in resume.items()
            ],
        )
        for node in {n for n, s, _ in resume if (n, s) not in self._known_sessions}:
            _forget_old_sessions(connection, node)

    def _put_seals(self, connection: Connection, seals: Mapping[str, str]) -> None:
        """Of two digests of one event, the first is kept."""
        if seals:
            put = self._db.insert(SEALS).on_conflict_do_nothing(index_elements=["event"])
            rows = [{"event": event, "digest": digest} for event, digest in seals.items()]
            connection.execute(put, rows)

    def _put_event(self, connection: Connection, event: Event) -> bool:
        body = to_json(event).decode()
        put = self._db.insert(EVENTS).on_conflict_do_nothing(index_elements=["id", "revision"])
        fresh = connection.execute(
            put.values(
                id=event.id,
                revision=event.revision,
                scene=event.scene,
                phase=event.phase.value,
                start_ns=event.start_ns,
                end_ns=event.end_ns,
                body=body,
                forwarded=False,
            ).returning(EVENTS.c.position)
        ).scalar()
        if fresh is None:
            _compare_with_first(connection, event, body)
        return fresh is not None


def _kept(connection: Connection, column: Column[_T], scene: str) -> _T | None:
    """What a table beside `SCENES` holds of a scene; None where there is no such table yet."""
    if not inspect(connection).has_table(column.table.name):
        return None
    wanted = select(column).where(column.table.c.scene == scene)
    return connection.execute(wanted).scalar()


def _compare_with_first(connection: Connection, event: Event, body: str) -> None:
    """A repeated event must say what it said before; if not, the engine is not a function."""
    kept = connection.execute(
        select(EVENTS.c.body).where(EVENTS.c.id == event.id, EVENTS.c.revision == event.revision)
    ).scalar()
    if kept != body:
        log.warning("repeated event differs, the first stays", key=event.key, scene=event.scene)


def _forget_old_sessions(connection: Connection, node: str) -> None:
    newest = (
        select(RESUME.c.session)
        .where(RESUME.c.node == node)
        .group_by(RESUME.c.session)
        .order_by(func.max(RESUME.c.age).desc())
        .limit(SESSIONS_KEPT)
    )
    kept = list(connection.execute(newest).scalars())
    connection.execute(delete(RESUME).where(RESUME.c.node == node, RESUME.c.session.not_in(kept)))
