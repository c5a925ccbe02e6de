"""Densities as flat named arrays, and back: for files and for moving to a device.

A field that the constructor does not take holds nothing that was learnt, and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pipeline.core.errors import ModelFileError

T = TypeVar("T")


def pack(prefix: str, thing: object) -> dict[str, Tensor]:
    """Tensors and arrays of a dataclass, nested ones with dotted names."""
    if isinstance(thing, Tensor):
        return {prefix: thing.detach().cpu().contiguous()}
    if isinstance(thing, np.ndarray):
        return {prefix: torch.from_numpy(np.array(thing, order="C"))}
    if thing is None:
        return {}
    if not is_dataclass(thing):
        raise TypeError(f"{prefix} is a {type(thing).__name__}, not made of arrays")
    found: dict[str, Tensor] = {}
    for part in _learnt(thing):
        found |= pack(f"{prefix}.{part.name}", getattr(thing, part.name))
    return found


def unpack(kind: type[T], prefix: str, tensors: Mapping[str, Tensor], **nested: object) -> T:
    """A dataclass from `pack`'s tensors; `nested` gives fields that are not plain tensors.

    Raises:
        ModelFileError: A tensor is missing.
    """
    values: dict[str, Any] = dict(nested)
    for part in _learnt(kind):
        name = f"{prefix}.{part.name}"
        if part.name in values:
            continue
        if name not in tensors:
            raise ModelFileError(f"the model file lacks {name!r}", fix="commission the scene again")
        tensor = tensors[name]
        values[part.name] = tensor.numpy() if "Array" in str(part.type) else tensor
    return kind(**values)


def on_device(thing: T, device: torch.device) -> T:
    """A copy of a dataclass with every tensor in it on `device`; arrays stay where they are.

    They lie in memory as those from a file do: the order decides about a product's last bits.
    """
    changes: dict[str, Any] = {}
    for part in _learnt(thing):
        value = getattr(thing, part.name)
        if isinstance(value, Tensor):
            changes[part.name] = value.to(device).contiguous()
        elif is_dataclass(value) and not isinstance(value, type):
            changes[part.name] = on_device(value, device)
    return replace(thing, **changes)  # type: ignore[type-var]


def replaced(thing: T, prefix: str, tensors: Mapping[str, Tensor]) -> T:
    """A copy of a dataclass with those of `tensors` in it that `pack` would give its names."""
    changes: dict[str, Any] = {}
    for part in _learnt(thing):
        name, value = f"{prefix}.{part.name}", getattr(thing, part.name)
        if name in tensors:
            changes[part.name] = tensors[name]
        elif is_dataclass(value) and not isinstance(value, type):
            changes[part.name] = replaced(value, name, tensors)
    return replace(thing, **changes)  # type: ignore[type-var]


def _learnt(thing: object) -> list[Field[Any]]:
    return [part for part in fields(thing) if part.init]  # type: ignore[arg-type]
