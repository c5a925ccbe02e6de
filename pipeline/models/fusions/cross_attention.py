"""Fusion by attention from each stream to the others.

``e_ij = f(x_i, y_j)``, ``alpha = softmax_j(e)``, ``v_i = sum_j alpha_ij y_j`` with
``f(x, y) = (W_q x) . (W_k y) / sqrt(d)`` (Vaswani et al. 2017, eq. 1; across modalities Tsai et
al. 2019, "Multimodal Transformer", eq. 3). Each stream's vector is first spread over a few
parts, so that there is something to choose among even with two streams. A learned part that
belongs to no stream can be chosen when nothing fits, and is all there is when nothing else is
present. What was found is compared with what looked for it by ``[x; v; x * v]`` (Chen et al.
2017, "Enhanced LSTM for Natural Language Inference", eq. 14).
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models.fusions.base import Fusion, HiddenSettings, mlp


class CrossAttentionSettings(HiddenSettings):
    """Options of the cross-attention."""

    type: Literal["cross_attention"] = "cross_attention"
    """Kind of fusion."""

    parts: int = Field(default=4, ge=1, le=64)
    """Parts that each stream's vector is spread over."""

    part_width: int = Field(default=32, ge=4)
    """Numbers per part."""

    def build(self, streams: int, width: int) -> CrossAttention:
        """Make the network."""
        return CrossAttention(self, streams, width)


class CrossAttention(Fusion):
    """``(B, M, Z)`` to ``(B, hidden)``."""

    others: Tensor

    def __init__(self, settings: CrossAttentionSettings, streams: int, width: int) -> None:
        super().__init__(streams, settings.hidden)
        self.parts, size = settings.parts, settings.part_width
        self.spread = nn.ModuleList(nn.Linear(width, self.parts * size) for _ in range(streams))
        self.nothing = nn.Parameter(torch.randn(1, 1, size) / size**0.5)
        self.query, self.key = nn.Linear(size, size), nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.compare = nn.Linear(3 * size, size)
        self.gather = mlp(streams * (self.parts * size + 1), settings.hidden)
        owner = torch.arange(streams).repeat_interleave(self.parts)
        self.register_buffer("others", owner[:, None] != owner[None, :], persistent=False)

    def join(self, z: Tensor, present: Tensor) -> Tensor:
        """Each part looks at the parts of the other streams; all are gathered."""
        spread = [net(z[:, i]).unflatten(-1, (self.parts, -1)) for i, net in enumerate(self.spread)]
        x = torch.cat(spread, dim=1)  # (B, M * parts, size)
        here = present.repeat_interleave(self.parts, dim=1)  # (B, M * parts)
        y = torch.cat([x, self.nothing.expand(len(z), -1, -1)], dim=1)
        visible = F.pad(self.others & here[:, None], (0, 1), value=True)
        found = F.scaled_dot_product_attention(self.query(x), self.key(y), self.value(y), visible)
        compared = F.gelu(self.compare(torch.cat([x, found, x * found], dim=-1)))
        compared = (compared * here[..., None]).flatten(1)
        fused: Tensor = self.gather(torch.cat([compared, present.to(z.dtype)], dim=1))
        return fused


PLUGIN = CrossAttentionSettings
