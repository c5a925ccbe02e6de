"""Settings of inhibition, see `nodes.inhibition`."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.settings import Settings


class InhibitionSettings(Settings):
    """Which events are not sent while one stands that they follow from."""

    enabled: bool = True
    """Whether any are."""

    hold_s: float = Field(default=3.0, ge=0, le=60)
    """How long an event that may follow from one not yet found waits for that (twice so long where
    that one may wait itself), and how long one that follows from one just cleared is given to
    clear too, seconds. Events of a scene's own never wait to be sent at first."""

    @property
    def hold_ns(self) -> int:
        """`hold_s` in nanoseconds."""
        return round(self.hold_s * 1e9)
