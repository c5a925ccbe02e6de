"""Sinks that are told once per incident and not once per event, see `SinkSettings.group`.

The fusion node says on each event which incident it belongs to (`pipeline.detection.incidents`);
what a sink is told of that depends on which of the events it is sent at all, so it is found here,
for each sink by itself (`pipeline.core.told_incident`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nodes.alert_routing import AlertRouting
from pipeline.core.event import Event
from pipeline.core.told_incident import ToldIncident, begin, go_on
from pipeline.sinks.base import SinkSettings
from pipeline.store import OutboxStore
from pipeline.store.outbox_incidents import Grouped


class AlertGrouping:
    """Takes in every event that is accepted, in order.

    Args:
        sinks: All there are.
        store: Knows what they were told.
        routing: Counts what they are not told.
    """

    def __init__(
        self, sinks: Sequence[SinkSettings], store: OutboxStore, routing: AlertRouting
    ) -> None:
        self._sinks = [sink.key for sink in sinks if sink.group]
        self._store = store
        self._routing = routing

    def of(self, event: Event, sinks: Sequence[str]) -> list[Grouped]:
        """What each of these sinks that groups is told of an event."""
        found = []
        for sink in self._sinks:
            if sink not in sinks:
                continue
            name, known = _of(event, self._store.incidents(sink))
            after, told = (begin(event), event) if known is None else go_on(known, event)
            found.append(Grouped(sink, name, after, told))
            if told is None:
                self._routing.count(sink, "grouped")
        return found


def _of(event: Event, known: Mapping[str, ToldIncident]) -> tuple[str, ToldIncident | None]:
    """The incident that an event belongs to, and what is known of it."""
    for name, incident in known.items():
        if event.id in incident.events:
            return name, incident
    name = event.incident or event.id
    return name, known.get(name)
