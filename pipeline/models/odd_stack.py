"""The odd-one-out networks of many scenes asked at once, where all streams are there.

A scene's networks stand side by side already (`pipeline.models.odd_ensemble`); here the scenes do,
and `torch.func.vmap` runs the ensemble of one over all. When a stream is missing, or was in one of
the windows that are looked back on, the scene's own spares are asked as ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from pipeline.models.odd import OddOneOut
from pipeline.models.odd_network import bent
from pipeline.models.stacking import Slots, Tensors

Layout = tuple[object, ...]
_FUSIONS_ALONE = frozenset({"transformer"})  # PyTorch's attention does not run over scenes
_CONTEXTS = frozenset({"gru", "none"})  # nor do its recurrent cells: those of `gru` are ours
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Called:
    """A network with weights of somebody else's.

    Attributes:
        network: The network.
        weights: Its parameters and buffers by name.
    """

    network: nn.Module
    weights: Mapping[str, Tensor]

    def __call__(self, *args: Tensor) -> Tensor:
        found = torch.func.functional_call(
            self.network, cast("dict[str, Tensor]", self.weights), args
        )
        return cast("Tensor", found)


def odd_layout(odd: OddOneOut | None) -> Layout | None:
    """What must be the same for the networks of scenes to be stacked; None: they cannot be."""
    if odd is None:
        return ()
    if odd.settings.fusion.type in _FUSIONS_ALONE or odd.settings.context.type not in _CONTEXTS:
        return None
    shapes = ((name, tuple(x.shape)) for name, x in _tensors(odd.whole).items())
    return (repr(odd.settings), odd.widths, len(odd.networks), bool(odd.spares), *shapes)


class StackedOdd:
    """Networks of scenes of one `odd_layout`.

    Args:
        scenes: Those of each scene, ``(S,)``, on the processor.
        device: Where to ask them.
    """

    def __init__(self, scenes: Sequence[OddOneOut], device: torch.device) -> None:
        self.widths = scenes[0].widths
        self.length = scenes[0].settings.windows
        self.columns = len(scenes[0].needs())
        self._pattern = scenes[0].whole
        found = [_tensors(one.whole) for one in scenes]
        self.tensors: Tensors = {
            name: torch.stack([one[name] for one in found]).to(device) for name in found[0]
        }

    @torch.no_grad()
    def scores(self, components: Sequence[Tensor], slots: Slots) -> Tensor:
        """Scores of the newest window of each scene, float64 ``(B, D)``.

        Only those of all streams together are numbers, as `OddOneOut.scores` has it where all
        streams were there in all windows.

        Args:
            components: Per stream float32 ``(B, T, E)``, oldest first.
            slots: The scenes.
        """
        learnt = {name: tensor[slots] for name, tensor in self.tensors.items()}
        logits = torch.func.vmap(self._one)(learnt, tuple(components))  # (B, 1 + M)
        odds = logits[:, 1:] - logits[:, :1]
        silent = self.columns - odds.shape[1]
        return nn.functional.pad(odds.double(), (0, silent), value=torch.nan)

    def _one(self, learnt: Tensors, components: tuple[Tensor, ...]) -> Tensor:
        """Mean logits of one scene's networks in the last of its windows, ``(1 + M,)``."""
        networks = _rebuilt(self._pattern, "", learnt)
        z = networks.embed(bent(components))  # (N, T, M, Z)
        there = torch.ones((1, *z.shape[1:3]), dtype=torch.bool, device=z.device)
        return networks.logits(z[:, None], there).mean(dim=0)[0, -1]


def _tensors(thing: object, name: str = "") -> Tensors:
    """All weights of an ensemble, by where they stand in it."""
    if isinstance(thing, Tensor):
        return {name: thing.detach()}
    if isinstance(thing, nn.Module):
        return {f"{name}.{n}": x.detach() for n, x in _weights(thing).items()}
    found: Tensors = {}
    for key, part in _parts(thing):
        found |= _tensors(part, f"{name}.{key}")
    return found


def _rebuilt(thing: T, name: str, tensors: Tensors) -> T:
    """The same made of other weights; a network as something that is called like it."""
    new: Any = thing
    if isinstance(thing, Tensor):
        new = tensors[name]
    elif isinstance(thing, nn.Module):
        new = _Called(thing, {n: tensors[f"{name}.{n}"] for n in _weights(thing)})
    elif isinstance(thing, tuple):
        new = tuple(_rebuilt(part, f"{name}.{key}", tensors) for key, part in _parts(thing))
    elif is_dataclass(thing) and not isinstance(thing, type):
        parts = {key: _rebuilt(part, f"{name}.{key}", tensors) for key, part in _parts(thing)}
        new = replace(thing, **parts)
    return cast("T", new)


def _parts(thing: object) -> list[tuple[str, object]]:
    if isinstance(thing, tuple):
        return [(str(number), part) for number, part in enumerate(thing)]
    if not is_dataclass(thing):
        return []
    return [(part.name, getattr(thing, part.name)) for part in fields(thing)]


def _weights(network: nn.Module) -> Tensors:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}
