"""Settings of what is told when a scene's streams cannot see, see `pipeline.detection.sight`."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.settings import Settings


class SightSettings(Settings):
    """When a stream that cannot see becomes an event."""

    enabled: bool = True
    """Tell it as an event when a camera is dark, covered, blurred, frozen or moved, a microphone
    silent or clipped, a sensor stuck or out of range, a stream or its node gone, or its clock not
    to be trusted."""

    after_s: float = Field(default=10.0, gt=0)
    """Tell it when it has lasted this long, seconds. Time in which the stream saw counts
    against it, so that one that flickers is told once it is blind most of the time."""

    clear_after_s: float = Field(default=5.0, gt=0)
    """It is over when the stream has seen for this long without a break, seconds."""

    startup_s: float = Field(default=30.0, ge=0)
    """A stream of which its scene has seen nothing yet has this long to come, seconds. One that
    was seen before the fusion node started again has ``after_s``, as at any time."""

    clock_limit_ms: float | None = Field(default=None, gt=0)
    """A clock that may be off by more than this, and the time between two samples of its stream,
    is not trusted, ms; none: the scene's ``hop_s``."""
