"""What files hold as plain data, field by field, so that a later version may have fields more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import msgspec
import numpy as np


def told(value: object) -> Any:
    """A value as JSON has it; of numbers in bulk and of bytes a digest."""
    names = _names(value)
    if names is not None:
        return {name: told(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): told(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [told(one) for one in value]
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), digest(value.tobytes())]
    if isinstance(value, bytes | memoryview):
        return digest(value)
    return value.value if isinstance(value, Enum) else value


def _names(value: object) -> list[str] | None:
    if isinstance(value, msgspec.Struct):
        return list(value.__struct_fields__)
    return [one.name for one in fields(value)] if is_dataclass(value) else None


def digest(data: bytes | memoryview) -> str:
    """Enough of a hash to tell one from another."""
    return hashlib.sha256(data).hexdigest()[:16]
