"""What people answered to events: seen, real, normal here, a fault, not again for an hour.

Answers are only ever added, and go with the event when that is forgotten. The one that counts is
the latest of an event and action that was not taken back; who took one back, and when, is kept
with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    inspect,
    select,
    update,
)

from pipeline.core.errors import NoSuchAnswer
from pipeline.store.database import Database
from pipeline.store.schema import Schema

VERSION = 1

_METADATA = MetaData()
SCHEMA = Schema("answers", VERSION, _METADATA)
_POSITION = BigInteger().with_variant(Integer, "sqlite")
ANSWERS = Table(
    "answers",
    _METADATA,
    Column("position", _POSITION, primary_key=True, autoincrement=True),
    Column("event", String(64), nullable=False),
    Column("scene", String(64), nullable=False),
    Column("action", String(16), nullable=False),
    Column("value", String(32), nullable=False),
    Column("note", Text, nullable=False),
    Column("who", String(128), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("withdrawn_ns", BigInteger, nullable=False, default=0),
    Column("withdrawn_by", String(128), nullable=False, default=""),
)
Index("answers_event", ANSWERS.c.event, ANSWERS.c.position)
HANDED = Table(
    "answers_handed",
    _METADATA,
    Column("position", _POSITION, primary_key=True, autoincrement=False),
    Column("withdrawn", Boolean, nullable=False),
)
"""Answers that the alert node has: as they were given, or that they were taken back."""


class Action(StrEnum):
    """What kind of answer."""

    SEEN = "seen"
    VERDICT = "verdict"
    NOTE = "note"
    SNOOZE = "snooze"


class Verdict(StrEnum):
    """What an event was."""

    REAL = "real"
    NORMAL = "normal"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody answered to an event.

    Attributes:
        event: Id of the event.
        scene: Its scene.
        action: What kind of answer.
        value: The verdict, for `Action.VERDICT`; until when, nanoseconds UTC, for
            `Action.SNOOZE`; else empty.
        note: Words of the one who answered; may be empty.
        who: Who answered.
        at_ns: When, UTC.
        position: Of the answer, given by the store; 0 before it is kept.
        withdrawn_ns: When it was taken back, UTC; 0 while it stands.
        withdrawn_by: Who took it back.
    """

    event: str
    scene: str
    action: Action
    value: str
    note: str
    who: str
    at_ns: int
    position: int = 0
    withdrawn_ns: int = 0
    withdrawn_by: str = ""


class AnswerStore:
    """All answers of a deployment. Safe to share by threads.

    Args:
        target: Path of an SQLite file, or a database URL.
        create: Make it when absent; otherwise its absence is an error.

    Raises:
        StoreError: See `Database`.
    """

    def __init__(self, target: str | Path, *, create: bool = True) -> None:
        self._db = Database(target, SCHEMA, create=create)

    def add(self, answer: Answer) -> int:
        """Keep an answer; its position.

        Raises:
            StoreError: It could not be written.
        """
        row = insert(ANSWERS).values(
            event=answer.event,
            scene=answer.scene,
            action=answer.action.value,
            value=answer.value,
            note=answer.note,
            who=answer.who,
            at_ns=answer.at_ns,
        )
        with self._db.write() as connection:
            key = connection.execute(row).inserted_primary_key
        return int(key[0]) if key else 0

    def withdraw(self, position: int, who: str, now_ns: int) -> Answer:
        """Take an answer back; the answer as it now is.

        Raises:
            NoSuchAnswer: There is none at this position, or it was taken back before.
            StoreError: It could not be written.
        """
        stands = (ANSWERS.c.position == position) & (ANSWERS.c.withdrawn_ns == 0)
        change = update(ANSWERS).where(stands).values(withdrawn_ns=now_ns, withdrawn_by=who)
        with self._db.write() as connection:
            if not connection.execute(change).rowcount:
                raise NoSuchAnswer(
                    f"no answer {position} that stands",
                    where=self._db.where,
                    fix="'fusewatch feedback list' shows their numbers",
                )
            row = connection.execute(select(ANSWERS).where(ANSWERS.c.position == position)).one()
        return _answer(row)

    def of(self, events: Iterable[str]) -> dict[str, list[Answer]]:
        """Answers that stand, in order, by event; events without any are left out."""
        wanted = select(ANSWERS).where(
            ANSWERS.c.event.in_(list(events)), ANSWERS.c.withdrawn_ns == 0
        )
        found: dict[str, list[Answer]] = {}
        with self._db.read() as connection:
            for row in connection.execute(wanted.order_by(ANSWERS.c.position)):
                found.setdefault(row.event, []).append(_answer(row))
        return found

    def unhanded(self, limit: int, scenes: Collection[str] | None = None) -> list[Answer]:
        """Answers that the alert node does not have as they are now, in order, the first few.

        Args:
            limit: At most so many.
            scenes: Only of these scenes; None: of all.
        """
        told = ANSWERS.outerjoin(HANDED, HANDED.c.position == ANSWERS.c.position)
        news = HANDED.c.position.is_(None) | (
            (ANSWERS.c.withdrawn_ns != 0) & HANDED.c.withdrawn.is_(False)
        )
        if scenes is not None:
            news &= ANSWERS.c.scene.in_(sorted(scenes))
        wanted = select(ANSWERS).select_from(told).where(news).order_by(ANSWERS.c.position)
        with self._db.read() as connection:
            return [_answer(row) for row in connection.execute(wanted.limit(limit))]

    def handed(self, answer: Answer) -> None:
        """The alert node has an answer, or that it was taken back, as `unhanded` gave it."""
        withdrawn = bool(answer.withdrawn_ns)
        put = self._db.insert(HANDED).values(position=answer.position, withdrawn=withdrawn)
        known = put.on_conflict_do_update(
            index_elements=["position"], set_={"withdrawn": withdrawn}
        )
        there = select(ANSWERS.c.position).where(
            ANSWERS.c.position == answer.position, ANSWERS.c.event == answer.event
        )
        with self._db.write() as connection:
            if connection.execute(there).scalar() is not None:  # else it was forgotten meanwhile
                connection.execute(known)

    def forget(self, events: Sequence[str]) -> int:
        """Remove all answers to these events, and their bytes; returns how many went."""
        theirs = select(ANSWERS.c.position).where(ANSWERS.c.event.in_(events))
        with self._db.write() as connection:
            if inspect(connection).has_table(HANDED.name):  # else written by an older fusewatch
                connection.execute(delete(HANDED).where(HANDED.c.position.in_(theirs)))
            gone = connection.execute(delete(ANSWERS).where(ANSWERS.c.event.in_(events))).rowcount
        self._db.scrub()
        return int(gone)

    def standing(self) -> dict[str, list[Answer]]:
        """All answers that stand, in order, by event."""
        found: dict[str, list[Answer]] = {}
        for answer in self.all():
            if not answer.withdrawn_ns:
                found.setdefault(answer.event, []).append(answer)
        return found

    def version(self) -> tuple[int, ...]:
        """Differs from before once any answer was given, taken back or forgotten.

        The last position alone does not: a file gives it again when its answer was forgotten.
        """
        a = ANSWERS.c
        back = func.count().filter(a.withdrawn_ns != 0)
        latest = (func.max(column) for column in (a.position, a.at_ns, a.withdrawn_ns))
        with self._db.read() as connection:
            row = connection.execute(select(func.count(), back, *latest)).one()
        return tuple(int(value or 0) for value in row)

    def all(self, scene: str | None = None) -> list[Answer]:
        """Every answer ever given, also those taken back, in order."""
        wanted = select(ANSWERS).order_by(ANSWERS.c.position)
        if scene is not None:
            wanted = wanted.where(ANSWERS.c.scene == scene)
        with self._db.read() as connection:
            return [_answer(row) for row in connection.execute(wanted)]

    def close(self) -> None:
        """Let go of the database; may be called twice."""
        self._db.close()


def verdict_of(answers: Sequence[Answer]) -> Verdict | None:
    """The verdict that counts among answers in order: the latest that stands."""
    given = [a for a in answers if a.action is Action.VERDICT and not a.withdrawn_ns]
    return Verdict(given[-1].value) if given else None


def stood_at(answers: Iterable[Answer], at_ns: int) -> dict[str, list[Answer]]:
    """Answers that stood at a time, in order, by event, as they were then.

    Args:
        answers: Every answer ever given, in order.
        at_ns: The time, UTC.
    """
    found: dict[str, list[Answer]] = {}
    for one in answers:
        if one.at_ns <= at_ns and not 0 < one.withdrawn_ns <= at_ns:
            then = replace(one, withdrawn_ns=0, withdrawn_by="")
            found.setdefault(one.event, []).append(then)
    return found


def _answer(row: Row[tuple[object, ...]]) -> Answer:
    return Answer(
        event=row.event,
        scene=row.scene,
        action=Action(row.action),
        value=row.value,
        note=row.note,
        who=row.who,
        at_ns=row.at_ns,
        position=row.position,
        withdrawn_ns=row.withdrawn_ns,
        withdrawn_by=row.withdrawn_by,
    )
