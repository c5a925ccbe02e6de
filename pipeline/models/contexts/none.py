"""No context: each window by itself."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from pipeline.models.contexts.base import Context, ContextSettings


class NoneSettings(ContextSettings):
    """No options."""

    type: Literal["none"] = "none"
    """Kind of context."""

    def build(self, width: int) -> NoContext:
        """Make it."""
        return NoContext(width)


class NoContext(Context):
    """``(B, T, F)`` as it is."""

    def run(self, x: Tensor, present: Tensor) -> Tensor:
        """What came in."""
        return x


PLUGIN = NoneSettings
