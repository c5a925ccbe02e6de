"""How far answers of people may go in holding events back."""

from __future__ import annotations

from pydantic import Field

from pipeline.config.retention import Age
from pipeline.core.settings import Settings


class FeedbackSettings(Settings):
    """Bounds of what a verdict *normal here* does, see `nodes.exemptions`."""

    normal_for: Age | None = "90d"
    """How long it holds back what is like the event, from when it was said; none: until it is
    taken back. After that the same is told again, and can be said to be normal again."""

    normal_at_most: int = Field(default=50, ge=1)
    """So many of a scene hold at a time, the latest ones. A scene that needs more should learn
    anew what is normal there: ``fusewatch commission``."""
