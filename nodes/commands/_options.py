"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from pipeline.core.time_zone import time_zone

WithoutModel = Annotated[
    bool,
    typer.Option(
        "--without-model",
        help="Start scenes that have no model file yet, so that they can be commissioned live.",
    ),
]


def zone_option(name: str | None) -> ZoneInfo | None:
    """The zone that ``--timezone`` names; None: it names none.

    Raises:
        typer.BadParameter: There is no such zone.
    """
    try:
        return None if name is None else time_zone(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timezone") from error


def check_span(from_s: float | None, to_s: float | None) -> None:
    """See that ``--from`` lies before ``--to``.

    Raises:
        BadParameter: It does not.
    """
    if from_s is not None and to_s is not None and from_s >= to_s:
        raise typer.BadParameter("must be less than --to", param_hint="--from")
