"""Settings fields that hold one of a family's kinds, told apart by their ``type``.

Only the module of the kind that is named is imported, so an optional library is needed by
those alone who use it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from pipeline.core.errors import PluginError
from pipeline.core.settings import Settings
from pipeline.plugins import Family


def of_kind(family: Family) -> Callable[[object], object]:
    """A validator that makes settings of the right class from a mapping with a ``type``.

    The name of a kind alone stands for its defaults. What is neither is left to pydantic,
    whose message names the field.
    """

    def choose(value: object) -> object:
        if isinstance(value, str):
            value = {"type": value}
        if isinstance(value, BaseModel) or not isinstance(value, dict):
            return value
        return _settings(family, value)

    return choose


def _settings(family: Family, value: dict[str, Any]) -> Settings:
    kind = value.get("type")
    if not isinstance(kind, str):
        raise ValueError(f"'type' is missing; write one of: {', '.join(family.kinds())}")
    try:
        chosen = family.settings(kind)
    except PluginError as error:
        raise ValueError(str(error)) from error  # pydantic adds the name of the field
    return chosen.model_validate(value)
