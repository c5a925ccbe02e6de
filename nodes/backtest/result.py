"""What a backtest found, as it is told, written and drawn. Plain data; times are site time, UTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

Change = Literal["gained", "lost", "kept"]


class EventRow(msgspec.Struct, frozen=True):
    """One alarm of one side.

    Attributes:
        id: Of the event.
        start_ns: When it began.
        end_ns: End of its last window.
        severity: ``low`` to ``critical``.
        score: Highest ``-log10 p``.
        summary: What it said.
        ended: Whether its end was seen.
        label: Kind of the label that it found; none: it found none, or there are no labels.
    """

    id: str
    start_ns: int
    end_ns: int
    severity: str
    score: float
    summary: str
    ended: bool
    label: str | None = None


class MomentRow(msgspec.Struct, frozen=True):
    """What happened once, as both sides told it.

    Attributes:
        change: Whether the new side gained it, lost it, or kept it.
        start_ns: When the first of it began.
        end_ns: When the last of it ended.
        old: Alarms of the old side.
        new: Alarms of the new side.
    """

    change: Change
    start_ns: int
    end_ns: int
    old: Sequence[EventRow]
    new: Sequence[EventRow]


class Rate(msgspec.Struct, frozen=True):
    """Alarms of one side beside its budget.

    Attributes:
        alarms: How many were raised.
        false: Those that found no label; without labels all of them, an upper bound.
        per_week: False ones in a week of normal time; NaN of no time.
        low_per_week: Lower end of its exact 90 % interval.
        high_per_week: Upper end.
        budget: The budget, as ``COUNT/PERIOD``.
        budget_per_week: The same in a week.
        threshold: Of the alarm, ``-log10 p``; None: of the stored alarms nobody knows.
        found: Labels found; None without labels.
    """

    alarms: int
    false: int
    per_week: float
    low_per_week: float
    high_per_week: float
    budget: str
    budget_per_week: float
    threshold: float | None = None
    found: int | None = None

    @property
    def standing(self) -> str:
        """How it stands to the budget, by its interval."""
        if self.low_per_week > self.budget_per_week:
            return "over the budget"
        if self.high_per_week < self.budget_per_week:
            return "within the budget"
        return "too short to tell from the budget"


class Day(msgspec.Struct, frozen=True):
    """One day of a scene, UTC.

    Attributes:
        day: As ``2026-01-31``.
        watched_s: Time that could be judged, seconds.
        old: Alarms of the old side that began then.
        new: Those of the new side.
        gained: Moments gained that began then.
        lost: Moments lost.
        kept: Moments kept.
    """

    day: str
    watched_s: float
    old: int
    new: int
    gained: int
    lost: int
    kept: int


class SceneResult(msgspec.Struct, frozen=True):
    """What changes in one scene.

    Attributes:
        scene: Its name.
        watched_s: Time that the new side could judge, seconds.
        normal_s: The same outside of labels.
        old: Rate of the old side.
        new: Rate of the new side.
        moments: Every alarm, in order of time.
        days: By day.
        labels: Start, end (seconds of site time) and kind of each label; None: there are none.
        outside: Alarms stored for times that were not recorded; they are not compared.
    """

    scene: str
    watched_s: float
    normal_s: float
    old: Rate
    new: Rate
    moments: Sequence[MomentRow]
    days: Sequence[Day]
    labels: Sequence[tuple[float, float, str]] | None = None
    outside: int = 0

    def of(self, change: Change) -> list[MomentRow]:
        """The moments that were gained, lost or kept."""
        return [moment for moment in self.moments if moment.change == change]


class Seams(msgspec.Struct, frozen=True):
    """How pieces of one side fit where they meet.

    Attributes:
        pieces: How many pieces were replayed.
        same: Seams at which both had the same scores and the same event standing.
        different: Seams at which they had not.
        not_compared: Seams at which no window was scored by both.
        worst: Largest difference of a score, ``-log10 p``.
        merged: Events that two pieces told as two and that are one.
        lead_s: Longest time that was replayed before a piece, seconds.
    """

    pieces: int
    same: int
    different: int
    not_compared: int
    worst: float
    merged: int
    lead_s: float


class Backtest(msgspec.Struct, frozen=True):
    """What a backtest found.

    Attributes:
        deployment: Name of the deployment.
        new: What was replayed.
        old: What it is compared with.
        recordings: Folder of the recordings.
        from_ns: When the first of them begins.
        to_ns: When the last of them ends.
        recorded_s: How much was recorded in between, seconds.
        files: Recordings that were read.
        unreadable: Why others could not be read at all, by file.
        damaged: What is missing or damaged in some of those that were read, by file.
        given_up: Stretches that could not be replayed, and why.
        again: How often a piece was run again because its worker was lost.
        seams: By side.
        warnings: What else there is to say.
        scenes: By scene.
    """

    deployment: str
    new: str
    old: str
    recordings: str
    from_ns: int
    to_ns: int
    recorded_s: float
    files: int
    unreadable: dict[str, str]
    damaged: dict[str, Sequence[str]]
    given_up: Sequence[str]
    again: int
    seams: dict[str, Seams]
    warnings: Sequence[str]
    scenes: Sequence[SceneResult]

    def to_json(self) -> str:
        """As JSON, readable; what is not known is null."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode() + "\n"
