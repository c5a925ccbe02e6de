"""Settings of incidents, see `pipeline.detection.incidents`."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.settings import Settings


class IncidentSettings(Settings):
    """Which events of several scenes are told as one incident."""

    within_s: float = Field(default=5.0, ge=0, le=600)
    """Events that start this near to the first of an incident belong to it, seconds; 0: each
    event is by itself."""

    groups: list[list[str]] | None = None
    """Scenes that one cause can reach, as lists of names: ``[[hall, yard], [cellar, plant]]``.
    A scene may be in several; one in none is by itself. None: all scenes of the deployment, as
    fits one site; name the groups where it has several."""

    @property
    def within_ns(self) -> int:
        """`within_s` in nanoseconds."""
        return round(self.within_s * 1e9)
