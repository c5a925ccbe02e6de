"""Settings of the watch over a scene's streams, see `pipeline.alignment.sync_watch`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipeline.core.settings import Settings


class SyncWatchSettings(Settings):
    """Whether the streams of a scene are watched for drifting apart in time."""

    enabled: bool = False
    """Tell it as an event when a stream has drifted. Worth it where several streams notice the
    same sharp moments every minute or so: a press, a door, a lamp, a machine's stroke. Where
    there are none the watch stays silent, right or wrong."""

    limit_ms: float = Field(default=150.0, gt=0)
    """A stream that is earlier or later than the sound by more than this has drifted, ms. What
    people do is seen a tenth of a second before or after it is heard: much less is not news."""

    window_s: float = Field(default=120.0, ge=30)
    """How much of the past is compared, seconds; it is looked at twice in that time."""

    span_s: float = Field(default=1.0, ge=0.1, le=10)
    """Largest offset that is looked for, seconds; ten of them must fit into the window."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if 10 * self.span_s > self.window_s:
            raise ValueError("'window_s' must be ten times 'span_s' or more")
        return self
