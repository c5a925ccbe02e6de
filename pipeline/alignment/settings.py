"""How a scene and each of its streams are put on the timeline."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from pipeline.core.ranges import Range
from pipeline.core.settings import Settings

Interpolation: TypeAlias = Literal["linear", "previous", "none"]


class StreamOptions(Settings):
    """Options of one stream of a scene; the defaults suit most."""

    interpolation: Interpolation | None = None
    """How sensor readings reach the grid: a line between neighbours, the last one before, or
    none: the nearest reading within half a grid period, as it is. Not given: a line for streams
    with a reading in each window, the last one before for others, whose next one comes late."""

    channel_interpolation: dict[str, Interpolation] = {}
    """Interpolation of single sensor channels, by channel name."""

    channel_range: dict[str, Range] = {}
    """Least and greatest value that a sensor channel can have, by channel name. A reading beyond
    is none: the cell counts as not read."""

    max_gap_ns: int = Field(default=5_000_000_000, gt=0)
    """Readings further apart than this leave the sensor cells between them missing, ns."""

    grid_hz: float | None = Field(default=None, gt=0)
    """Grid of frames or sensor cells; none: the stream's own rate, or 10 Hz without one."""


class SceneOptions(Settings):
    """How one scene is aligned."""

    scene: str
    """Name of the scene."""

    streams: tuple[str, ...] = Field(min_length=1)
    """Streams of the scene; windows list them in this order."""

    options: dict[str, StreamOptions] = {}
    """Options of single streams, by name."""

    window_ns: int = Field(default=2_000_000_000, gt=0)
    """Length of a window, ns."""

    hop_ns: int = Field(default=500_000_000, gt=0)
    """Step from one window to the next, ns."""

    latency_ns: int = Field(default=1_000_000_000, ge=0)
    """Longest wait for a stream that is behind the first, ns."""

    lateness_ns: int = Field(default=0, ge=0)
    """How far out of order samples of one stream may come, ns."""

    idle_ns: int = Field(default=3_000_000_000, gt=0)
    """A stream silent for this long no longer holds windows back, ns."""

    event_patience_ns: int = Field(default=100_000_000, ge=0)
    """How long a window waits for a stream that has no regular rate, ns."""

    max_ahead_ns: int = Field(default=30_000_000_000, gt=0)
    """A stream this far past a window's end has it cut at once, ns. Bounds memory."""

    max_jump_ns: int = Field(default=600_000_000_000, gt=0)
    """A stamp further ahead of the scene than this must be confirmed, ns."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.streams)) != len(self.streams):
            raise ValueError(f"a stream is listed twice in {list(self.streams)}")
        if strangers := sorted(set(self.options) - set(self.streams)):
            raise ValueError(f"options for {strangers}, which are no streams of the scene")
        return self
