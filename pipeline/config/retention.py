"""How long each kind of data is kept."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from pipeline.core.settings import Settings

_AGE = r"(\d+(?:\.\d+)?)\s*([smhdwy])"
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}


def age_ns(text: str) -> int:
    """An age such as ``12h``, ``30d`` or ``1y`` (365 days) in nanoseconds.

    Raises:
        ValueError: It is no such text, or no time at all.
    """
    found = re.fullmatch(_AGE, text.strip())
    if found is None or float(found[1]) == 0:
        raise ValueError("write an age such as 12h, 30d, 8w or 1y")
    return round(float(found[1]) * _UNITS_S[found[2]] * 1e9)


def _checked(value: object) -> object:
    """Before types are looked at: a bare number is to be told of its unit, not of its type."""
    age_ns(str(value))
    return value


Age = Annotated[str, BeforeValidator(_checked), Field(examples=["30d"])]


class RetentionSettings(Settings):
    """How old each kind of data may get; none: it is kept. See `pipeline.core.retention`.

    What an open alarm needs or a sink has not been given stays longer, to twice the limit at most.
    """

    recordings: Age | None = None
    """Recordings of ``fusion.record``, as ``30d`` or ``1y``, from the first arrival in a file;
    files are begun anew often enough for this. Their limits of size hold as well."""

    evidence: Age | None = None
    """Pictures, clips and sound of events, as ``90d``, from the event's end."""

    events: Age | None = None
    """Events in the stores of the fusion node and the alert node, as ``1y``, from the event's
    end. One that was snoozed or called *normal here* stays in the fusion node's for as long as
    that holds others back, see ``feedback.normal_for``."""

    dead_letters: Age | None = None
    """Events that a sink refused for good, from the event's end; none: they are events that
    were not delivered."""
