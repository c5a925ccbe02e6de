"""A field of a settings class in words: what may be written, and what holds when nothing is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AwareDatetime, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.config.fields import Annotation
from pipeline.core.settings import Settings

_PLAIN: Mapping[Annotation, str] = {
    str: "text",
    SecretStr: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    AwareDatetime: "time",
    NoneType: "none",
    Any: "anything",
}
_LIMITS: tuple[tuple[type[Any], str], ...] = ((Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt"))
_LIMIT_WORDS = {"ge": "{} or more", "gt": "over {}", "le": "{} at most", "lt": "under {}"}


def kind_of(info: FieldInfo, links: Mapping[type[Settings], str]) -> str:
    """What may be written for a field.

    Args:
        info: The field.
        links: What to write for a settings class that has a place of its own.
    """
    limits = _limits(info.metadata)
    words = _kind(info.annotation, links)
    return f"{words}, {limits}" if limits else words


def default_of(info: FieldInfo) -> str:
    """What holds when the key is not there: *required*, or a value as it stands in YAML."""
    if info.is_required():
        return "*required*"
    value = info.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None:
        return ""
    if isinstance(value, Settings) and not hasattr(value, "type"):
        return ""  # its own defaults stand where its keys do
    if value in ([], {}, (), ""):
        return ""
    return f"`{_as_yaml(value)}`"


def sentence(docstring: str | None) -> str:
    """A description on one line of a Markdown table."""
    text = " ".join((docstring or "").split())
    return re.sub(r"``([^`]+)``", r"`\1`", text).replace("|", "\\|")


def _kind(  # noqa: PLR0911 - one line per kind
    annotation: Annotation, links: Mapping[type[Settings], str]
) -> str:
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return links.get(annotation, "keys below")
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{one.value}`" for one in annotation)
    origin: Any = get_origin(annotation)
    parts = get_args(annotation)
    if origin is Annotated:
        limits = _limits(parts[1:])
        return _kind(parts[0], links) + (f", {limits}" if limits else "")
    if origin is Literal:
        return ", ".join(f"`{_as_yaml(one)}`" for one in parts)
    if origin in (Union, UnionType):
        return " or ".join(_kind(part, links) for part in parts if part is not NoneType)
    if origin is dict:
        return f"by name: {_kind(parts[1], links)}"
    if origin is tuple and Ellipsis not in parts:
        kinds = dict.fromkeys(_kind(part, links) for part in parts)
        return f"list of {len(parts)}: {', '.join(kinds)}"
    if origin in (list, tuple, set, frozenset):
        return f"list of: {_kind(parts[0], links)}"
    return getattr(annotation, "__name__", "value").lower()


def _limits(metadata: Iterable[object]) -> str:
    found: dict[str, object] = {}
    for one in metadata:
        inner = getattr(one, "metadata", None)  # a Field within Annotated
        for limit in inner if isinstance(inner, list) else [one]:
            found |= {key: getattr(limit, key) for kind, key in _LIMITS if isinstance(limit, kind)}
    if {"ge", "le"} <= found.keys():
        return f"{_as_yaml(found['ge'])} to {_as_yaml(found['le'])}"
    return ", ".join(_LIMIT_WORDS[key].format(_as_yaml(value)) for key, value in found.items())


def _as_yaml(value: object) -> str:  # noqa: PLR0911 - one line per type
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Settings):
        return str(getattr(value, "type", ""))
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"[{', '.join(map(_as_yaml, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_as_yaml(v)}" for k, v in value.items()) + "}"
    return str(value)
