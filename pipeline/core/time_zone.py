"""Time zones by their names, as ``Europe/Berlin``."""

from __future__ import annotations

from datetime import UTC, tzinfo
from difflib import get_close_matches
from typing import Annotated, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator


def time_zone(name: str) -> ZoneInfo:
    """The zone of a name.

    Raises:
        ValueError: There is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}; {_hint(name)}") from error


def zone_of(name: str | None) -> tzinfo:
    """The zone of times that name none: UTC unless another is named."""
    return UTC if name is None else time_zone(name)


def _known(name: str) -> str:
    time_zone(name)
    return name


ZoneName: TypeAlias = Annotated[str, AfterValidator(_known)]
"""A name for which there is a zone."""


def _hint(name: str) -> str:
    known = available_timezones()
    if not known:
        return "this machine knows none at all: install its package tzdata"
    near = get_close_matches(name, known, n=1, cutoff=0.7)
    return f"write {near[0]}" if near else "write one such as Europe/Berlin or UTC"
