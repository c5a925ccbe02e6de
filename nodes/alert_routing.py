"""Which sinks an event goes to: by scene, by severity, and not to any when it is withheld."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from pipeline.core.event import Event, Severity
from pipeline.sinks.base import SinkSettings

_SEVERITIES = tuple(Severity)


class AlertRouting:
    """Chooses the sinks of each event.

    Args:
        sinks: All there are.
        told: Sinks that were sent an earlier phase of an event, by its id.

    Attributes:
        not_sent: Phases that did not go to a sink, by sink and reason.
    """

    def __init__(
        self, sinks: Sequence[SinkSettings], told: Callable[[str], Collection[str]]
    ) -> None:
        self._sinks = sinks
        self._told = told
        self.not_sent: dict[tuple[str, str], int] = {}

    def of(self, event: Event) -> list[str]:
        """Names of the sinks that an event goes to.

        Whoever was told of an event is told how it goes on.
        """
        told = self._told(event.id) if event.revision else ()
        chosen = []
        for sink in self._sinks:
            reason = "" if sink.key in told else why_not(event, sink)
            if reason:
                self.count(sink.key, reason)
            else:
                chosen.append(sink.key)
        return chosen

    def count(self, sink: str, reason: str) -> None:
        """Count a phase that did not go to a sink."""
        counted = sink, reason
        self.not_sent[counted] = self.not_sent.get(counted, 0) + 1


def why_not(event: Event, sink: SinkSettings) -> str:
    """Why an event does not go to a sink; empty when it does."""
    if event.withheld:
        return "cause" if event.cause else "withheld"
    if sink.scenes and event.scene not in sink.scenes:
        return "scene"
    if event.health:
        return "" if sink.equipment else "equipment"
    rank = _SEVERITIES.index
    return "severity" if rank(event.severity) < rank(sink.at_least) else ""
