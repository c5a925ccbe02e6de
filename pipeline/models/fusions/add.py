"""Fusion by addition: ``v = sum_i z_i`` over the streams that are present.

Streams share the space Z, so their vectors may simply be added (as in the additive models of
Poria et al. 2017, "A Review of Affective Computing", section 5). Like every sum it cannot by
itself tell whether two streams agree.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from pipeline.models.fusions.base import Fusion, FusionSettings


class AddSettings(FusionSettings):
    """No options."""

    type: Literal["add"] = "add"
    """Kind of fusion."""

    def build(self, streams: int, width: int) -> Add:
        """Make it."""
        return Add(streams, width)


class Add(Fusion):
    """``(B, M, Z)`` to ``(B, Z)``; has nothing to learn."""

    def join(self, z: Tensor, present: Tensor) -> Tensor:
        """The sum; what is not present is zero already."""
        return z.sum(dim=1)


PLUGIN = AddSettings
