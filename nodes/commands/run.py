"""Run a whole deployment on this machine: capture, fusion and alert, supervised."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nodes.run import run_deployment

LEARNING = "Receive and record scenes whose model is not there yet; they are not judged."


def register(app: typer.Typer) -> None:
    """Add ``run`` to the command line."""
    app.command(name="run")(run)


def run(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    learning: Annotated[
        bool,
        typer.Option("--learning", help=LEARNING),
    ] = False,
) -> None:
    """Run a whole deployment on this machine: capture, fusion and alert, supervised."""
    raise typer.Exit(run_deployment(config, learning=learning))
