"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

WithoutModel = Annotated[
    bool,
    typer.Option(
        "--without-model",
        help="Start scenes that have no model file yet, so that they can be commissioned live.",
    ),
]
