"""What the page's API gives and takes; times are milliseconds since the Unix epoch, UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from nodes.withholding import Withheld
from pipeline.core.event import Event
from pipeline.store import Action, Answer, ScoreMinute, Verdict, verdict_of

MILLISECOND_NS = 1_000_000


class View(BaseModel):
    """Base of all that is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RateView(View):
    """Alarms of a period beside the budget."""

    period: str
    raised: int
    budgeted: float
    ratio: float
    low: float
    high: float


class SceneView(View):
    """A scene and how it is."""

    name: str
    streams: list[str]
    budget: str
    learnt: bool
    standing: list[str]
    """Ids of events that have not been cleared."""
    rates: list[RateView]


class AnswerView(View):
    """What somebody answered to an event."""

    position: int
    event: str
    scene: str
    action: Action
    value: str
    note: str
    who: str
    at_ms: int
    withdrawn_ms: int | None


class AnswerGiven(View):
    """What is answered to an event."""

    action: Action
    value: Verdict | None = None
    """What it was, for a verdict."""
    minutes: Annotated[int, Field(ge=1, le=7 * 24 * 60)] | None = None
    """How long the scene is not to be told of, for a snooze."""
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.action is Action.VERDICT) != (self.value is not None):
            raise ValueError("a verdict has a value, and nothing else has one")
        if (self.action is Action.SNOOZE) != (self.minutes is not None):
            raise ValueError("a snooze has minutes, and nothing else has any")
        return self


class EventRow(View):
    """An event in a list."""

    id: str
    revision: int
    scene: str
    alarm: str
    phase: str
    severity: str
    start_ms: int
    end_ms: int
    p: float
    score: float
    summary: str
    health: bool
    incomplete: list[str]
    snapshot: str
    """Path of the picture below ``/evidence/``; empty without one."""
    verdict: Verdict | None
    seen: bool
    withheld: str
    """Why it was not sent to the sinks, in words; empty when it was."""
    like: str
    """Id of the event it is like that was said to be normal; empty without one."""


class PhaseView(View):
    """One phase of an event."""

    phase: str
    revision: int
    severity: str
    end_ms: int
    score: float


class EventView(EventRow):
    """An event with everything known of it."""

    phases: list[PhaseView]
    evidence: dict[str, str]
    """Path below ``/evidence/`` by what it is; what was not made is left out."""
    evidence_note: str
    """What is missing of full pictures, in words; empty when nothing is."""
    modalities: dict[str, Any]
    explanation: dict[str, Any] | None
    degraded: dict[str, str]
    clock_uncertainty_ms: float
    ledger: dict[str, Any]
    answers: list[AnswerView]


class MinuteView(View):
    """The worst of one or several minutes."""

    at_ms: int
    windows: int
    unseen: int
    score: float
    detectors: dict[str, float]


class History(View):
    """Scores over a span."""

    step_ms: int
    first_ms: int | None
    """The earliest minute that is known of the scene."""
    threshold: float | None
    minutes: list[MinuteView]


class CheckView(View):
    """One check of a node."""

    name: str
    ok: bool
    detail: str


class NodeView(View):
    """A node process on this machine."""

    name: str
    pid: int
    since_ms: int
    reached: bool
    checks: list[CheckView]


class Alike(View):
    """What a verdict of *normal* would have done in the last days."""

    days: int
    of: int
    """Events of the scene in that time that were sent."""
    alike: list[EventRow]
    """Those of them that would not have been."""


def row_of(event: Event, answers: Sequence[Answer], withheld: Withheld | None) -> EventRow:
    """An event for a list."""
    return EventRow(**_row(event, answers, withheld))


def view_of(
    phases: Sequence[Event], answers: Sequence[Answer], withheld: Withheld | None, note: str = ""
) -> EventView:
    """An event with everything known of it.

    Args:
        phases: All its phases, in order.
        answers: Answers that stand, in order.
        withheld: Why it was not sent; None when it was.
        note: What is missing of its evidence.
    """
    event = phases[-1]
    explained = next((p.explanation for p in reversed(phases) if p.explanation), None)
    evidence: Mapping[str, str] = msgspec.to_builtins(event.evidence)
    return EventView(
        **_row(event, answers, withheld),
        phases=[
            PhaseView(
                phase=p.phase.value,
                revision=p.revision,
                severity=p.severity.value,
                end_ms=p.end_ns // MILLISECOND_NS,
                score=p.score,
            )
            for p in phases
        ],
        evidence={name: path for name, path in evidence.items() if path},
        evidence_note=note,
        modalities=msgspec.to_builtins(event.modalities),
        explanation=msgspec.to_builtins(explained),
        degraded=dict(event.degraded),
        clock_uncertainty_ms=event.clock_uncertainty_ns / MILLISECOND_NS,
        ledger=msgspec.to_builtins(event.ledger),
        answers=[answer_view(answer) for answer in answers],
    )


def answer_view(answer: Answer) -> AnswerView:
    """An answer as it is given."""
    return AnswerView(
        position=answer.position,
        event=answer.event,
        scene=answer.scene,
        action=answer.action,
        value=answer.value,
        note=answer.note,
        who=answer.who,
        at_ms=answer.at_ns // MILLISECOND_NS,
        withdrawn_ms=answer.withdrawn_ns // MILLISECOND_NS if answer.withdrawn_ns else None,
    )


def minute_view(minute: ScoreMinute) -> MinuteView:
    """A minute as it is given."""
    return MinuteView(
        at_ms=minute.minute * 60_000,
        windows=minute.windows,
        unseen=minute.unseen,
        score=minute.score,
        detectors=dict(minute.detectors),
    )


def _row(event: Event, answers: Sequence[Answer], withheld: Withheld | None) -> dict[str, Any]:
    return {
        "id": event.id,
        "revision": event.revision,
        "scene": event.scene,
        "alarm": event.alarm,
        "phase": event.phase.value,
        "severity": event.severity.value,
        "start_ms": event.start_ns // MILLISECOND_NS,
        "end_ms": event.end_ns // MILLISECOND_NS,
        "p": event.p,
        "score": event.score,
        "summary": event.summary,
        "health": event.health,
        "incomplete": list(event.incomplete),
        "snapshot": event.evidence.explained or event.evidence.snapshot,
        "verdict": verdict_of(answers),
        "seen": bool(answers),
        "withheld": withheld.words if withheld else "",
        "like": withheld.like if withheld else "",
    }
