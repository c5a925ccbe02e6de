"""Several odd-one-out networks asked at once: what a small network costs is mostly the calls.

The weights of a layer stand side by side, ``N`` of them, and one product takes all of them. A
network by itself gives the same scores but for the last bits; what is live, replayed or goes on
after a restart all comes this way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models.contexts.base import Context
from pipeline.models.contexts.recurrent import Recurrent
from pipeline.models.odd_network import OddNetwork


@dataclass(frozen=True, slots=True)
class _Linears:
    """Linear layers side by side: ``(N, B, in)`` to ``(N, B, out)``.

    Attributes:
        weight: Of each, ``(N, in, out)``.
        bias: Of each, ``(N, 1, out)``.
    """

    weight: Tensor
    bias: Tensor

    @classmethod
    def made(cls, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Self:
        """Of weights ``(out, in)`` and biases ``(out,)``."""
        weight = torch.stack([one.detach() for one in weights]).transpose(1, 2)
        return cls(weight, torch.stack([one.detach() for one in biases])[:, None])

    @classmethod
    def of(cls, layers: Sequence[nn.Module]) -> Self:
        """Those of some layers."""
        known = [cast("nn.Linear", layer) for layer in layers]
        return cls.made([one.weight for one in known], [one.bias for one in known])

    def __call__(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


@dataclass(frozen=True, slots=True)
class _Norms:
    """Layer normalisations side by side, ``(N, B, D)``.

    Attributes:
        weight: Of each, ``(N, 1, D)``.
        bias: Of each, ``(N, 1, D)``.
        eps: Of all.
    """

    weight: Tensor
    bias: Tensor
    eps: float

    @classmethod
    def of(cls, layers: Sequence[nn.Module]) -> Self:
        """Those of some layers."""
        known = [cast("nn.LayerNorm", layer) for layer in layers]
        weight = torch.stack([one.weight.detach() for one in known])[:, None]
        bias = torch.stack([one.bias.detach() for one in known])[:, None]
        return cls(weight, bias, known[0].eps)

    def __call__(self, x: Tensor) -> Tensor:
        alike = F.layer_norm(x, [x.shape[-1]], eps=self.eps)
        return torch.addcmul(self.bias, alike, self.weight)


@dataclass(frozen=True, slots=True)
class _EachByItself:
    """Contexts of any kind: ``(N, B, T, F)`` to ``(N, B, T, F')``."""

    contexts: tuple[Context, ...]

    def __call__(self, x: Tensor, present: Tensor) -> Tensor:
        pairs = zip(self.contexts, x, strict=True)
        return torch.stack([context(one, present) for context, one in pairs])


@dataclass(frozen=True, slots=True)
class _GatedUnits:
    """Gated recurrent units side by side, as ``torch.nn.GRUCell`` defines them."""

    width: int
    seen: _Linears
    kept: _Linears
    past: _Linears
    finish: _Norms

    @classmethod
    def of(cls, contexts: Sequence[Recurrent]) -> Self:
        """Those of some contexts."""
        cells = [cast("nn.GRUCell", one.cell) for one in contexts]
        return cls(
            contexts[0].width,
            _Linears.made([c.weight_ih for c in cells], [c.bias_ih for c in cells]),
            _Linears.made([c.weight_hh for c in cells], [c.bias_hh for c in cells]),
            _Linears.of([one.past for one in contexts]),
            _Norms.of([one.finish for one in contexts]),
        )

    def __call__(self, x: Tensor, present: Tensor) -> Tensor:
        x = torch.where(present[..., None], x, 0.0)
        flat = x.flatten(1, 2)
        states = self._states(self.seen(flat).reshape(*x.shape[:3], -1), present)
        return self.finish(states.flatten(1, 2) + self.past(flat)).reshape(states.shape)

    def _states(self, seen: Tensor, present: Tensor) -> Tensor:
        """State after each window, ``(N, B, T, H)``; one in which nothing was seen changes none.

        Args:
            seen: What each window puts to the gates, ``(N, B, T, 3 H)``.
            present: bool ``(B, T)``.
        """
        width = self.width
        state = seen.new_zeros((*seen.shape[:2], width))
        states = []
        for step, here in zip(seen.unbind(2), present.unbind(1), strict=True):
            kept = self.kept(state)  # (N, B, 3 H)
            gates = torch.sigmoid(step[..., : 2 * width] + kept[..., : 2 * width])
            reset, update = gates.chunk(2, dim=-1)
            new = torch.tanh(step[..., 2 * width :] + reset * kept[..., 2 * width :])
            state = torch.where(here[:, None], torch.lerp(new, state, update), state)
            states.append(state)
        return torch.stack(states, dim=2)


@dataclass(frozen=True, slots=True)
class OddEnsemble:
    """Networks of one make, in ``eval()``, with the weights they have now.

    Attributes:
        first: First layer of each stream's mappers.
        second: Second layers, those of one stream after those of the other, ``(M * N,)``.
        norm: Their normalisations, likewise.
        fusions: Fusion of each network.
        context: Contexts of all.
        answer: Last layers.
    """

    first: tuple[_Linears, ...]
    second: _Linears
    norm: _Norms
    fusions: tuple[Callable[[Tensor, Tensor], Tensor], ...]
    context: Callable[[Tensor, Tensor], Tensor]
    answer: _Linears

    @classmethod
    def of(cls, networks: Sequence[OddNetwork]) -> Self:
        """Put networks side by side, ``(N,)``, at least one."""
        # Per stream the layers of its mappers: two products, then a normalisation.
        mappers = [_sequences(nets) for nets in zip(*(n.mappers for n in networks), strict=True)]
        return cls(
            tuple(_Linears.of([one[0] for one in nets]) for nets in mappers),
            _Linears.of([one[3] for nets in mappers for one in nets]),
            _Norms.of([one[4] for nets in mappers for one in nets]),
            tuple(network.fusion for network in networks),
            _side_by_side([network.context for network in networks]),
            _Linears.of([network.answer for network in networks]),
        )

    def embed(self, bent: Sequence[Tensor]) -> Tensor:
        """Map each stream into Z, as `OddNetwork.embed` does: per stream ``(B, E)`` bent a little.

        Returns:
            ``(N, B, M, Z)``.
        """
        count = len(self.fusions)
        pairs = zip(self.first, bent, strict=True)
        first = torch.cat([layer(x.expand(count, -1, -1)) for layer, x in pairs])
        z = self.norm(self.second(F.gelu(first)))  # (M * N, B, Z)
        return z.reshape(-1, count, *z.shape[1:]).movedim(0, 2)

    def logits(self, z: Tensor, present: Tensor) -> Tensor:
        """Logits of *none* and of each stream, present or not, ``(N, B, T, 1 + M)``.

        Args:
            z: ``(N, B, T, M, Z)``, oldest first.
            present: Which streams are there, bool ``(B, T, M)``.
        """
        flat = present.flatten(0, 1)
        pairs = zip(self.fusions, z.flatten(1, 2), strict=True)
        fused = torch.stack([fusion(one, flat) for fusion, one in pairs])  # (N, B * T, F)
        told = self.context(fused.reshape(*z.shape[:3], -1), present.any(dim=-1))
        return self.answer(told.flatten(1, 2)).reshape(*z.shape[:3], -1)


def _side_by_side(contexts: Sequence[Context]) -> _GatedUnits | _EachByItself:
    gated = [c for c in contexts if isinstance(c, Recurrent) and isinstance(c.cell, nn.GRUCell)]
    return _GatedUnits.of(gated) if len(gated) == len(contexts) else _EachByItself(tuple(contexts))


def _sequences(networks: Sequence[nn.Module]) -> list[nn.Sequential]:
    return [cast("nn.Sequential", network) for network in networks]
