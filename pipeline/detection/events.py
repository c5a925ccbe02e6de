"""From an alarm's transition to the event that is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.core.event import Account, Event, Heard, ModalityScore, subjects
from pipeline.detection.score import NOTE_BELOW_P, TOGETHER, WindowScore
from pipeline.detection.transition import Transition, anomaly_score

NOTES_IN_SUMMARY = 2
RAREST = 1_000_000
_NOBODY: Mapping[str, Heard] = {}


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
        summary=summary(peak, transition.widened, transition.heard),
        modalities=contributions(peak),
        clock_uncertainty_ns=peak.uncertainty_ns,
        incomplete=peak.missing,
        degraded=dict(peak.degraded),
        ledger=dict(accounts),
        explanation=peak.explanation,
        heard=transition.heard,
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


def summary(peak: WindowScore, widened: int = 1, heard: Mapping[str, Heard] = _NOBODY) -> str:
    """One sentence: what is unusual, how rare that is here, and what was not looked at.

    Args:
        peak: The worst window.
        widened: See `pipeline.core.event.Event.widened`.
        heard: See `pipeline.core.event.Event.heard`.
    """
    ranked = sorted(peak.notes, key=lambda name: peak.detectors.get(name, 1.0))[:NOTES_IN_SUMMARY]
    named = _once([_told(name, peak.notes[name]) for name in ranked])
    what = "; ".join(named) or TOGETHER
    faint = len(peak.detectors) > 1 and min(peak.detectors.values()) > NOTE_BELOW_P
    if faint and what != TOGETHER:
        what = f"{TOGETHER}, most of all: {what}"
    rest = f"{_beside(heard, ranked, named)}{_blind(peak)}{_rarely(widened)}"
    return f"{what[0].upper()}{what[1:]}; {rarity(peak.p)}{rest}."


def _beside(heard: Mapping[str, Heard], told: Sequence[str], named: Sequence[str]) -> str:
    """What other streams, or something between streams, said at another time of the event."""
    others = [n for n in heard if heard[n].note and not subjects([n]) <= subjects(told)]
    others.sort(key=lambda name: -heard[name].score)
    said = _once([*named, *(_told(name, heard[name].note) for name in others)])
    new = said[len(named) :][:NOTES_IN_SUMMARY]
    return f"; beside that {'; '.join(new)}" if new else ""


def _once(notes: Sequence[str]) -> list[str]:
    """What is told, without what an earlier note said: of a pair that does not fit, both tell."""
    said: set[str] = set()
    told: list[str] = []
    for note in notes:
        new = [clause for clause in note.split("; ") if clause not in said]
        said.update(new)
        told += ["; ".join(new)] if new else []
    return told


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
