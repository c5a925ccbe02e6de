"""Fusion by a softmax gate: the streams decide together whom to believe.

``a = softmax(W [v_1; ...; v_M])``, ``v = a * [v_1; ...; v_M]``, the softmax taken over the
streams for each number of Z, and over present streams only. Gating of this form goes back to
the mixture of experts (Jacobs et al. 1991, eq. 1); the element-wise form for two modalities is
DESIGN 6's. Because the gate multiplies, what one stream says can turn another's sign on or off:
it can tell whether they agree.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from pipeline.models.attention import masked_softmax
from pipeline.models.fusions.base import Fusion, FusionSettings


class SoftmaxGateSettings(FusionSettings):
    """No options."""

    type: Literal["softmax_gate"] = "softmax_gate"
    """Kind of fusion."""

    def build(self, streams: int, width: int) -> SoftmaxGate:
        """Make the network."""
        return SoftmaxGate(streams, width)


class SoftmaxGate(Fusion):
    """``(B, M, Z)`` to ``(B, M * Z)``."""

    def __init__(self, streams: int, width: int) -> None:
        super().__init__(streams, streams * width)
        self.gate = nn.Linear(streams * width, streams * width)

    def weights(self, z: Tensor, present: Tensor) -> Tensor:
        """Share of each stream in each number, ``(B, M, Z)``; sums to one over streams."""
        scores = self.gate(z.flatten(1)).reshape(z.shape)
        return masked_softmax(scores, present[..., None], dim=1)

    def join(self, z: Tensor, present: Tensor) -> Tensor:
        """All streams side by side, each number scaled by its gate."""
        return (self.weights(z, present) * z).flatten(1)


PLUGIN = SoftmaxGateSettings
