"""Several odd-one-out networks asked at once: what a small network costs is mostly the calls.

The weights of a layer stand side by side, ``N`` of them, and one product takes all of them. A
network by itself gives the same scores but for the last bits; what is live, replayed or goes on
after a restart all comes this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models.contexts.base import Context
from pipeline.models.contexts.recurrent import Recurrent

if TYPE_CHECKING:
    from pipeline.models.odd import OddNetwork


class OddEnsemble:
    """Networks of one make, in ``eval()``, with the weights they have now.

    Args:
        networks: The networks, ``(N,)``, at least one.
    """

    def __init__(self, networks: Sequence[OddNetwork]) -> None:
        # Per stream the layers of its mappers: two products, then a normalisation.
        mappers = [_sequences(nets) for nets in zip(*(n.mappers for n in networks), strict=True)]
        self._first = [_Linears.of([one[0] for one in nets]) for nets in mappers]
        self._second = _Linears.of([one[3] for nets in mappers for one in nets])  # (M * N,)
        self._norm = _Norms([one[4] for nets in mappers for one in nets])
        self._fusions = [network.fusion for network in networks]
        self._context = _side_by_side([network.context for network in networks])
        self._answer = _Linears.of([network.answer for network in networks])

    def embed(self, bent: Sequence[Tensor]) -> Tensor:
        """Map each stream into Z, as `OddNetwork.embed` does: per stream ``(B, E)`` bent a little.

        Returns:
            ``(N, B, M, Z)``.
        """
        count = len(self._fusions)
        pairs = zip(self._first, bent, strict=True)
        first = torch.cat([layer(x.expand(count, -1, -1)) for layer, x in pairs])
        z = self._norm(self._second(F.gelu(first)))  # (M * N, B, Z)
        return z.reshape(-1, count, *z.shape[1:]).movedim(0, 2)

    def logits(self, z: Tensor, present: Tensor) -> Tensor:
        """Logits of *none* and of each stream, present or not, ``(N, B, T, 1 + M)``.

        Args:
            z: ``(N, B, T, M, Z)``, oldest first.
            present: Which streams are there, bool ``(B, T, M)``.
        """
        flat = present.flatten(0, 1)
        pairs = zip(self._fusions, z.flatten(1, 2), strict=True)
        fused = torch.stack([fusion(one, flat) for fusion, one in pairs])  # (N, B * T, F)
        told = self._context(fused.reshape(*z.shape[:3], -1), present.any(dim=-1))
        return self._answer(told.flatten(1, 2)).reshape(*z.shape[:3], -1)


class _Linears:
    """Linear layers side by side: ``(N, B, in)`` to ``(N, B, out)``.

    Args:
        weights: Of each, ``(out, in)``.
        biases: Of each, ``(out,)``.
    """

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        self._weight = torch.stack([one.detach() for one in weights]).transpose(1, 2)
        self._bias = torch.stack([one.detach() for one in biases])[:, None]

    @classmethod
    def of(cls, layers: Sequence[nn.Module]) -> _Linears:
        """Those of some layers."""
        known = [cast("nn.Linear", layer) for layer in layers]
        return cls([one.weight for one in known], [one.bias for one in known])

    def __call__(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self._bias, x, self._weight)


class _Norms:
    """Layer normalisations side by side, ``(N, B, D)``."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        known = [cast("nn.LayerNorm", layer) for layer in layers]
        self._shape, self._eps = known[0].normalized_shape, known[0].eps
        self._weight = torch.stack([one.weight.detach() for one in known])[:, None]
        self._bias = torch.stack([one.bias.detach() for one in known])[:, None]

    def __call__(self, x: Tensor) -> Tensor:
        alike = F.layer_norm(x, list(self._shape), eps=self._eps)
        return torch.addcmul(self._bias, alike, self._weight)


class _EachByItself:
    """Contexts of any kind: ``(N, B, T, F)`` to ``(N, B, T, F')``."""

    def __init__(self, contexts: Sequence[Context]) -> None:
        self._contexts = contexts

    def __call__(self, x: Tensor, present: Tensor) -> Tensor:
        pairs = zip(self._contexts, x, strict=True)
        return torch.stack([context(one, present) for context, one in pairs])


class _GatedUnits:
    """Gated recurrent units side by side, as ``torch.nn.GRUCell`` defines them."""

    def __init__(self, contexts: Sequence[Recurrent]) -> None:
        cells = [cast("nn.GRUCell", one.cell) for one in contexts]
        self._width = contexts[0].width
        self._seen = _Linears([c.weight_ih for c in cells], [c.bias_ih for c in cells])
        self._kept = _Linears([c.weight_hh for c in cells], [c.bias_hh for c in cells])
        self._past = _Linears.of([one.past for one in contexts])
        self._finish = _Norms([one.finish for one in contexts])

    def __call__(self, x: Tensor, present: Tensor) -> Tensor:
        x = torch.where(present[..., None], x, 0.0)
        flat = x.flatten(1, 2)
        states = self._states(self._seen(flat).reshape(*x.shape[:3], -1), present)
        return self._finish(states.flatten(1, 2) + self._past(flat)).reshape(states.shape)

    def _states(self, seen: Tensor, present: Tensor) -> Tensor:
        """State after each window, ``(N, B, T, H)``; one in which nothing was seen changes none.

        Args:
            seen: What each window puts to the gates, ``(N, B, T, 3 H)``.
            present: bool ``(B, T)``.
        """
        width = self._width
        state = seen.new_zeros((*seen.shape[:2], width))
        states = []
        for step, here in zip(seen.unbind(2), present.unbind(1), strict=True):
            kept = self._kept(state)  # (N, B, 3 H)
            gates = torch.sigmoid(step[..., : 2 * width] + kept[..., : 2 * width])
            reset, update = gates.chunk(2, dim=-1)
            new = torch.tanh(step[..., 2 * width :] + reset * kept[..., 2 * width :])
            state = torch.where(here[:, None], torch.lerp(new, state, update), state)
            states.append(state)
        return torch.stack(states, dim=2)


def _side_by_side(contexts: Sequence[Context]) -> _GatedUnits | _EachByItself:
    gated = [c for c in contexts if isinstance(c, Recurrent) and isinstance(c.cell, nn.GRUCell)]
    return _GatedUnits(gated) if len(gated) == len(contexts) else _EachByItself(contexts)


def _sequences(networks: Sequence[nn.Module]) -> list[nn.Sequential]:
    return [cast("nn.Sequential", network) for network in networks]
