"""What the fields of a settings class hold: text, or further settings."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from types import UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import SecretStr

from pipeline.core.settings import Settings

Annotation: TypeAlias = Any  # annotations have no common type


class Holding(Enum):
    """How a field holds nested settings."""

    ONE = "one"
    LIST = "list"
    MAPPING = "mapping"


def nested(annotation: Annotation) -> Iterator[tuple[Holding, type[Settings]]]:
    """Settings classes that a field of this type holds, and how."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield Holding.ONE, annotation
        return
    origin: Any = get_origin(annotation)
    parts = get_args(annotation)
    if origin is Annotated:
        yield from nested(parts[0])
    elif origin in (Union, UnionType):
        for part in parts:
            yield from nested(part)
    elif origin in (list, tuple, dict):
        how = Holding.MAPPING if origin is dict else Holding.LIST
        for part in parts:
            yield from ((how, settings) for _, settings in nested(part))


def takes_text(annotation: Annotation) -> bool:
    """Whether a field is ``str``, ``SecretStr``, or one of them or none."""
    origin: Any = get_origin(annotation)
    kinds = set(get_args(annotation)) if origin in (Union, UnionType) else {annotation}
    kinds.discard(type(None))
    return bool(kinds) and kinds <= {str, SecretStr}


def owner_of(settings: type[Settings], path: tuple[str | int, ...]) -> type[Settings]:
    """The settings class that the last part of `path` is, or would be, a field of."""
    owner = settings
    for part in path[:-1]:
        info = owner.model_fields.get(str(part))
        if info is not None:
            owner = next((s for _, s in nested(info.annotation)), owner)
    return owner
