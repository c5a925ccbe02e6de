"""Settings of the recalibration of a scene, see `pipeline.detection.recalibration`."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.settings import Settings


class RecalibrationSettings(Settings):
    """How far the scores of a scene may follow slow changes of what is normal there."""

    enabled: bool = False
    """Whether they do; off: the calibration of the commissioning, at once."""

    horizon_s: float = Field(default=3600.0, gt=0)
    """Calm time that is remembered, seconds."""

    most: float = Field(default=1.3, ge=1, le=2)
    """Largest factor by which a score may ever be changed, up or down. An anomaly whose score
    is this many times the threshold is found whatever was learnt."""

    per_hour: float = Field(default=0.2, gt=0)
    """Largest change of a factor in an hour of calm time, as a share of it."""

    calm_below: float = Field(default=0.75, gt=0, le=1)
    """Learn only from scores below this share of the threshold."""

    guard_s: float = Field(default=30.0, ge=0)
    """Learn from nothing this close to an alarm or a candidate for one, seconds."""
