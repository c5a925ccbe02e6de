"""Escalation: a sink that is told of an event only if nobody answered it in time."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.event import Severity
from pipeline.core.settings import Settings


class Escalation(Settings):
    """When a sink is told of what nobody answered.

    What somebody acknowledged, snoozed or gave a verdict on before its time came is not told.
    """

    after_s: float = Field(gt=0, le=604_800)
    """Time in which somebody may answer, from when the event is raised, seconds."""

    at_least: Severity = Severity.HIGH
    """What is over by then is told only if it was this severe; what still stands always is."""

    @property
    def after_ns(self) -> int:
        """`after_s` in nanoseconds."""
        return round(self.after_s * 1e9)
