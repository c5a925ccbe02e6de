"""Run a whole deployment on this machine: capture, fusion and alert, supervised."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nodes.commands._options import WithoutModel
from nodes.run import run_deployment


def register(app: typer.Typer) -> None:
    """Add ``run`` to the command line."""
    app.command(name="run")(run)


def run(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    node: Annotated[
        list[str] | None,
        typer.Option("--node", help="Capture node that runs here; several. All, if left out."),
    ] = None,
    no_capture: Annotated[
        bool, typer.Option("--no-capture", help="Capture nodes all run on other machines.")
    ] = False,
    without_model: WithoutModel = False,
) -> None:
    """Run a whole deployment on this machine: capture, fusion and alert, supervised."""
    if no_capture and node:
        raise typer.BadParameter("leave one of them out", param_hint="--node and --no-capture")
    here = () if no_capture else node or None
    raise typer.Exit(run_deployment(config, nodes=here, without_model=without_model))
