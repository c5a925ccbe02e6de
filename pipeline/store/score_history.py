"""What the scores were, minute by minute and for long: for looking back, not for deciding.

A row tells the worst window of one scene in one minute. Nothing depends on it: it is written
about once a minute, a crash loses the minute under way, and writing a minute twice keeps the
worse of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    case,
    delete,
    func,
    select,
)

from pipeline.store.database import Database
from pipeline.store.schema import Schema

VERSION = 1
MINUTE_NS = 60_000_000_000

_METADATA = MetaData()
SCHEMA = Schema("history", VERSION, _METADATA)
MINUTES = Table(
    "history_minutes",
    _METADATA,
    Column("scene", String(64), primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("windows", Integer, nullable=False),
    Column("unseen", Integer, nullable=False),
    Column("score", Float, nullable=False),
    Column("detectors", Text, nullable=False),
)


_LEVELS_DECODER = msgspec.json.Decoder(dict[str, float])


@dataclass(frozen=True, slots=True)
class ScoreMinute:
    """One minute of one scene.

    Attributes:
        minute: Minutes since the Unix epoch, site time.
        windows: Windows that were scored.
        unseen: Of these, windows in which a stream was missing.
        score: Highest anomaly score, ``-log10 p``.
        detectors: Score per detector in that window.
    """

    minute: int
    windows: int
    unseen: int
    score: float
    detectors: Mapping[str, float] = field(default_factory=dict)

    def with_window(self, score: float, detectors: Mapping[str, float], seen: bool) -> ScoreMinute:
        """The minute with one more window."""
        worse = score > self.score or not self.windows
        return ScoreMinute(
            self.minute,
            self.windows + 1,
            self.unseen + (not seen),
            score if worse else self.score,
            detectors if worse else self.detectors,
        )


class ScoreHistory:
    """Scores of all scenes of a fusion node, by minute. Safe to share by threads.

    Args:
        target: Path of an SQLite file, or a database URL.
        create: Make it when absent; otherwise its absence is an error.

    Raises:
        StoreError: See `Database`.
    """

    def __init__(self, target: str | Path, *, create: bool = True) -> None:
        self._db = Database(target, SCHEMA, create=create)

    def put(self, scene: str, minutes: Sequence[ScoreMinute]) -> None:
        """Keep minutes; of one that is known already, the worse window and the most windows.

        Raises:
            StoreError: They could not be written; none was.
        """
        if not minutes:
            return
        put = self._db.insert(MINUTES)
        new, old = put.excluded, MINUTES.c
        worse = new.score > old.score
        merged = put.on_conflict_do_update(
            index_elements=["scene", "minute"],
            set_={
                "windows": case((new.windows > old.windows, new.windows), else_=old.windows),
                "unseen": case((new.unseen > old.unseen, new.unseen), else_=old.unseen),
                "score": case((worse, new.score), else_=old.score),
                "detectors": case((worse, new.detectors), else_=old.detectors),
            },
        )
        rows = [
            {
                "scene": scene,
                "minute": one.minute,
                "windows": one.windows,
                "unseen": one.unseen,
                "score": one.score,
                "detectors": msgspec.json.encode(dict(one.detectors)).decode(),
            }
            for one in minutes
        ]
        with self._db.write() as connection:
            connection.execute(merged, rows)

    def between(self, scene: str, from_minute: int, to_minute: int) -> list[ScoreMinute]:
        """Minutes of ``[from_minute, to_minute)`` that are known, in order."""
        wanted = (
            select(MINUTES)
            .where(MINUTES.c.scene == scene)
            .where(MINUTES.c.minute >= from_minute, MINUTES.c.minute < to_minute)
            .order_by(MINUTES.c.minute)
        )
        with self._db.read() as connection:
            return [_minute(row) for row in connection.execute(wanted)]

    def first_minute(self, scene: str) -> int | None:
        """The earliest minute known of a scene; None when there is none."""
        wanted = select(func.min(MINUTES.c.minute)).where(MINUTES.c.scene == scene)
        with self._db.read() as connection:
            return connection.execute(wanted).scalar()

    def forget_before(self, minute: int) -> int:
        """Remove what is older; returns how many minutes went."""
        with self._db.write() as connection:
            gone = connection.execute(delete(MINUTES).where(MINUTES.c.minute < minute))
            return int(gone.rowcount)

    def close(self) -> None:
        """Let go of the database; may be called twice."""
        self._db.close()


def coarser(minutes: Sequence[ScoreMinute], step: int) -> list[ScoreMinute]:
    """Minutes put together, `step` to one, each telling the worst of its minutes."""
    found: dict[int, ScoreMinute] = {}
    for one in minutes:
        at = one.minute - one.minute % step
        before = found.get(at)
        worst = one if before is None or one.score > before.score else before
        found[at] = ScoreMinute(
            at,
            one.windows + (before.windows if before else 0),
            one.unseen + (before.unseen if before else 0),
            worst.score,
            worst.detectors,
        )
    return list(found.values())


def _minute(row: Row[tuple[object, ...]]) -> ScoreMinute:
    detectors = _LEVELS_DECODER.decode(row.detectors)
    return ScoreMinute(row.minute, row.windows, row.unseen, row.score, detectors)
