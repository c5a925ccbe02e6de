"""How a stream's pictures are made smaller for the link, and what is kept of the full ones."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.settings import Settings


class SmallSettings(Settings):
    """Smaller pictures on the link, full ones on the capture node."""

    width: int = Field(ge=16)
    """Width of the pictures that are sent, pixels; the height follows. Smaller ones stay as they
    are. Models must be commissioned on pictures of this size."""

    hz: float | None = Field(default=None, gt=0)
    """Most pictures sent a second; none: all."""

    keep_full_s: float = Field(default=30.0, ge=0, le=600.0)
    """Keep the full pictures in the capture node's memory for this long, seconds; 0: do not. What
    falls out is gone, and so is all when the process ends."""

    keep_full_mb: float = Field(default=64.0, gt=0)
    """Keep no more than this of them, MiB; the oldest fall out."""

    keep_quality: int = Field(default=90, ge=1, le=100)
    """Quality at which full pictures are kept that the source gives raw; a JPEG stays as it is."""
