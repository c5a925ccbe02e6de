"""Events as the page's API gives them; times are milliseconds since the Unix epoch, UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from nodes.dashboard.reason_views import AccountView, ExplanationView, HeardView, ModalityView
from nodes.dashboard.views import MILLISECOND_NS, AnswerView, View, answer_view
from nodes.withholding import Fate
from pipeline.core.event import Event
from pipeline.store import Answer, Verdict, verdict_of


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
    """Id of the event it is like that was, or is now, said to be normal; empty without one."""
    cause: str
    """Id of the event it follows from, and is not sent for that; empty without one."""
    incident: str
    """Id of the first event of its incident; empty while it is alone."""
    scenes: list[str]
    """Scenes of its incident so far."""


class PhaseView(View):
    """One phase of an event."""

    phase: str
    revision: int
    severity: str
    end_ms: int
    score: float
    summary: str
    """What was said of it then."""


class TogetherView(View):
    """Another event of the same incident."""

    id: str
    scene: str
    phase: str
    severity: str
    summary: str


class EventView(EventRow):
    """An event with everything known of it."""

    together: list[TogetherView]
    """Other events of its incident, in the order in which they were raised."""
    phases: list[PhaseView]
    evidence: dict[str, str]
    """Path below ``/evidence/`` by what it is; what is not there, or not yet, is left out."""
    evidence_note: str
    """What is missing of full pictures, in words; empty when nothing is."""
    modalities: dict[str, ModalityView]
    heard: dict[str, HeardView]
    """Empty also where an older fusewatch wrote the event."""
    explanation: ExplanationView | None
    degraded: dict[str, str]
    clock_uncertainty_ms: float
    ledger: dict[str, AccountView]
    answers: list[AnswerView]


def row_of(event: Event, answers: Sequence[Answer], fate: Fate) -> EventRow:
    """An event for a list."""
    return EventRow(**_row(event, answers, fate))


def view_of(
    phases: Sequence[Event],
    answers: Sequence[Answer],
    fate: Fate,
    together: Sequence[Event] = (),
    note: str = "",
) -> EventView:
    """An event with everything known of it.

    Args:
        phases: All its phases, in order.
        answers: Answers that stand, in order.
        fate: Whether it was sent.
        together: Other events of its incident.
        note: What is missing of its evidence.
    """
    event = phases[-1]
    explained = next((p.explanation for p in reversed(phases) if p.explanation), None)
    evidence: Mapping[str, str] = msgspec.to_builtins(event.evidence)
    return EventView(
        **_row(event, answers, fate),
        together=[
            TogetherView(
                id=one.id,
                scene=one.scene,
                phase=one.phase.value,
                severity=one.severity.value,
                summary=one.summary,
            )
            for one in together
        ],
        phases=[
            PhaseView(
                phase=p.phase.value,
                revision=p.revision,
                severity=p.severity.value,
                end_ms=p.end_ns // MILLISECOND_NS,
                score=p.score,
                summary=p.summary,
            )
            for p in phases
        ],
        evidence={name: path for name, path in evidence.items() if path},
        evidence_note=note,
        modalities=msgspec.to_builtins(event.modalities),
        heard=msgspec.to_builtins(event.heard or {}),
        explanation=msgspec.to_builtins(explained),
        degraded=dict(event.degraded),
        clock_uncertainty_ms=event.clock_uncertainty_ns / MILLISECOND_NS,
        ledger=msgspec.to_builtins(event.ledger),
        answers=[answer_view(answer) for answer in answers],
    )


def _row(event: Event, answers: Sequence[Answer], fate: Fate) -> dict[str, Any]:
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
        "cause": fate.cause,
        "incident": event.incident,
        "scenes": list(event.scenes),
        "withheld": fate.withheld,
        "like": fate.like,
    }
