"""Relative paths of a deployment start from the folder its file is in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

AnySettings = TypeVar("AnySettings", bound=BaseModel)


def resolve_paths(settings: AnySettings, folder: Path) -> AnySettings:
    """A copy of `settings` in which every `Path`, however deep, is absolute.

    ``~`` is the home folder. Defaults are resolved as well as what was written.
    """
    changed: dict[str, object] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        resolved = _resolve(value, folder)
        if resolved is not value:
            changed[name] = resolved
    return settings.model_copy(update=changed) if changed else settings


def absolute(path: Path, folder: Path) -> Path:
    """`path` seen from `folder`, without ``..`` and ``~``; absolute paths stay as they are."""
    path = path.expanduser()
    return path if path.is_absolute() else Path(os.path.normpath(folder / path))


def _resolve(value: object, folder: Path) -> object:
    if isinstance(value, Path):
        return absolute(value, folder)
    if isinstance(value, BaseModel):
        return resolve_paths(value, folder)
    if isinstance(value, dict):
        return {key: _resolve(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, folder) for item in value]
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_resolve(item, folder) for item in value)
    return value
