"""The alarm: a state machine over scores (see `AlarmSettings` for its rules)."""

from __future__ import annotations

from pydantic import Field, field_validator

from pipeline.core.settings import Settings

PERIODS_S = {"minute": 60.0, "hour": 3600.0, "day": 86400.0, "week": 604800.0}


class AlarmSettings(Settings):
    """When scores become an event."""

    name: str = "anomaly"
    """Name of the alarm within its scene; part of the event id."""

    budget: str = "2/day"
    """False alarms that may be spent, as ``COUNT/PERIOD``; sets the threshold."""

    min_duration_s: float = Field(default=1.0, ge=0)
    """Raise only when scores stayed over the threshold for this long, seconds."""

    clear_ratio: float = Field(default=0.8, gt=0, le=1)
    """Hysteresis: the score must fall below this share of the threshold to end."""

    clear_after_s: float = Field(default=2.0, ge=0)
    """Clear after scores stayed below for this long; also the merge gap, seconds."""

    cooldown_s: float = Field(default=5.0, ge=0)
    """After a clear, raise anew only for a higher score within this time, seconds."""

    update_every_s: float = Field(default=10.0, gt=0)
    """Publish an update of a standing alarm at most this often, seconds."""

    @field_validator("budget")
    @classmethod
    def _readable(cls, value: str) -> str:
        _rate_hz(value)
        return value

    @property
    def false_alarms_hz(self) -> float:
        """The budget as a rate, false alarms per second."""
        return _rate_hz(self.budget)


def _rate_hz(budget: str) -> float:
    count, _, period = budget.partition("/")
    try:
        rate = float(count) / PERIODS_S[period.strip().removesuffix("s")]
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"budget {budget!r} is not COUNT/PERIOD; write for example 2/week or 6/hour"
        ) from error
    if rate <= 0:
        raise ValueError(f"budget {budget!r} must be greater than zero")
    return rate
