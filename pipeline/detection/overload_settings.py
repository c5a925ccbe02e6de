"""What a fusion node does that cannot keep up, see `pipeline.detection.overload`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipeline.core.settings import Settings


class OverloadSettings(Settings):
    """When windows are left out, and when no longer."""

    lag_s: float = Field(default=3.0, gt=0)
    """Behind is a fusion node in which what arrived waits longer than this, seconds."""

    after_s: float = Field(default=10.0, gt=0)
    """Once it was behind for so long the hop of scenes becomes twice as wide, and again after as
    long, seconds."""

    widest: int = Field(default=4, ge=1, le=64)
    """The hop becomes at most so many times as wide, and never wider than the window is long, so
    that every moment is in a window that is scored; 1: never wider."""

    full: float = Field(default=0.9, gt=0, le=1)
    """Share of the time that work may take: only when it takes more the hop widens, and until it
    takes no more. A node that is behind after a cut, and has time to catch up, leaves out
    nothing."""

    slack: float = Field(default=0.7, gt=0, le=1)
    """Hops become narrower again as far as work then takes no more than this share of the time."""

    calm_s: float = Field(default=30.0, gt=0)
    """... once nothing waited longer than half of ``lag_s`` for so long, seconds."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.slack >= self.full:
            raise ValueError("'slack' must be below 'full', or the hop goes to and fro")
        return self
