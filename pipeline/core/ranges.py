"""What a sensor channel can read at all: a thermometer that says 327.67 is broken, not hot."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator


def _rising(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] < ends[1]:
        raise ValueError(f"{list(ends)} is no range: give the least value, then the greatest")
    return ends


Range: TypeAlias = Annotated[tuple[float, float], AfterValidator(_rising)]
"""Least and greatest value, both allowed."""
