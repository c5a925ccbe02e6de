"""From an alarm's transition to the event that is published."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core.event import Account, Event, ModalityScore
from pipeline.detection.score import NOTE_BELOW_P, TOGETHER, WindowScore
from pipeline.detection.transition import Transition, anomaly_score

NOTES_IN_SUMMARY = 2
RAREST = 1_000_000


def event_of(transition: Transition, accounts: Mapping[str, Account]) -> Event:
    """The event of a transition.

    Args:
        transition: What the alarm says.
        accounts: Loss ledger per stream of the scene, as it was known when the window was cut.
    """
    peak = transition.peak
    return Event(
        id=transition.id,
        revision=transition.revision,
        scene=transition.scene,
        alarm=transition.alarm,
        phase=transition.phase,
        severity=transition.severity,
        start_ns=transition.start_ns,
        end_ns=transition.end_ns,
        p=transition.p,
        score=transition.score,
        summary=summary(peak, transition.widened),
        modalities=contributions(peak),
        clock_uncertainty_ns=peak.uncertainty_ns,
        incomplete=peak.missing,
        degraded=dict(peak.degraded),
        ledger=dict(accounts),
        explanation=peak.explanation,
        widened=transition.widened,
    )


def contributions(peak: WindowScore) -> dict[str, ModalityScore]:
    """Each detector's p, its share of the summed scores, and what it has to say."""
    levels = {name: anomaly_score(p) for name, p in peak.detectors.items()}
    total = sum(levels.values()) or 1.0
    return {
        name: ModalityScore(p, round(levels[name] / total, 6), peak.notes.get(name, ""))
        for name, p in sorted(peak.detectors.items(), key=lambda item: item[1])
    }


def summary(peak: WindowScore, widened: int = 1) -> str:
    """One sentence: what is unusual, how rare that is here, and what was not looked at."""
    ranked = sorted(peak.notes, key=lambda name: peak.detectors.get(name, 1.0))
    named = [_told(name, peak.notes[name]) for name in ranked[:NOTES_IN_SUMMARY]]
    what = "; ".join(named) or TOGETHER
    faint = len(peak.detectors) > 1 and min(peak.detectors.values()) > NOTE_BELOW_P
    if faint and what != TOGETHER:
        what = f"{TOGETHER}, most of all: {what}"
    return f"{what[0].upper()}{what[1:]}; {rarity(peak.p)}{_blind(peak)}{_rarely(widened)}."


def _blind(peak: WindowScore) -> str:
    """What could not be seen, or only badly."""
    missing = f"; not seen: {', '.join(peak.missing)}" if peak.missing else ""
    degraded = [f"{stream} was {why}" for stream, why in sorted(peak.degraded.items())]
    return missing + "".join(f"; {one}" for one in degraded)


def _rarely(widened: int) -> str:
    """That fewer windows are looked at than are to be."""
    return f"; overloaded: 1 window in {widened} is looked at" if widened > 1 else ""


def rarity(p: float) -> str:
    """A p-value as people say it."""
    windows = 1.0 / max(p, 1.0 / RAREST)
    if windows >= RAREST:
        return "rarer than 1 in 1,000,000 moments here"
    digits = 10 ** max(len(str(int(windows))) - 2, 0)
    return f"about 1 in {round(windows / digits) * digits:,.0f} moments here"


def _told(detector: str, note: str) -> str:
    _, _, stream = detector.partition(":")
    return f"{note} ({stream})" if stream else note
