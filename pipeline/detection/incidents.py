"""Incidents: events with one cause, told apart from others by when and where they start.

The light goes out in the hall and in the corridor, five microphones hear one bang, a switch fails
and three cameras are gone: one cause raises alarms in several scenes. The rules:

- The first event is the *head*: the incident has its id, and its start counts. It says nothing
  of the incident while it is alone.
- An event joins when it is raised while an event of the incident stands, starts within
  ``within_s`` of the head, and is of the head's scene or a neighbour of it. Of several incidents
  it joins the one with the nearest head, the earlier one of two as near.
- Events of the equipment and of the scenes are never in one incident: they are filtered, snoozed
  and judged apart.
- From then on all its phases carry the incident and the scenes that are in it so far. An event
  never changes its incident.
- An incident is over when all its events are cleared. What starts later is another one.

It is a function of the events in the order in which the engine gives them, and is in the engine:
there all scenes of a deployment are seen, and a replay gives the same incidents. What it must
know after a restart is in the events that the store has kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from pipeline.core.event import Event, Phase
from pipeline.detection.incident_settings import IncidentSettings


@dataclass(slots=True)
class _Incident:
    """One incident.

    Attributes:
        head: Its first event.
        scenes: Its scenes, in the order in which they joined.
        events: Ids of its events.
        standing: Those of them that are not cleared.
    """

    head: Event
    scenes: list[str]
    events: set[str] = field(default_factory=set)
    standing: set[str] = field(default_factory=set)

    def take(self, event: Event) -> None:
        """Take in a phase of one of its events."""
        self.events.add(event.id)
        if event.phase is Phase.CLEARED:
            self.standing.discard(event.id)
        else:
            self.standing.add(event.id)
        if event.scene not in self.scenes:
            self.scenes.append(event.scene)

    def marked(self, event: Event) -> Event:
        """A phase of one of its events with what is known of the incident so far."""
        if len(self.events) == 1:
            return event
        return replace(event, incident=self.head.id, scenes=tuple(self.scenes))


class Incidents:
    """Finds which events belong together.

    Args:
        settings: When they do.
    """

    def __init__(self, settings: IncidentSettings | None = None) -> None:
        own = settings or IncidentSettings()
        self._within_ns = own.within_ns
        self._groups = None if own.groups is None else [frozenset(g) for g in own.groups]
        self._incidents: dict[str, _Incident] = {}
        self._of: dict[str, _Incident] = {}

    def restore(self, events: Iterable[Event]) -> None:
        """Go on from events that an earlier run marked, each at its latest phase, in order."""
        kept = {event.id: event for event in events}
        for event in kept.values():
            head = kept.get(event.incident, event)
            known = self._incidents.setdefault(head.id, _Incident(head, [head.scene]))
            known.take(event)
            if len(event.scenes) > len(known.scenes):
                known.scenes = list(event.scenes)
            self._of[event.id] = known
        for known in list(self._incidents.values()):
            self._forget_if_over(known)

    def marked(self, event: Event) -> Event:
        """Take in the next phase; it as it is published."""
        known = self._of.get(event.id)
        if known is None:
            if event.phase is not Phase.RAISED or not self._within_ns:
                return event
            known = self._joined(event) or self._begun(event)
            self._of[event.id] = known
        known.take(event)
        found = known.marked(event)
        self._forget_if_over(known)
        return found

    def _joined(self, event: Event) -> _Incident | None:
        """The incident that a new event belongs to; None: it is the first of one."""

        def apart_ns(known: _Incident) -> int:
            return abs(event.start_ns - known.head.start_ns)

        fitting = [known for known in self._incidents.values() if self._fits(known, event)]
        return min(fitting, key=apart_ns, default=None)

    def _fits(self, known: _Incident, event: Event) -> bool:
        return (
            known.head.health == event.health
            and abs(event.start_ns - known.head.start_ns) <= self._within_ns
            and self._neighbours(known.head.scene, event.scene)
        )

    def _neighbours(self, one: str, other: str) -> bool:
        if self._groups is None or one == other:
            return True
        return any(one in group and other in group for group in self._groups)

    def _begun(self, event: Event) -> _Incident:
        self._incidents[event.id] = _Incident(event, [event.scene])
        return self._incidents[event.id]

    def _forget_if_over(self, known: _Incident) -> None:
        if not known.standing:
            del self._incidents[known.head.id]
            for event_id in known.events:
                del self._of[event_id]
