"""Settings of a capture node's spool."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from pipeline.core.settings import Settings

SpoolOrder: TypeAlias = Literal["oldest_first", "live_first"]


class SpoolSettings(Settings):
    """Keep on disk what the fusion node has not committed."""

    enabled: bool = True
    """Whether there is a spool; false: none, also where the fusion node is on another machine."""

    folder: Path | None = None
    """Where the spool lies; none: ``spool/NODE`` in the deployment's data folder. A folder of
    the node's own, on a disk of this machine."""

    max_mb: float = Field(default=1024.0, ge=1)
    """Most the spool takes, MiB; beyond it the oldest samples go, counted as ``spool_full``."""

    max_age_h: float = Field(default=24.0, gt=0)
    """Samples written longer ago go, hours, counted as ``spool_age``."""

    after_s: float | None = Field(default=None, ge=0)
    """A sample that has waited for its ack this long is written, seconds; 0: every one, at
    once. About this much is lost when the capture node is killed. Less than the fusion node
    takes to commit (window, hop, latency and, of sound, four seconds) writes every sample for
    nothing; none: two seconds more than that."""

    fsync_s: float = Field(default=1.0, ge=0)
    """At most this much of what was written is lost at a power cut, seconds; 0: nothing."""

    order: SpoolOrder = "oldest_first"
    """What is sent first when the fusion node is back: the backlog, so that every window is
    scored, or what is new, with the backlog behind it at the pace that the line bears, recorded
    as ``NAME~backlog`` and not scored. ``live_first`` suits a node whose scenes go on without
    it, as other nodes have streams in them, and a line over which catching up takes hours."""

    @model_validator(mode="after")
    def _time_to_be_sent(self) -> Self:
        soon = self.after_s is not None and self.after_s < 1
        if self.order == "live_first" and soon:
            raise ValueError("live_first needs after_s of at least 1: what waited so long is late")
        return self
