"""Attention with missing keys: exact masking, and no NaN when everything is missing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def masked_softmax(scores: Tensor, present: Tensor, dim: int = -1) -> Tensor:
    """Softmax over what is present; zero elsewhere, zero everywhere when nothing is.

    Args:
        scores: Any shape.
        present: Bool, broadcastable to `scores`.
        dim: Axis that sums to one.
    """
    # A finite floor, not -inf: a row without any key would turn into NaN, also in backward.
    floor = torch.finfo(scores.dtype).min
    weights = torch.softmax(scores.masked_fill(~present, floor), dim=dim)
    return weights * present


class AttentionPool(nn.Module):
    """A few learned queries look at all tokens: ``(B, N, D)`` to ``(B, Q * D)``.

    Each query asks for one thing and weighs the tokens by how well they answer (Bahdanau et al.
    2015, eq. 6 with a constant decoder state; Lee et al. 2019, "Set Transformer", eq. 13).
    """

    def __init__(self, width: int, queries: int) -> None:
        super().__init__()
        self.keys = nn.Linear(width, width)
        self.queries = nn.Parameter(torch.randn(width, queries) / width**0.5)

    def weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Share of each token in each query's answer, ``(B, N, Q)``."""
        scores = torch.tanh(self.keys(tokens)) @ self.queries
        return masked_softmax(scores, present[..., None], dim=1)

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Answers of all queries side by side; zero when no token is present."""
        weights = self.weights(tokens, present)
        return torch.einsum("bnq,bnd->bqd", weights, tokens).flatten(1)


class SelfAttention(nn.Module):
    """One layer of a Transformer, normalisation first (Vaswani et al. 2017; Xiong et al. 2020).

    Args:
        width: Numbers per token, a multiple of `heads`.
        heads: Heads of attention.
        hidden: Width of the feed-forward part.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )

    def forward(self, tokens: Tensor, visible: Tensor, bias: Tensor | None = None) -> Tensor:
        """Update tokens.

        Args:
            tokens: ``(B, N, D)``.
            visible: Which key each token may look at, bool, ``(B, N, N)`` or ``(B, 1, N)``.
            bias: Added to the scores before the softmax, ``(heads, N, N)``.
        """
        parts = self.project(self.before(tokens)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (B, heads, N, D / heads)
        # A token that may look at nothing looks at everything instead, and is then discarded.
        blind = ~visible.any(dim=-1, keepdim=True)
        mask = (visible | blind)[:, None]
        if bias is not None:
            mask = torch.where(mask, bias, -torch.inf)  # no row is all -inf, see above
        found = F.scaled_dot_product_attention(query, key, value, mask)
        found = found * ~blind[:, None]
        tokens = tokens + self.out(found.transpose(1, 2).flatten(2))
        updated: Tensor = tokens + self.feed(tokens)
        return updated
