"""The same learnt thing of many scenes, side by side in one set of tensors.

What a scene needs of a processor is small; what costs on a GPU is to ask it once per scene. So
the tensors of scenes that are laid out alike stand one behind the other, ``(S, ...)``, and
`torch.func.vmap` runs the very code that scores one scene over all of them: no formula is
written twice.

Two things may differ between scenes of one layout. What they remember of normal is filled up to
the longest with rows that are infinitely far from anything. Whole numbers, which steer the code,
must be the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from pipeline.models.packing import on_device, pack, replaced

T = TypeVar("T")

Tensors = dict[str, Tensor]
Slots = slice | Tensor
"""Some scenes of a stack: neighbours without a copy, or any by their numbers."""

_MEMORY = ".memory"
_TIME = "_s"  # seconds since 1970 need all their digits
_NAME = "learnt"


@dataclass(frozen=True, slots=True)
class Stacked(Generic[T]):
    """One thing of many scenes.

    Attributes:
        pattern: That of one scene, with whole numbers that hold for all.
        tensors: All others by name, ``(S, ...)``.
    """

    pattern: T
    tensors: Tensors

    @property
    def nbytes(self) -> int:
        """Bytes of them all."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def of(self, slots: Slots) -> Tensors:
        """The tensors of some scenes ``(B, ...)``."""
        return {name: tensor[slots] for name, tensor in self.tensors.items()}

    def one(self, tensors: Mapping[str, Tensor]) -> T:
        """The thing of one scene, of its tensors."""
        return replaced(self.pattern, _NAME, tensors)


def layout(thing: object, least_memory: int) -> tuple[tuple[str, object], ...] | None:
    """What must be the same for things to be stacked; None: it can be stacked with none.

    Args:
        thing: A dataclass of tensors, nested or not.
        least_memory: Rows that each memory must have at least.
    """
    found: list[tuple[str, object]] = []
    for name, tensor in pack(_NAME, thing).items():
        shape: tuple[int, ...] = tuple(tensor.shape)
        if name.endswith(_MEMORY):
            if shape[-2] < least_memory:
                return None
            shape = (*shape[:-2], -1, shape[-1])
        value = None if tensor.is_floating_point() or tensor.dtype is torch.bool else tensor
        steers = None if value is None else tuple(value.flatten().tolist())
        found.append((name, (shape, tensor.dtype, steers)))
    return tuple(found)


def stacked(things: Sequence[T], device: torch.device, dtype: torch.dtype) -> Stacked[T]:
    """Put things of one `layout` side by side, at least one.

    Args:
        things: That of each scene, ``(S,)``.
        device: Where to.
        dtype: Of their floating-point numbers.
    """
    packed = [pack(_NAME, thing) for thing in things]
    tensors: Tensors = {}
    for name, first in packed[0].items():
        if not first.is_floating_point() and first.dtype is not torch.bool:
            continue
        as_it_is = not first.is_floating_point() or name.endswith(_TIME)
        join = _memories if name.endswith(_MEMORY) else _joined
        tensors[name] = join([p[name] for p in packed], device, first.dtype if as_it_is else dtype)
    return Stacked(_steering(things[0], device), tensors)


def _joined(parts: Sequence[Tensor], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Tensors of one shape, moved one by one: together they may not fit beside the device."""
    joined = torch.empty((len(parts), *parts[0].shape), dtype=dtype, device=device)
    for row, part in zip(joined, parts, strict=True):
        row.copy_(part)
    return joined


def _memories(parts: Sequence[Tensor], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Memories ``(..., M, d)`` of differing ``M`` as one ``(S, ..., most M, d)``.

    Laid so that neighbouring threads, one a row, read neighbouring numbers.
    """
    *places, _, width = parts[0].shape
    most = max(part.shape[-2] for part in parts)
    shape = (len(parts), *places, width, most)
    joined = torch.full(shape, torch.inf, dtype=dtype, device=device)
    for row, part in zip(joined, parts, strict=True):
        row[..., : part.shape[-2]].copy_(part.transpose(-1, -2).contiguous())
    return joined.transpose(-1, -2)


def _steering(thing: T, device: torch.device) -> T:
    """A pattern whose indices are on the device; single whole numbers stay where they are."""
    single = {
        name: tensor
        for name, tensor in pack(_NAME, thing).items()
        if not tensor.ndim and not tensor.is_floating_point()
    }
    return replaced(on_device(thing, device), _NAME, single)
