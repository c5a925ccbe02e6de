"""Fusion by a gate between two streams, for every pair of streams.

``h = alpha * h_x + (1 - alpha) * h_y`` with ``h_x = tanh(W_x x)``, ``h_y = tanh(W_y y)`` and
``alpha = sigmoid(W [x; y])``: the gated multimodal unit (Arevalo et al. 2017, eq. 2 to 5). With
more than two streams each pair has its unit, and a linear layer gathers the pairs. Where one of
a pair is missing alpha is 1 or 0; where both are, the pair is zero.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.models.fusions.base import Fusion, HiddenSettings, pairs


class AlphaGateSettings(HiddenSettings):
    """Options of the gate."""

    type: Literal["alpha_gate"] = "alpha_gate"
    """Kind of fusion."""

    def build(self, streams: int, width: int) -> AlphaGate:
        """Make the network."""
        return AlphaGate(self, streams, width)


class AlphaGate(Fusion):
    """``(B, M, Z)`` to ``(B, hidden)``."""

    def __init__(self, settings: AlphaGateSettings, streams: int, width: int) -> None:
        super().__init__(streams, settings.hidden)
        # A lone stream is its own partner: the gate then changes nothing.
        self.left, self.right = pairs(streams) if streams > 1 else ([0], [0])
        self.states = nn.ModuleList(nn.Linear(width, width) for _ in range(streams))
        self.gates = nn.ModuleList(nn.Linear(2 * width, width) for _ in self.left)
        self.gather = nn.Linear(len(self.left) * width + streams, settings.hidden)

    def join(self, z: Tensor, present: Tensor) -> Tensor:
        """One unit per pair, gathered."""
        here = present.to(z.dtype)
        states = [torch.tanh(net(z[:, i])) * here[:, i, None] for i, net in enumerate(self.states)]
        units = []
        for gate, i, j in zip(self.gates, self.left, self.right, strict=True):
            alpha = torch.sigmoid(gate(torch.cat([z[:, i], z[:, j]], dim=1)))
            alpha = torch.where(present[:, j, None], alpha, 1.0)
            alpha = torch.where(present[:, i, None], alpha, 0.0)
            units.append(alpha * states[i] + (1 - alpha) * states[j])
        fused: Tensor = self.gather(torch.cat([*units, here], dim=1))
        return fused


PLUGIN = AlphaGateSettings
