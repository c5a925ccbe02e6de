"""Events for tests of what carries them."""

from __future__ import annotations

import msgspec

from pipeline.core.event import Account, Event, Evidence, ModalityScore, Phase, Severity, event_id


def event(
    start_s: int = 0,
    revision: int = 0,
    scene: str = "hall",
    phase: Phase | None = None,
    **changes: object,
) -> Event:
    start_ns = start_s * 10**9
    made = Event(
        id=event_id(scene, "anomaly", start_ns),
        revision=revision,
        scene=scene,
        alarm="anomaly",
        phase=phase or (Phase.RAISED if revision == 0 else Phase.UPDATED),
        severity=Severity.HIGH,
        start_ns=start_ns,
        end_ns=start_ns + (revision + 1) * 10**9,
        p=1e-5,
        score=5.0,
        summary="a sound without its cause",
        modalities={"audio:mic": ModalityScore(p=1e-5, share=0.9, note="louder than ever")},
        clock_uncertainty_ns=120_000,
        incomplete=("cam",),
        ledger={"mic": Account(captured=9, delivered=8, spooled=0, dropped={"corrupt": 1})},
        evidence=Evidence(snapshot="hall/a.jpg"),
    )
    return msgspec.structs.replace(made, **changes)


def life(start_s: int = 0, scene: str = "hall") -> list[Event]:
    """An event's three phases."""
    phases = (Phase.RAISED, Phase.UPDATED, Phase.CLEARED)
    return [event(start_s, number, scene, phase) for number, phase in enumerate(phases)]
