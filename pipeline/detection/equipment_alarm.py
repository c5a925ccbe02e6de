"""One alarm of the equipment, from *raised* to *cleared*.

Its event tells of the equipment and not of the scene: its id begins with `HEALTH_PREFIX`, its p
is 1, and it counts against no false-alarm budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from pipeline.core.event import HEALTH_PREFIX, Event, Phase, Severity, event_id

_LONGEST = 64  # of an alarm's name, as sinks keep it


@dataclass(slots=True)
class EquipmentAlarm:
    """An alarm of the equipment of one scene, and the event of it that stands.

    Attributes:
        scene: Name of the scene.
        name: Name of the alarm within the scene.
        event: The event that stands, at its last phase; None: all is well.
    """

    scene: str
    name: str
    event: Event | None = None

    def take_up(self, event: Event) -> None:
        """Go on from a phase that an earlier run published."""
        self.event = None if event.phase is Phase.CLEARED else event

    def begin(
        self,
        start_ns: int,
        end_ns: int,
        summary: str,
        *,
        uncertainty_ns: int = 0,
        incomplete: tuple[str, ...] = (),
        degraded: Mapping[str, str] | None = None,
    ) -> Event:
        """Raise it; see `Event` for what the arguments mean."""
        self.event = Event(
            id=HEALTH_PREFIX + event_id(self.scene, self.name, start_ns),
            revision=0,
            scene=self.scene,
            alarm=self.name,
            phase=Phase.RAISED,
            severity=Severity.MEDIUM,
            start_ns=start_ns,
            end_ns=end_ns,
            p=1.0,
            score=0.0,
            summary=summary,
            clock_uncertainty_ns=uncertainty_ns,
            incomplete=incomplete,
            degraded=degraded or {},
        )
        return self.event

    def go_on(
        self,
        phase: Phase,
        end_ns: int,
        summary: str,
        why: tuple[tuple[str, ...], Mapping[str, str]] | None = None,
    ) -> Event:
        """Update it or clear it.

        Args:
            phase: Which of the two.
            end_ns: Until when.
            summary: What is told.
            why: What is incomplete and what is degraded now; None: as before.

        Raises:
            ValueError: No event stands.
        """
        if self.event is None:
            raise ValueError("no event stands")
        incomplete, degraded = why or (self.event.incomplete, self.event.degraded)
        event = replace(
            self.event,
            revision=self.event.revision + 1,
            phase=phase,
            end_ns=end_ns,
            summary=summary,
            incomplete=incomplete,
            degraded=degraded,
        )
        self.take_up(event)
        return event


def alarm_name(kind: str, of: str) -> str:
    """Name of an alarm, no longer than sinks can keep."""
    return f"{kind}{of}"[:_LONGEST]
